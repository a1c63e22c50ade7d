"""The ledger: every bit of a file belongs to one field, and no field to more than it coded."""

import fractions
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from sah_jax.coding import arithmetic, ledger

# The same cases every time, however busy the machine.
SETTINGS = hypothesis.settings(derandomize=True, deadline=None, max_examples=200)

FREQS = st.lists(st.integers(0, 30).flatmap(lambda bits: st.integers(1, 1 << bits)), max_size=20)
BOOKINGS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d"]), FREQS), max_size=12)


def _booked(bookings):
    book = ledger.Ledger()
    for field, freqs in bookings:
        book.add(field, np.array(freqs, np.uint32))
    return book


def _information(freqs):
    return math.fsum(arithmetic.TOTAL_BITS - math.log2(freq) for freq in freqs)


def _by_field(bookings):
    fields = dict.fromkeys(field for field, _ in bookings)
    for name in fields:
        fields[name] = _information(
            [freq for field, freqs in bookings if field == name for freq in freqs])
    return fields


@SETTINGS
@hypothesis.given(BOOKINGS, st.integers(0, 900))
def test_entries_sum_to_the_file_whatever_its_size(bookings, size):
    entries = _booked(bookings).entries(size)
    assert sum(entry.bits for entry in entries) == 8 * size
    assert all(isinstance(entry.bits, int) and entry.bits >= 0 for entry in entries)
    assert [entry.field for entry in entries] == [*_by_field(bookings), ledger.TERMINATION]


@SETTINGS
@hypothesis.given(BOOKINGS, st.integers(0, 2))
def test_fields_get_their_information_in_whole_bits(bookings, spare):
    expected = _by_field(bookings)
    total = math.fsum(expected.values())
    *fields, end = _booked(bookings).entries(math.ceil(total / 8) + spare)
    for entry in fields:
        assert entry.bits == pytest.approx(expected[entry.field], abs=1)
        assert entry.ideal_bits == pytest.approx(expected[entry.field], abs=1e-6)
    # Not only each, but also all before any point: rounding does not add up.
    done = information = 0
    for entry in fields:
        done, information = done + entry.bits, information + expected[entry.field]
        assert information - 1 - 1e-6 < done <= information + 1e-6
    assert 8 * spare <= end.bits < 8 * spare + 9 and end.ideal_bits == 0


@SETTINGS
@hypothesis.given(BOOKINGS)
def test_symbols_can_be_booked_one_by_one_or_together(bookings):
    single = _booked([(field, [freq]) for field, freqs in bookings for freq in freqs or [2**30]])
    for one, many in zip(single.entries(300), _booked(bookings).entries(300), strict=True):
        assert one.field == many.field and abs(one.bits - many.bits) <= 1
        assert one.ideal_bits == pytest.approx(many.ideal_bits)


@pytest.mark.parametrize("portions", [1, 7, 3000])
def test_sums_are_exact_whatever_the_portions_and_their_order(portions):
    rng = np.random.default_rng(0)
    freqs = rng.integers(1, 1 << 30, 3000).astype(np.uint32)
    # So large a cost that a sum after it loses what is behind the point.
    ideal = np.append(2.0**53, rng.random(2999))
    bits = arithmetic.TOTAL_BITS - np.log2(freqs.astype(np.float64))
    exact = tuple(float(sum(map(fractions.Fraction, costs.tolist()))) for costs in (bits, ideal))
    assert exact[0] != np.cumsum(bits)[-1] and exact[1] not in (np.cumsum(ideal)[-1], np.sum(ideal))
    for order in (np.arange(3000), np.argsort(ideal)):
        book = ledger.Ledger()
        for part in np.array_split(order, portions):
            book.add("a", freqs[part], ideal[part])
        assert book.costs("a") == exact and book.ideal_bits == exact[1]
        assert [entry.ideal_bits for entry in book.entries(10)] == [exact[1], 0]
        assert [part.ideal_bits for part in book.view("token", 10)] == [exact[1], 0]


def test_a_file_shorter_than_its_information_takes_from_the_last_fields():
    book = _booked([("a", [1, 1 << 20]), ("b", [1 << 10]), ("c", [1 << 29])])  # 40, 20 and 1 bits
    for size, bits in ((8, [40, 20, 1, 3]), (7, [40, 16, 0, 0]), (2, [16, 0, 0, 0])):
        assert [entry.bits for entry in book.entries(size)] == bits


