"""Frequencies: whatever the logits, integers that can be coded and hardly cost more."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from sah_jax.coding import arithmetic, freqs

TOTAL = arithmetic.TOTAL

# The same cases every time, however busy the machine.
SETTINGS = hypothesis.settings(derandomize=True, deadline=None, max_examples=150)

VOCABS = (2, 3, 17, 1024, 128256)
INF, MAX = np.float32(np.inf), np.finfo(np.float32).max

_from_logits = jax.jit(freqs.from_logits)


@functools.partial(jax.jit, static_argnames="vocab")
def _find(row_V, slots_B, vocab):
    # The row that is searched is the second of three.
    blocks = freqs.block_ends(jnp.stack([row_V[::-1], row_V, row_V[::-1]]))
    return jax.lax.map(lambda slot: freqs.find(*blocks, vocab, 1, slot), slots_B)


def _entries(logits):
    """Returns int64 [B, V], checked to be what the coder needs."""
    got = np.asarray(_from_logits(np.asarray(logits, np.float32)))
    assert got.dtype == np.uint32 and got.shape == np.shape(logits)
    got = got.astype(np.int64)
    assert (got >= 1).all() and (got.sum(axis=-1) <= TOTAL).all()
    return got


def _freqs(logits):
    """The frequencies that the tokens have: the last one's is what the others leave."""
    got = _entries(logits)
    got[:, -1] = TOTAL - got[:, :-1].sum(axis=-1)
    return got


def _one(vocab, index, value, rest):
    row = np.full(vocab, rest, np.float32)
    row[index] = value
    return row


def _special_rows(vocab):
    last = vocab - 1
    return {
        "uniform": np.zeros(vocab), "huge": np.full(vocab, MAX), "tiny": np.full(vocab, -MAX),
        "subnormal": np.arange(vocab) * 1e-45, "all -inf": np.full(vocab, -INF),
        "all +inf": np.full(vocab, INF), "all nan": np.full(vocab, np.nan),
        "one-hot": _one(vocab, last, 0, -INF), "one +inf": _one(vocab, last, INF, 0),
        "+inf over -inf": _one(vocab, last, INF, -INF),
        "max over -max": _one(vocab, last, MAX, -MAX),
        "one nan": _one(vocab, 0, np.nan, 0), "nan and +inf": _one(vocab, last, INF, np.nan),
        "peaked": _one(vocab, last, 30, 0), "falling": -np.arange(vocab)}


@pytest.mark.parametrize("vocab", VOCABS)
def test_rows_sum_to_the_total_for_any_logits(vocab):
    rng = np.random.default_rng(vocab)
    scales = np.array([[0.0], [1e-3], [1.0], [5.0], [40.0], [1e4], [1e30]])
    random = rng.normal(size=(7, vocab)) * scales
    _freqs(np.concatenate([random, list(_special_rows(vocab).values())]))


def test_rows_of_the_largest_vocabulary_sum_to_the_total():
    logits = np.zeros((2, 1 << 20), np.float32)
    logits[1] = np.random.default_rng(0).normal(size=1 << 20)
    _freqs(logits)


LOGITS = st.one_of(
    st.floats(width=32, allow_subnormal=True), st.floats(-20, 20, width=32), st.integers(-3, 3),
    st.sampled_from([0.0, -0.0, INF, -INF, np.nan, MAX, -MAX, 1e-45]))


@SETTINGS
@hypothesis.given(st.lists(LOGITS, min_size=17, max_size=17))
def test_the_largest_logit_has_the_largest_frequency(row):
    got = _entries([row])[0]
    numbers = np.where(np.isnan(np.float32(row)), -INF, np.float32(row))
    # The processor may take subnormal numbers for zeros.
    numbers[np.abs(numbers) < np.finfo(np.float32).tiny] = 0
    assert got.max() == got[np.argmax(numbers)]
    # The largest float is as likely as infinity; the next smaller one is not.
    infinite = np.float32(row) >= MAX
    if INF in row:
        assert (got[~infinite] == 1).all()


@SETTINGS
@hypothesis.given(st.lists(LOGITS, min_size=17, max_size=17))
def test_nan_counts_as_minus_infinity(row):
    row = np.float32(row)
    assert (_entries([row]) == _entries([np.where(np.isnan(row), -INF, row)])).all()


@pytest.mark.parametrize("vocab", VOCABS)
@pytest.mark.parametrize("name, spread", [
    ("uniform", True), ("huge", True), ("tiny", True), ("subnormal", True), ("all -inf", True),
    ("all +inf", True), ("all nan", True), ("one-hot", False), ("one +inf", False),
    ("+inf over -inf", False), ("max over -max", False), ("nan and +inf", False)])
def test_special_rows_are_uniform_or_certain(vocab, name, spread):
    got = _freqs([_special_rows(vocab)[name]])[0]
    if spread:
        # The last takes what is left over, which is about 2**-14 of the total.
        assert len(set(got[:-1])) == 1
        assert 0 <= got[-1] - got[0] <= TOTAL * 2.0**-13 + vocab
    else:
        assert got[-1] == TOTAL - (vocab - 1)


