"""Tasks over rows: disjoint splits, orders from seeds, and no row read that nobody asked for."""

import dataclasses
from typing import ClassVar

import pytest

from sah_jax import errors
from sah_jax.tasks.base import Example
from sah_jax.tasks.scores import Score
from sah_jax.tasks.tabular import TabularTask


class Counted(list):
    """Rows that count how many of them were read."""

    read = 0

    def __getitem__(self, index):
        Counted.read += 1
        return super().__getitem__(index)


TRAIN = Counted(f"{number} {form}" for number in range(1500) for form in ("asked", "paraphrased"))
TEST = [f"test {number}" for number in range(50)]


@dataclasses.dataclass(frozen=True)
class Listed(TabularTask):
    """Items in two forms each; every seventh row of the test split cannot be used."""

    kind: ClassVar[str] = "listed"
    stop: ClassVar[tuple[str, ...]] = ("\n", "END")

    def rows(self, split):
        return TRAIN if split == "train" else TEST

    def about(self, row):
        return row.split()[0]

    def example(self, row, split):
        return None if split == "test" and int(row.split()[1]) % 7 == 6 else Example(row, " yes", "yes")

    def score(self, examples, responses):
        return Score.of(response == "yes" for response in responses)


TASK = Listed()


def _prompts(split, num, seed=0):
    return [example.prompt for example in TASK.examples(split, num, seed)]


@pytest.mark.parametrize("split", ["train", "selection", "test"])
def test_examples_are_deterministic_prefixes_without_repeats(split):
    many = _prompts(split, 40)
    assert _prompts(split, 40) == many == [*_prompts(split, 15), *many[15:]]
    assert len(set(many)) == 40 and set(_prompts(split, 40, seed=1)) != set(many)


def test_train_and_selection_share_nothing_and_what_is_about_the_same_is_on_one_side():
    sizes = {}
    for split in ("train", "selection"):
        with pytest.raises(errors.UserError, match=f"listed's {split} split, which has (\\d+)") as caught:
            TASK.examples(split, len(TRAIN) + 1)
        sizes[split] = int(str(caught.value).split("which has ")[1].split(";")[0])
    train, selection = _prompts("train", sizes["train"]), _prompts("selection", sizes["selection"])
    assert sorted(train + selection) == sorted(TRAIN)
    assert not {prompt.split()[0] for prompt in train} & {prompt.split()[0] for prompt in selection}
    assert len(TRAIN) / 20 < len(selection) < len(TRAIN) / 13


def test_the_test_split_is_in_its_files_order_for_seed_0():
    usable = [row for row in TEST if int(row.split()[1]) % 7 != 6]
    assert _prompts("test", TASK.test_size()) == usable
    assert sorted(_prompts("test", len(usable), seed=2)) == sorted(usable) != _prompts("test", 43, seed=2)


def test_rows_are_read_when_they_are_asked_for():
    Counted.read = 0
    TASK.examples("train", 10)
    assert 10 <= Counted.read <= 20
    TASK.examples("selection", 2)
    assert Counted.read < 200


def test_a_response_is_read_up_to_the_first_stop_string():
    assert TASK.extract(" one two END three\nfour") == "one two"


def test_unusable_requests_are_refused():
    with pytest.raises(errors.UserError, match="train, selection, test"):
        TASK.examples("validation", 1)
    with pytest.raises(errors.UserError, match="at least 0"):
        TASK.examples("test", -1)
