"""Universal codes: every value comes back, at the length its code promises."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from sah_jax import errors
from sah_jax.coding import file, integers

# The same cases every time, however busy the machine.
SETTINGS = hypothesis.settings(derandomize=True, deadline=None, max_examples=60)

LARGEST = 2**63 - 2
COUNTS = st.integers(0, 63).flatmap(lambda bits: st.integers(max(2**bits // 2 - 2, 0), 2**bits - 2)
                                    if bits else st.just(0))


def _written(write):
    """Returns what `write` puts into a file, and its length in bits without the end."""
    writer = file.ProgramWriter()
    write(writer)
    return writer.close(), writer.ledger.ideal_bits


def _read(data, read):
    reader = file.ProgramReader(data, "toy.sah")
    value = read(reader)
    reader.finish()
    return value


@SETTINGS
@hypothesis.given(st.lists(COUNTS, min_size=1, max_size=8))
def test_counts_come_back(values):
    data, _ = _written(lambda writer: [integers.write_count(writer, value) for value in values])
    read = _read(data, lambda reader: [
        integers.read_count(reader, "things", LARGEST) for _ in values])
    assert read == values


@pytest.mark.parametrize("value", sorted({
    count for bits in range(64) for count in (2**bits - 2, 2**bits - 1, 2**bits)
    if 0 <= count <= LARGEST}))
def test_a_count_costs_little_more_than_its_digits(value):
    _, bits = _written(lambda writer: integers.write_count(writer, value))
    digits = (value + 1).bit_length() - 1
    assert bits == pytest.approx(digits + math.log2((digits + 1) * (digits + 2)), abs=1e-4)
    size = math.log2(value + 1)
    assert bits <= size + 2 * math.log2(size + 2) + 1e-4


def test_the_lengths_of_counts_are_those_of_a_complete_code():
    costs = [_written(lambda writer, k=digits: integers.write_count(writer, 2**k - 1))[1] - digits
             for digits in range(63)]
    assert math.fsum(2**-cost for cost in costs) == pytest.approx(63 / 64, abs=1e-9)


@pytest.mark.parametrize("value", [-1, -(2**70), LARGEST + 1, 2**64])
def test_counts_outside_their_range_are_not_written(value):
    with pytest.raises(ValueError, match="is not a count from 0 to"):
        integers.write_count(file.ProgramWriter(), value)


@pytest.mark.parametrize("value, limit", [(2**60, 5), (LARGEST, 2**40), (6, 5), (1, 0)])
def test_a_claim_above_the_limit_is_named(value, limit):
    data, _ = _written(lambda writer: integers.write_count(writer, value))
    with pytest.raises(errors.UserError) as caught:
        _read(data, lambda reader: integers.read_count(reader, "prompt tokens", limit))
    for part in ("toy.sah: ", f"it claims {value} prompt tokens", f"at most {limit} are possible"):
        assert part in str(caught.value)


@pytest.mark.parametrize("limit", [0, 1, 5, 2**40])
def test_a_claim_at_the_limit_is_accepted(limit):
    data, _ = _written(lambda writer: integers.write_count(writer, limit))
    assert _read(data, lambda reader: integers.read_count(reader, "things", limit)) == limit


def test_whatever_bytes_claim_stays_below_the_limit():
    rng = np.random.default_rng(0)
    for size in rng.integers(1, 12, 100):
        try:
            reader = file.ProgramReader(b"\xff" * (size % 4) + rng.bytes(int(size)))
            assert 0 <= integers.read_count(reader, "things", 100) <= 100
        except errors.UserError:
            pass


@SETTINGS
@hypothesis.given(st.lists(st.integers(0, 80).flatmap(
    lambda bits: st.tuples(st.integers(0, (1 << bits) - 1), st.just(bits))), max_size=6))
def test_bits_come_back_and_cost_one_each(pairs):
    data, bits = _written(lambda writer: [integers.write_bits(writer, *pair) for pair in pairs])
    assert bits == sum(size for _, size in pairs)
    assert bits - 8 <= 8 * len(data) <= bits + 8
    assert _read(data, lambda reader: [
        (integers.read_bits(reader, size), size) for _, size in pairs]) == pairs


@pytest.mark.parametrize("value, bits", [(1, 0), (256, 8), (-1, 8), (2**20, 20)])
def test_bits_that_do_not_fit_are_not_written(value, bits):
    with pytest.raises(ValueError, match=f"{value} does not fit in {bits} bits"):
        integers.write_bits(file.ProgramWriter(), value, bits)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 255, 256])
def test_every_choice_comes_back_at_equal_cost(size):
    options = [f"option {index}" for index in range(size)]
    data, bits = _written(lambda writer: [
        integers.write_choice(writer, options, option) for option in options])
    assert bits == pytest.approx(size * math.log2(size), abs=1e-4)
    read = _read(data, lambda reader: [integers.read_choice(reader, options) for _ in options])
    assert read == options


def test_what_is_no_option_is_not_written():
    with pytest.raises(ValueError):
        integers.write_choice(file.ProgramWriter(), (8, 16, 32), 9)


def test_every_decimal_comes_back_exactly():
    decimals = [
        float(f"{mantissa}e-{exponent}") for mantissa in range(1, 100) for exponent in range(16)]
    data, bits = _written(lambda writer: [
        integers.write_decimal(writer, value) for value in decimals])
    assert bits == pytest.approx(len(decimals) * (4 + math.log2(99)), abs=1e-3)
    assert _read(data, lambda reader: [integers.read_decimal(reader) for _ in decimals]) == decimals


@pytest.mark.parametrize("value", [0.0, -0.5, 0.123, 100.0, 1e-17, 1 / 3, 0.1 + 0.2, math.nan])
def test_other_numbers_are_no_decimals(value):
    with pytest.raises(ValueError):
        integers.write_decimal(file.ProgramWriter(), value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e300])
def test_numbers_too_large_are_no_decimals(value):
    with pytest.raises(ValueError):
        integers.write_decimal(file.ProgramWriter(), value)


KINDS = {
    "count": (COUNTS, integers.write_count,
              lambda reader: integers.read_count(reader, "things", LARGEST)),
    "bits": (st.integers(0, 2**21 - 1),
             lambda writer, value: integers.write_bits(writer, value, 21),
             lambda reader: integers.read_bits(reader, 21)),
    "choice": (st.integers(0, 12),
               lambda writer, value: integers.write_choice(writer, range(13), value),
               lambda reader: integers.read_choice(reader, range(13))),
    "decimal": (st.sampled_from([3e-4, 0.5, 99.0, 1e-15]), integers.write_decimal,
                integers.read_decimal)}
FIELDS = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.tuples(st.just(kind), KINDS[kind][0]))


@SETTINGS
@hypothesis.given(st.lists(FIELDS, max_size=12))
def test_fields_of_all_kinds_follow_each_other(fields):
    data, _ = _written(lambda writer: [KINDS[kind][1](writer, value) for kind, value in fields])
    read = _read(data, lambda reader: [(kind, KINDS[kind][2](reader)) for kind, _ in fields])
    assert read == fields
