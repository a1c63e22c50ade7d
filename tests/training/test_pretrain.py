"""The nano decoder is trained on its corpus, packed without a gap, and saved as it is loaded."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sah_jax.models import base as base_lib
from sah_jax.tasks.nano import corpus
from sah_jax.training import pretrain

END = 0


def test_the_shipped_models_have_the_architecture_that_is_trained(nano, step0):
    assert nano.spec == step0.spec == pretrain.nano_spec(nano.spec.vocab_size)


@pytest.mark.parametrize("batch, length", [(1, 7), (3, 50), (4, 64)])
def test_packed_rows_are_the_documents_end_to_end(nano, batch, length):
    stream = [END]
    for document in itertools.islice(corpus.documents(5), 64):
        stream += [*nano.encode(document), END]
    batches = pretrain.packed_batches(nano.tokenizer, 5, batch, length, END)
    for number, rows in enumerate(itertools.islice(batches, 4)):
        assert rows.shape == (batch, length + 1) and rows.dtype == np.int32
        for index, row in enumerate(rows):
            # Each row begins with the token that the one before it ended with.
            first = (number * batch + index) * length
            assert row.tolist() == stream[first : first + length + 1]


def test_pre_training_writes_both_ends_of_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "_TOKENIZER_DOCUMENTS", 50)
    monkeypatch.setattr(pretrain, "_WARMUP", 1)
    reports = []
    pretrain.pretrain(
        tmp_path, seed=0, steps=2, batch=2, length=8, peak_learning_rate=0.1, vocab_size=300,
        report=lambda *line: reports.append(line))
    (step, tokens, loss), = reports
    assert (step, tokens) == (2, 2 * 2 * 8)
    assert abs(loss - math.log(300)) < 0.5  # nothing is known yet
    new, start = (base_lib.load_base(tmp_path / name) for name in ("nano", "nano-step0"))
    assert new.spec == start.spec == pretrain.nano_spec(300)
    assert new.tokenizer.to_str() == start.tokenizer.to_str()
    # One is what training begins with, the other what it ends with.
    tokens_11 = jnp.zeros((1, 1), jnp.int32)
    first = jax.jit(start.decoder.init)(jax.random.key(0), tokens_11)["params"]
    near = lambda base: all(jax.tree.leaves(jax.tree.map(
        lambda got, expected: np.allclose(got, expected, rtol=0.01), base.params, first)))
    assert near(start) and not near(new)
