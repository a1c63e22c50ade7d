"""Quantised arrays: every value comes back, and the fitted prior pays whenever it is taken."""

import itertools
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from sah_jax.coding import arithmetic, file, tensors

# The same cases every time, however busy the machine.
SETTINGS = hypothesis.settings(derandomize=True, deadline=None, max_examples=40)

BITS = range(2, 9)
GRID = (0, 1, 9, 16, 24, 30, 31)  # of the 32 values of a parameter
HEADER_BITS = 11  # one for the prior, five for each of two parameters


def _array(bits, size, decay, seed):
    """A two-sided geometric array; a decay of 1 makes it uniform, one of 0 all zeros."""
    top = tensors.levels(bits)
    weights = float(decay) ** np.abs(np.arange(-top, top + 1))
    return np.random.default_rng(seed).choice(
        np.arange(-top, top + 1), size, p=weights / weights.sum())


def _written(values, bits):
    writer = file.ProgramWriter()
    tensors.write_array(writer, values, bits)
    return writer.close(), writer.ledger.ideal_bits


def _read(data, shape, bits):
    reader = file.ProgramReader(data)
    values = tensors.read_array(reader, shape, bits)
    reader.finish()
    return values


def _uniform_bits(size, bits):
    return size * math.log2(2 * tensors.levels(bits) + 1)


@pytest.mark.parametrize("bits", BITS)
def test_levels_leave_one_code_out(bits):
    assert 2 * tensors.levels(bits) + 1 == 2**bits - 1


@SETTINGS
@hypothesis.given(
    st.sampled_from(BITS),
    st.sampled_from([(), (1,), (0, 3), (5,), (2, 3, 4), (17, 1), (30, 30)]),
    st.sampled_from([0.0, 0.3, 0.8, 0.97, 1.0]), st.integers(0, 2**32))
def test_arrays_come_back_and_never_cost_more_than_uniform(bits, shape, decay, seed):
    values = _array(bits, shape, decay, seed)
    data, cost = _written(values, bits)
    read = _read(data, shape, bits)
    assert read.dtype == np.int32 and read.shape == shape and (read == values).all()
    assert cost <= _uniform_bits(values.size, bits) + 1 + values.size * 1e-6


@SETTINGS
@hypothesis.given(st.sampled_from(BITS), st.data())
def test_arbitrary_arrays_come_back_and_never_cost_more_than_uniform(bits, data):
    top = tensors.levels(bits)
    pool = data.draw(st.lists(st.integers(-top, top), min_size=1, max_size=4))
    values = np.array(data.draw(st.lists(st.sampled_from(pool), max_size=60)), np.int8)
    written, cost = _written(values, bits)
    assert (_read(written, values.shape, bits) == values).all()
    assert cost <= _uniform_bits(values.size, bits) + 1 + values.size * 1e-6


def test_an_array_longer_than_one_chunk_comes_back():
    values = _array(3, (3, 4001), 0.6, 0)
    assert (_read(_written(values, 3)[0], values.shape, 3) == values).all()


@pytest.mark.parametrize("bits, decay", [
    (3, 0.1), (4, 0.1), (4, 0.4), (8, 0.1), (8, 0.4), (8, 0.7)])
def test_peaked_arrays_cost_their_entropy(bits, decay):
    values = _array(bits, 2000, decay, bits)
    counts = np.bincount(values + tensors.levels(bits))
    counts = counts[counts > 0]
    entropy = float(-(counts * np.log2(counts / values.size)).sum())
    _, cost = _written(values, bits)
    assert cost < 0.75 * _uniform_bits(values.size, bits)
    # Two parameters are coded instead of a count for every level.
    assert cost < 1.03 * entropy + HEADER_BITS + 20


def test_arrays_of_zeros_are_nearly_free_and_the_prior_fits_zeros_apart():
    _, zeros = _written(np.zeros(1000, int), 8)
    assert zeros < 1000 * math.log2(33 / 32) + HEADER_BITS + 0.1
    # Mostly zeros, but flat elsewhere: no single decay describes it.
    values = np.where(np.arange(3000) % 10, 0, _array(5, 3000, 1.0, 0))
    _, cost = _written(values, 5)
    share = np.mean(values == 0)
    nonzero = np.log2(30) * (1 - share)
    entropy = 3000 * (nonzero - share * np.log2(share) - (1 - share) * np.log2(1 - share))
    assert cost < 1.03 * entropy + HEADER_BITS


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_flat_arrays_cost_one_bit_more_than_uniform(bits):
    values = _array(bits, 2000, 1.0, bits)
    _, cost = _written(values, bits)
    assert cost <= _uniform_bits(values.size, bits) + 1.01
    assert cost > _uniform_bits(values.size, bits) - 20


def _all_tables(bits):
    yield file.uniform_table(2 * tensors.levels(bits) + 1)
    for zero, ratio in itertools.product(GRID, GRID):
        yield tensors._geometric_table(tensors.levels(bits), zero, ratio)


@pytest.mark.parametrize("bits", BITS)
def test_tables_are_integers_that_give_every_symbol_a_part_of_the_total(bits):
    for table in _all_tables(bits):
        assert table.dtype == np.int64 and len(table) == 2 * tensors.levels(bits) + 2
        assert table[0] == 0 and table[-1] == arithmetic.TOTAL
        assert (np.diff(table) >= 1).all()


@pytest.mark.parametrize("bits", [2, 3, 5, 8])
def test_geometric_tables_are_the_prior_they_stand_for(bits):
    """A change here breaks every program file that holds an array."""
    top = tensors.levels(bits)
    magnitudes = np.abs(np.arange(-top, top + 1))
    for zero, ratio in itertools.product(GRID, GRID):
        side = ((ratio + 1) / 33) ** (magnitudes - 1.0) * (magnitudes > 0)
        expected = np.where(magnitudes, side / side.sum() * (32 - zero) / 33, (zero + 1) / 33)
        shares = np.diff(tensors._geometric_table(top, zero, ratio)) / arithmetic.TOTAL
        np.testing.assert_allclose(shares, expected, rtol=1e-3, atol=4e-7)
        assert (shares[magnitudes == 0] == pytest.approx((zero + 1) / 33, rel=1e-6))


def test_the_written_prior_is_the_best_of_all():
    values = _array(4, 200, 0.5, 7)
    _, cost = _written(values, 4)
    counts = np.bincount(values + 7, minlength=15)
    best = min(float(np.sum(counts * (30 - np.log2(np.diff(tensors._geometric_table(7, *choice))))))
               for choice in itertools.product(range(32), range(32)))
    assert cost == pytest.approx(best + HEADER_BITS, abs=1e-6)


@pytest.mark.parametrize("values, bits", [
    ([2], 2), ([-2], 2), ([0, 128], 8), ([0, -128, 0], 8), ([[4]], 3), ([0], 1), ([0], 0), ([0], 9),
    ([2**40], 4)])
def test_what_does_not_fit_is_not_written(values, bits):
    with pytest.raises(ValueError):
        tensors.write_array(file.ProgramWriter(), np.array(values), bits)


@pytest.mark.parametrize("bits", [2, 8])
def test_every_byte_string_is_read_within_the_levels(bits):
    """A damaged file gives other values, but none that no writer could have meant."""
    rng = np.random.default_rng(bits)
    for _ in range(20):
        values = tensors.read_array(file.ProgramReader(rng.bytes(64)), (40,), bits)
        assert np.abs(values).max() <= tensors.levels(bits)
