"""The prior that learns: both directions learn alike, and it learns."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from sah_jax.coding import adaptive, arithmetic, file, priors

SETTINGS = hypothesis.settings(derandomize=True, deadline=None, max_examples=40)


def _bits(values, bits, local):
    freqs = adaptive.decisions(np.asarray(values), bits, local).freqs
    return float(np.sum(arithmetic.TOTAL_BITS - np.log2(freqs)))


@SETTINGS
@hypothesis.given(st.sampled_from(priors.BITS), st.booleans(), st.data())
def test_values_come_back(bits, local, data):
    top = priors.levels(bits)
    values = np.array(data.draw(st.lists(st.integers(-top, top) | st.sampled_from([0, 1, -1, top]),
                                         min_size=1, max_size=80)))
    found = adaptive.decisions(values, bits, local)
    writer = file.ProgramWriter()
    writer.put(found.starts, found.freqs)
    reader, seen = file.ProgramReader(writer.close()), []
    got = adaptive.read(reader, len(values), bits, local, lambda places: seen.append(places) or {})
    reader.finish()
    assert got.dtype == np.int32 and got.tolist() == values.tolist()
    # Each decision is one value's: a zero has one, others more; places rise.
    np.testing.assert_array_equal(np.concatenate(seen), found.places)
    counts = np.bincount(found.places, minlength=len(values))
    assert (np.diff(found.places) >= 0).all() and ((counts == 1) == (values == 0)).all()


@pytest.mark.parametrize("local", [False, True])
def test_arrays_longer_than_a_call_go_on_learning(local):
    values = np.random.default_rng(0).choice([0, 0, 0, 5, -5], 3 * adaptive._CHUNK + 7)
    found = adaptive.decisions(values, 6, local)
    writer = file.ProgramWriter()
    writer.put(found.starts, found.freqs)
    reader = file.ProgramReader(writer.close())
    assert (adaptive.read(reader, len(values), 6, local, lambda places: {}) == values).all()
    late = found.freqs[found.places >= 2 * adaptive._CHUNK]
    share = np.array([0.6, 0.2, 0.2])
    entropy = float(-(share * np.log2(share)).sum())
    assert np.sum(arithmetic.TOTAL_BITS - np.log2(late)) / (adaptive._CHUNK + 7) < 1.06 * entropy


def test_a_decision_costs_what_its_context_has_seen():
    # Krichevsky and Trofimov: the (n + 1)-th zero after n of them has the share (n + 1/2) / (n + 1).
    freqs = adaptive.decisions(np.zeros(50, int), 4, False).freqs
    expected = (np.arange(50) + 0.5) / (np.arange(50) + 1)
    np.testing.assert_allclose(freqs / arithmetic.TOTAL, expected, rtol=1e-6)


def test_contexts_by_magnitude_pay_where_scales_differ():
    rng = np.random.default_rng(0)
    spread = np.repeat(np.exp(2 * rng.normal(size=100)), 60)
    values = np.clip(np.round(spread * rng.normal(size=6000)), -127, 127)
    assert _bits(values.astype(int), 8, True) < 0.9 * _bits(values.astype(int), 8, False)
    same = np.round(rng.normal(0, 5, 6000)).astype(int)
    assert _bits(same, 8, True) > 0.99 * _bits(same, 8, False)


def test_what_was_seen_long_ago_is_forgotten():
    rng = np.random.default_rng(0)
    halves = [(rng.random(4000) < share).astype(int) for share in (0.05, 0.95)]
    # With counts of all that was ever seen the second half would cost more than a bit a value.
    apart = sum(_bits(half, 2, False) for half in halves)
    assert _bits(np.concatenate(halves), 2, False) < 1.15 * apart < 0.4 * 8000


def test_forgetting_leaves_a_decision_that_never_changes_nearly_free():
    freqs = adaptive.decisions(np.zeros(4000, int), 4, False).freqs[1000:]
    assert 0.995 < freqs.min() / arithmetic.TOTAL and freqs.max() / arithmetic.TOTAL < 0.999


@pytest.mark.parametrize("magnitudes", [(4, 7), (5, 6)])
def test_the_second_digit_is_foretold_by_the_first(magnitudes):
    # After the leading one 00 or 11, and 01 or 10: which of the two, and the sign, cost a bit each.
    rng = np.random.default_rng(0)
    values = rng.choice(magnitudes, 2000) * rng.choice([-1, 1], 2000)
    assert _bits(values, 4, False) < 2.1 * len(values)