def test_ideal_bits_are_what_was_said_they_are_else_the_information():
    book = ledger.Ledger()
    book.add("prompt", np.array([1 << 20, 1 << 29], np.uint32), np.array([9.0, 1.25]))
    book.add("array", np.array([1 << 28], np.uint32))
    book.add("prompt", np.array([1 << 25], np.uint32), np.array([4.5]))
    assert book.ideal_bits == 16.75
    assert book.entries(3) == [
        ("prompt", 16, 14.75), ("array", 2, 2.0), (ledger.TERMINATION, 6, 0.0)]


def test_an_empty_ledger_is_all_termination():
    assert ledger.Ledger().entries(1) == [(ledger.TERMINATION, 8, 0.0)]
    assert ledger.Ledger().ideal_bits == 0


# Two layers of two arrays, two examples of two and one tokens, and what belongs to none.
def _structured():
    book = ledger.Ledger()
    book.add("header", np.array([1 << 22], np.uint32))  # 8 bits
    for field, bits in (("q", [1, 2, 3, 4]), ("v", [5, 6, 7, 8])):
        book.add(field, np.array([1 << 30 - b for b in bits], np.uint32),
                 parts={"layer": np.array([0, 0, 1, 1])})
    book.add("examples", np.array([1 << 20, 1 << 19, 1 << 18], np.uint32), np.array([9.5, 11, 12]), parts={
        "example": np.array([0, 1, 0]), "token": np.array([0, 0, 1]), "token_id": np.array([71, 72, 73])})
    return book


@pytest.mark.parametrize("view, expected", [
    ("field", {"header": 8, "q": 10, "v": 26, "examples": 33}),
    ("tensor", {"header": 8, "q, layer 0": 3, "q, layer 1": 7, "v, layer 0": 11, "v, layer 1": 15,
                "examples": 33}),
    ("layer", {"header": 8, "layer 0": 14, "layer 1": 22, "examples": 33}),
    ("example", {"header": 8, "q": 10, "v": 26, "example 0": 22, "example 1": 11}),
    ("token", {"header": 8, "q": 10, "v": 26, "example 0 token 0": 10, "example 1 token 0": 11,
               "example 0 token 1": 12})])
def test_views_add_up_what_belongs_together(view, expected):
    parts = _structured().view(view, 10)
    assert {part.name: part.bits for part in parts} == expected | {ledger.TERMINATION: 3}
    ids = [part.token_id for part in parts if part.token_id is not None]
    assert ids == ([71, 72, 73] if view == "token" else [])
    assert math.fsum(part.ideal_bits for part in parts) == pytest.approx(76.5)


def test_tokens_that_are_of_no_example_are_told_apart_by_their_field():
    book = ledger.Ledger()
    for field, freq in (("cue", 1 << 28), ("prompt", 1 << 27)):
        book.add(field, np.array([freq], np.uint32), parts={
            "token": np.array([0]), "token_id": np.array([4])})
    assert book.view("token", 1) == [
        ("cue, token 0", 2, 2.0, 4), ("prompt, token 0", 3, 3.0, 4), (ledger.TERMINATION, 3, 0.0, None)]


def test_views_that_tell_more_than_the_fields_are_named():
    assert _structured().views == ("tensor", "layer", "example", "token")
    assert _booked([("a", [5])]).views == ()
    with pytest.raises(ValueError, match="view is 'color', expected one of field, tensor"):
        _structured().view("color", 10)


PLACES = st.fixed_dictionaries({}, optional={
    axis: st.integers(0, 3) for axis in ("layer", "example", "token")})


@SETTINGS
@hypothesis.given(st.lists(st.tuples(st.sampled_from("ab"), FREQS, PLACES), max_size=12), st.integers(0, 900))
def test_every_view_sums_to_the_file_whatever_its_size(bookings, size):
    book = ledger.Ledger()
    for field, freqs, places in bookings:
        book.add(field, np.array(freqs, np.uint32),
                 parts={axis: np.full(len(freqs), place) for axis, place in places.items()})
    for view in ledger.VIEWS:
        parts = book.view(view, size)
        assert sum(part.bits for part in parts) == 8 * size and min(part.bits for part in parts) >= 0
        assert math.fsum(part.ideal_bits for part in parts) == pytest.approx(book.ideal_bits)
        assert len({part.name for part in parts}) == len(parts)
