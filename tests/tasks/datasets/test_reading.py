"""Rows are plain values in their source's order; other orders come from a seed, split over hosts."""

import pickle

import pytest
import tensorflow_datasets as tfds
from dataset_files import GSM8K, gsm8k

from sah_jax import errors
from sah_jax.tasks import datasets

NUMBERS = list(range(23))


@pytest.fixture(scope="module")
def train(tmp_path_factory) -> datasets.Rows:
    """Three rows of GSM8K."""
    folder = tmp_path_factory.mktemp("rows")
    return datasets.rows("gsm8k", "train", data_dir=folder / "data", manual_dir=gsm8k(folder / "files"))


def test_rows_are_plain_values_by_number(train):
    assert len(train) == 3 and list(train) == GSM8K[:3]
    assert train[-1] == train[2] == GSM8K[2] and train[1:] == GSM8K[1:3] and train[::-2] == GSM8K[2::-2]
    assert {type(value) for row in train for value in row.values()} == {str}
    for number in (3, -4):
        with pytest.raises(IndexError):
            train[number]


def test_rows_say_what_they_are_made_from(train, tmp_path):
    assert train.name.startswith("gsm8k/files_")
    assert train.name.endswith("/1.0.0/train (not the published files)")
    other = gsm8k(tmp_path / "other", test=GSM8K[:1])
    again = datasets.rows("gsm8k", "train", data_dir=tmp_path, manual_dir=other)
    assert again.digest == train.digest and again.name != train.name
    assert datasets.rows("gsm8k", "test", data_dir=tmp_path).digest != train.digest


def test_rows_can_be_sent_to_another_process(train):
    assert list(pickle.loads(pickle.dumps(train))) == GSM8K[:3]


def test_a_split_that_is_not_there_is_named_with_those_that_are(train):
    with pytest.raises(errors.UserError, match="has no split 'dev', expected one of test, train"):
        datasets.Rows(train._folder, "dev")


def test_order_holds_over_several_files(tmp_path, monkeypatch):
    many = [{"question": str(number), "answer": "#### 1"} for number in range(100)]
    config = tfds.download.DownloadConfig(num_shards=3)
    real = tfds.core.GeneratorBasedBuilder.download_and_prepare
    monkeypatch.setattr(
        tfds.core.GeneratorBasedBuilder, "download_and_prepare",
        lambda self, **kwargs: real(self, download_config=config, **kwargs))
    files = gsm8k(tmp_path / "files", train=many, test=many)
    rows = datasets.rows("gsm8k", "train", data_dir=tmp_path / "data", manual_dir=files)
    assert len(list(rows._folder.glob("*train*array_record*"))) == 3
    assert list(rows) == many


def test_an_order_is_a_permutation_that_the_seed_and_the_number_of_rows_decide():
    orders = [list(datasets.shuffled(NUMBERS, seed)) for seed in (0, 1, -1, 2**40)]
    assert all(sorted(order) == NUMBERS for order in orders)
    assert len({tuple(order) for order in [NUMBERS, *orders]}) == 5
    assert list(datasets.shuffled([str(number) for number in NUMBERS], 0)) == list(map(str, orders[0]))
    lazily = datasets.shuffled(NUMBERS, 0)
    assert lazily[5] == orders[0][5] and lazily[-1] == orders[0][-1] and lazily[2:4] == orders[0][2:4]
    with pytest.raises(IndexError):
        lazily[len(NUMBERS)]
    assert list(datasets.shuffled([], 0)) == [] and list(datasets.shuffled("a", 3)) == ["a"]


def test_an_order_stays_the_same_from_release_to_release():
    # Scores are compared over years; whoever changes this changes every study's examples.
    assert datasets.shuffled(NUMBERS, 0)[:8] == [3, 15, 7, 6, 14, 20, 0, 9]


def test_epochs_have_orders_of_their_own_and_the_first_is_that_of_shuffled():
    stream = list(datasets.loader(NUMBERS, 0, epochs=3))
    epochs = [stream[first : first + 23] for first in range(0, 69, 23)]
    assert all(sorted(epoch) == NUMBERS for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs[0] == list(datasets.shuffled(NUMBERS, 0))
    # Grain's own epochs of neighbouring seeds are each other's.
    assert epochs[1] != list(datasets.shuffled(NUMBERS, 1))


@pytest.mark.parametrize("hosts", [2, 3, 23, 30])
def test_hosts_deal_one_stream_among_them(hosts):
    whole = list(datasets.loader(NUMBERS, 5, epochs=2))
    streams = [list(datasets.loader(NUMBERS, 5, shard, hosts, epochs=2)) for shard in range(hosts)]
    assert [whole[shard::hosts] for shard in range(hosts)] == streams


def test_a_stream_goes_on_where_it_was(train):
    stream = datasets.loader(train, 0, 1, 2)
    for _ in range(4):
        next(stream)
    state = stream.get_state()
    rest = [next(stream) for _ in range(5)]
    fresh = datasets.loader(train, 0, 1, 2)
    fresh.set_state(state)
    assert [next(fresh) for _ in range(5)] == rest and all(row in GSM8K for row in rest)


@pytest.mark.parametrize("items, shard, sentence", [
    (NUMBERS, 2, "got shard 2 of 2, expected one from 0 to 1"), (NUMBERS, -1, "got shard -1 of 2"),
    ([], 0, "got no rows to read"),
])
def test_a_stream_that_cannot_be_is_refused(items, shard, sentence):
    with pytest.raises(errors.UserError, match=sentence):
        datasets.loader(items, 0, shard, 2)