@pytest.mark.parametrize("vocab", VOCABS)
def test_one_pass_gives_what_two_give(vocab):
    rng = np.random.default_rng(vocab)
    weights = np.float32(rng.random((3, vocab)) ** 9)
    totals = weights.sum(axis=-1, dtype=np.float64)
    given = np.asarray(freqs.from_weights(weights, np.float32(totals)), np.int64)
    own = np.asarray(freqs.from_weights(weights), np.int64)
    assert (np.abs(given - own) <= 1 + given * 2.0**-16).all()
    exact = weights * ((TOTAL - vocab) * (1 - 2.0**-14) / totals[:, None]) + 1
    assert (np.abs(given - exact) <= 1 + exact * 2.0**-20).all()


def test_infinite_logits_share_everything():
    got = _freqs([[INF, 0, INF, np.nan, 50, -INF, INF, -INF]])[0]
    assert (got[[1, 3, 4, 5]] == 1).all() and got[2] == got[6]
    assert got[2] > TOTAL * 0.3333


@pytest.mark.parametrize("vocab", [3, 17, 1024])
def test_frequencies_move_with_their_tokens(vocab):
    rng = np.random.default_rng(vocab)
    logits = np.float32(rng.normal(size=(4, vocab)) * [[0.1], [1], [5], [20]])
    order = rng.permutation(vocab)
    straight, permuted = _entries(logits)[:, order], _entries(logits[:, order])
    # The normaliser is added up in another order.
    assert (np.abs(straight - permuted) <= 1 + 1e-6 * straight).all()
    ranked = np.take_along_axis(_entries(logits), logits.argsort(axis=1), axis=1)
    assert (np.diff(ranked, axis=1) >= 0).all()


@pytest.mark.parametrize("vocab", VOCABS)
def test_no_token_costs_much_more_than_its_probability(vocab):
    rng = np.random.default_rng(vocab)
    logits = np.float32(rng.normal(size=(6, vocab)) * [[0.1], [1], [2], [5], [10], [20]])
    logits[:, rng.integers(vocab)] += 12
    exact = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log2_p = (exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))) / np.log(2)
    excess = log2_p - np.log2(_freqs(logits) / TOTAL)
    floors = vocab / TOTAL / np.log(2)  # what one unit for each token takes from the others
    assert excess.max() <= 9e-5 + floors + 1e-5
    divergence = (np.exp2(log2_p) * excess).sum(axis=1)
    assert (divergence >= -1e-9).all() and (divergence <= 9e-5 + floors).all()


@pytest.mark.parametrize("vocab", VOCABS)
def test_find_inverts_interval(vocab):
    rng = np.random.default_rng(vocab)
    special = _special_rows(vocab)
    logits = [rng.normal(size=vocab) * 3, special["uniform"], special["one-hot"], special["falling"]]
    # Every token, or around the edges of every kind of block.
    powers = [1 << k for k in range(17)]
    edges = {vocab - 1, vocab // 2, *powers, *(power - 1 for power in powers),
             *(block * 512 + side for block in (1, 100, 250) for side in (-1, 0, 1))}
    tokens = np.array(sorted(
        range(vocab) if vocab <= 1024 else (token for token in edges if token < vocab)))
    for row, row_V in zip(_freqs(logits), _entries(logits).astype(np.uint32), strict=True):
        ends = np.cumsum(row)
        starts, widths = freqs.interval(
            jnp.broadcast_to(row_V, (len(tokens), vocab)), jnp.asarray(tokens, jnp.int32))
        assert (np.asarray(starts) == (ends - row)[tokens]).all()
        assert (np.asarray(widths) == row[tokens]).all()
        for slots in (starts, starts + (widths - 1), starts + widths // 2):
            found, found_starts, found_widths = _find(row_V, slots, vocab)
            assert (np.asarray(found) == tokens).all()
            assert (found_starts == starts).all() and (found_widths == widths).all()


@pytest.mark.parametrize("shape, dtype", [
    ((1, 1), "float32"), ((1, 0), "float32"), ((2, (1 << 20) + 1), "float32"),
    ((2, 17), "bfloat16"), ((2, 17), "float16"), ((2, 17), "int32")])
def test_logits_that_cannot_be_frequencies_are_refused(shape, dtype):
    with pytest.raises(ValueError, match="expected float32 over 2 to"):
        jax.eval_shape(freqs.from_logits, jax.ShapeDtypeStruct(shape, dtype))


@pytest.mark.parametrize("vocab", [2, 37, 2048])
def test_lengths_are_those_of_probabilities_and_frequencies(vocab):
    logits_V = (4 * np.random.default_rng(0).normal(size=vocab)).astype(np.float32)
    logits_V[0] = -np.inf
    freqs_V = freqs.interval(freqs.from_logits(np.tile(logits_V, (vocab, 1))), np.arange(vocab))[1]
    exact_V = np.asarray(freqs_V, np.float64)
    log_p_V = logits_V - np.log(np.exp(logits_V.astype(np.float64)).sum())
    # All tokens at once, the last among them; and each but the last, which is another path.
    for tokens in (np.arange(vocab), np.arange(vocab - 1)):
        ideal_B, quantised_B = freqs.lengths(np.tile(logits_V, (len(tokens), 1)), tokens)
        np.testing.assert_allclose(ideal_B, -log_p_V[tokens] / np.log(2), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(quantised_B, 30 - np.log2(exact_V[tokens]), rtol=0, atol=1e-5)
