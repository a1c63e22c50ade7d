"""Quantised arrays: every value comes back, under the prior that makes them shortest."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from sah_jax.coding import adaptive, file, ledger, priors, tensors

# The same cases every time, however busy the machine.
SETTINGS = hypothesis.settings(derandomize=True, deadline=None, max_examples=40)


def _geometric(bits, size, decay, seed):
    """A two-sided geometric array; a decay of 1 makes it uniform, one of 0 all zeros."""
    top = priors.levels(bits)
    weights = float(decay) ** np.abs(np.arange(-top, top + 1))
    return np.random.default_rng(seed).choice(
        np.arange(-top, top + 1), size, p=weights / weights.sum())


def _rounded(bits, values):
    return np.clip(np.round(values), -priors.levels(bits), priors.levels(bits)).astype(np.int32)


def _written(values, bits, leading=None):
    writer = file.ProgramWriter()
    tensors.write_array(writer, values, bits, leading)
    return writer.close(), writer.ledger


def _cost(values, bits):
    return _written(values, bits)[1].ideal_bits


def _read(data, shape, bits):
    reader = file.ProgramReader(data)
    values = tensors.read_array(reader, shape, bits)
    reader.finish()
    return values


def _prior(values, bits):
    """Returns the prior that an array is written under."""
    reader = file.ProgramReader(_written(values, bits)[0])
    return tensors._PRIORS[int(reader.take_table(file.uniform_table(len(tensors._PRIORS)), 1)[0])]


@SETTINGS
@hypothesis.given(
    st.sampled_from(priors.BITS),
    st.sampled_from([(), (1,), (0, 3), (5,), (2, 3, 4), (17, 1), (30, 30)]),
    st.sampled_from([0.0, 0.3, 0.8, 0.97, 1.0]), st.integers(0, 2**32))
def test_arrays_come_back_and_never_cost_more_than_plain(bits, shape, decay, seed):
    values = _geometric(bits, shape, decay, seed)
    data, books = _written(values, bits)
    read = _read(data, shape, bits)
    assert read.dtype == np.int32 and read.shape == shape and (read == values).all()
    assert books.ideal_bits <= values.size * bits + tensors.HEADER_BITS


@SETTINGS
@hypothesis.given(st.sampled_from(priors.BITS), st.data())
def test_arbitrary_arrays_come_back_and_never_cost_more_than_plain(bits, data):
    top = priors.levels(bits)
    pool = data.draw(st.lists(st.integers(-top, top), min_size=1, max_size=4))
    values = np.array(data.draw(st.lists(st.sampled_from(pool), max_size=60)), np.int16)
    written, books = _written(values, bits)
    assert (_read(written, values.shape, bits) == values).all()
    assert books.ideal_bits <= values.size * bits + tensors.HEADER_BITS


@pytest.mark.parametrize("bits", priors.BITS)
def test_the_extremes_come_back(bits):
    top = priors.levels(bits)
    for values in ([top], [-top], [top, -top] * 40, [0, top], [1, -1, 0]):
        array = np.array(values)
        data, books = _written(array, bits)
        assert _read(data, array.shape, bits).tolist() == values
        assert books.ideal_bits <= array.size * bits + tensors.HEADER_BITS


def _made_for():
    rng = np.random.default_rng(0)
    scales = np.repeat(np.exp(1.5 * rng.normal(size=200)), 50)
    changing = np.where(np.arange(9000) < 4500, 1, 5) * rng.laplace(size=9000)
    return {
        "uniform": rng.integers(-priors.levels(8), priors.levels(8) + 1, 3000),
        "zeros": np.zeros(3000, int),
        "laplace": rng.laplace(0, 12, 3000) * (rng.random(3000) < 0.5),
        "gaussian": rng.normal(0, 25, 3000),
        "adaptive": np.where(rng.random(9000) < 0.5, 3, -3) * (rng.random(9000) < 0.3),
        "local": scales * rng.normal(size=10000) * 4 + 0 * changing.sum(),
    }


@pytest.mark.parametrize("prior", tensors._PRIORS)
def test_each_prior_is_taken_where_it_is_the_shortest(prior):
    values = _rounded(8, _made_for()[prior])
    assert _prior(values, 8) == prior
    cost = _cost(values, 8)
    if prior != "zeros":
        index, _ = priors.split(np.abs(values), 8)
        counts = np.bincount(np.where(values < 0, -index, index) + 127, minlength=255)
        others = {choice.prior: choice.bits for choice in tensors._choices(counts, 8)}
        others |= {name: tensors._bits(adaptive.decisions(values, 8, name == "local").freqs)
                   for name in tensors._ADAPTIVE}
        assert cost == pytest.approx(others.pop(prior) + math.log2(6), abs=1e-3)
        assert all(cost < other + math.log2(6) for other in others.values())


@pytest.mark.parametrize("bits, decay", [
    (3, 0.1), (4, 0.1), (4, 0.4), (8, 0.1), (8, 0.4), (8, 0.7), (16, 0.9)])
def test_peaked_arrays_cost_their_entropy(bits, decay):
    values = _geometric(bits, 3000, decay, bits)
    counts = np.bincount(values + priors.levels(bits))
    counts = counts[counts > 0]
    entropy = float(-(counts * np.log2(counts / values.size)).sum())
    # Two parameters are coded instead of a count for every level.
    assert _cost(values, bits) < 1.03 * entropy + 40


def test_arrays_of_zeros_cost_their_choice():
    assert _cost(np.zeros((40, 50), int), 8) == pytest.approx(math.log2(6))
    assert _cost(np.zeros((0, 50), int), 8) == 0


@pytest.mark.parametrize("prior", [p for p in tensors._PRIORS if p != "zeros"])
def test_the_ledger_knows_the_layer_of_every_symbol_on_both_sides(prior):
    flat = _rounded(8, _made_for()[prior])
    values = flat.reshape(10, -1)
    data, written = _written(values, 8, ledger.LAYER)
    reader = file.ProgramReader(data)
    read = tensors.read_array(reader, values.shape, 8, ledger.LAYER)
    assert (read == values).all()
    parts = {part.name: part for part in written.view("layer", len(data))}
    assert parts == {part.name: part for part in reader.ledger.view("layer", len(data))}
    assert [name for name in parts if name.startswith("layer")] == [f"layer {i}" for i in range(10)]
    assert sum(part.bits for part in parts.values()) == 8 * len(data)
    # A layer that is different costs different.
    changed = values.copy()
    changed[3] = 0
    less = {part.name: part for part in _written(changed, 8, ledger.LAYER)[1].view("layer", 10**6)}
    assert less["layer 3"].ideal_bits < 0.75 * parts["layer 3"].ideal_bits


@pytest.mark.parametrize("prior, top", [("uniform", priors.levels(16)), ("gaussian", 300)])
def test_raw_digits_belong_to_their_layer_too(prior, top):
    # Too few values to learn from, and no layer has as many raw digits as the other.
    values = np.array([[top, -top // 3, top - 2, top // 2], [top // 5, -top // 40, -top, -top // 3]])
    found = []
    for array in (values, values[::-1]):
        assert _prior(array, 16) == prior
        data, written = _written(array, 16, ledger.LAYER)
        reader = file.ProgramReader(data)
        assert (tensors.read_array(reader, array.shape, 16, ledger.LAYER) == array).all()
        assert reader.ledger.view("layer", len(data)) == written.view("layer", len(data))
        found.append({part.name: part.ideal_bits for part in written.view("layer", len(data))})
    # Layers that change places take all their bits along; the rest is the prior's.
    own, swapped = found
    assert own["layer 0"] == swapped["layer 1"] and own["layer 1"] == swapped["layer 0"]
    options = (tensors._PRIORS, *tensors._options(prior, 16))
    assert own["header"] == pytest.approx(sum(math.log2(len(o)) for o in options), abs=1e-6)


@pytest.mark.parametrize("values, bits", [
    ([2], 2), ([-2], 2), ([0, 128], 8), ([0, -128, 0], 8), ([[4]], 3), ([0], 1), ([0], 0), ([0], 17),
    ([2**40], 4), ([2**15], 16), ([0.5], 4), ([True], 4)])
def test_what_does_not_fit_is_not_written(values, bits):
    with pytest.raises(ValueError):
        tensors.write_array(file.ProgramWriter(), np.array(values), bits)


@pytest.mark.parametrize("bits", [2, 8, 16])
def test_every_byte_string_is_read_within_the_levels(bits):
    """A damaged file gives other values, but none that no writer could have meant."""
    rng = np.random.default_rng(bits)
    for _ in range(30):
        values = tensors.read_array(file.ProgramReader(rng.bytes(200)), (40,), bits)
        assert values.shape == (40,) and np.abs(values).max() <= priors.levels(bits)
