"""Tables of the priors: integers, complete, and the shapes they are named after."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from sah_jax.coding import arithmetic, file, priors

SETTINGS = hypothesis.settings(derandomize=True, deadline=None, max_examples=150)


@pytest.mark.parametrize("bits", priors.BITS)
def test_levels_leave_one_code_out(bits):
    assert 2 * priors.levels(bits) + 1 == 2**bits - 1


@pytest.mark.parametrize("bits", priors.BITS)
def test_buckets_hold_every_magnitude_once_and_fit_a_table(bits):
    firsts, digits = priors.buckets(bits)
    ends = firsts + (1 << digits)
    assert firsts[0] == 1 and ends[-1] == priors.levels(bits) + 1 and (ends[:-1] == firsts[1:]).all()
    assert 2 * len(firsts) + 1 < file.TABLE_SIZE
    if bits <= 8:
        assert (digits == 0).all()
    magnitudes = np.arange(priors.levels(bits) + 1)
    index, place = priors.split(magnitudes, bits)
    padded = np.concatenate([[0], firsts])
    assert (padded[index] + place == magnitudes).all()
    assert (place < (1 << np.concatenate([[0], digits]))[index]).all() and (place >= 0).all()


def _tables(bits):
    yield priors.uniform(bits)
    for prior in priors.FITTED:
        for zero in (0, 6, 15, 31):
            for scale in sorted({0, 3, priors.num_scales(bits) // 2, priors.num_scales(bits) - 1}):
                if scale < priors.num_scales(bits):
                    yield priors.fitted(prior, bits, zero, scale)


@pytest.mark.parametrize("bits", priors.BITS)
def test_tables_are_integers_that_give_every_symbol_a_part_of_the_total(bits):
    symbols = 2 * len(priors.buckets(bits).firsts) + 1
    for table in _tables(bits):
        assert table.dtype == np.int64 and len(table) == symbols + 1
        assert table[0] == 0 and table[-1] == arithmetic.TOTAL
        assert (np.diff(table) >= 1).all()


@pytest.mark.parametrize("bits", priors.BITS)
def test_a_uniform_value_costs_at_most_its_bits(bits):
    digits = priors.buckets(bits).digits
    freqs = np.diff(priors.uniform(bits))
    cost = arithmetic.TOTAL_BITS - np.log2(freqs) + np.concatenate([digits[::-1], [0], digits])
    assert cost.max() <= bits


@pytest.mark.parametrize("bits", [3, 8, 12, 16])
@pytest.mark.parametrize("prior", priors.FITTED)
def test_fitted_tables_are_the_priors_they_stand_for(prior, bits):
    """A change here breaks every program file that holds an array."""
    firsts, digits = priors.buckets(bits)
    middles = firsts + ((1 << digits) - 1) / 2
    for zero in (0, 6, 20):
        for scale in (0, 5, priors.num_scales(bits) - 1):
            h = 2 ** (bits - 1 - scale / 4)
            power = 1 if prior == "laplace" else 2
            side = 2.0 ** -((middles / h) ** power) * (1 << digits)
            weights = np.concatenate([side[::-1], [2 ** ((zero - 6) / 2)], side])
            got = np.diff(priors.fitted(prior, bits, zero, scale)) / arithmetic.TOTAL
            np.testing.assert_allclose(got, weights / weights.sum(), rtol=3e-3, atol=1e-6)


def _cost(prior, bits, counts, zero, scale):
    freqs = np.diff(priors.fitted(prior, bits, zero, scale))
    half = len(freqs) // 2
    # Both signs of a bucket have the same share.
    return counts @ (arithmetic.TOTAL_BITS - np.log2(freqs[half:]))


@pytest.mark.parametrize("bits", [2, 4, 8, 13])
@pytest.mark.parametrize("prior", priors.FITTED)
def test_the_fit_is_as_good_as_any_of_the_grid(prior, bits):
    rng = np.random.default_rng(bits)
    for spread in (0.3, 2, 0.2 * priors.levels(bits)):
        values = np.minimum(np.abs(np.round(rng.laplace(0, spread, 500))), priors.levels(bits)).astype(int)
        counts = np.bincount(priors.split(values, bits)[0], minlength=len(priors.buckets(bits).firsts) + 1)
        fit = _cost(prior, bits, counts, *priors.fit(prior, bits, counts))
        best = min(_cost(prior, bits, counts, zero, scale)
                   for zero in priors.ZEROS for scale in range(priors.num_scales(bits)))
        assert best <= fit <= best + 0.1


@SETTINGS
@hypothesis.given(st.integers(0, 20 << 20))
def test_powers_of_two_are_right_in_fixed_point(x):
    exact = 2.0 ** (31 - x / 2**20)
    assert abs(int(priors._exp2_of_minus(np.array([x]))[0]) - exact) <= 1 + exact * 1e-7
