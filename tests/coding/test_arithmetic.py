"""The arithmetic coder: what goes in comes out, at its ideal length, byte for byte as defined."""

import math
import random

import constriction
import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from sah_jax.coding import arithmetic

TOTAL = arithmetic.TOTAL

# The same cases every time, however busy the machine.
SETTINGS = hypothesis.settings(derandomize=True, deadline=None, max_examples=150)

MOST = 64  # symbols a stream of intervals is padded to, so that one follower is compiled
TABLE_SIZE = 256
TABLE_SYMBOLS = 1024  # decoded by one call at most


@st.composite
def intervals(draw):
    """One symbol: ordinary ones of every size, and the extremes at both ends of the total."""
    ordinary = st.integers(0, arithmetic.TOTAL_BITS).flatmap(lambda bits: st.integers(1, 1 << bits))
    freq = draw(st.sampled_from([1, TOTAL - 1, TOTAL]) | ordinary)
    return draw(st.sampled_from([0, TOTAL - freq]) | st.integers(0, TOTAL - freq)), freq


@st.composite
def tables(draw):
    """A cumulative table of up to 256 symbols whose cuts are multiples of some power of two."""
    precision = draw(st.integers(8, arithmetic.TOTAL_BITS))
    size = draw(st.integers(1, TABLE_SIZE))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    cuts = rng.choice(min((1 << precision) - 1, 1 << 16), size - 1, replace=False) + 1
    table = np.array([0, *sorted(cuts.tolist()), 1 << precision])
    return table << arithmetic.TOTAL_BITS - precision


def _encode(symbols):
    starts, freqs = np.array(symbols, np.int64).reshape(-1, 2).T
    return arithmetic.encode(starts, freqs)


def _number(wide):
    return (int(wide.high) << 32) | int(wide.low)


def _information(symbols):
    return math.fsum(arithmetic.TOTAL_BITS - math.log2(freq) for _, freq in symbols)


def _oracle_interval(symbols):
    """Returns low, range and the bytes moved, with nothing ever cut off from low."""
    low, width, moved = 0, 2**64 - 1, 0
    for start, freq in symbols:
        unit = width >> 30
        low += start * unit
        width = width - start * unit if start + freq == TOTAL else freq * unit
        while width < 2**56:
            low, width, moved = low << 8, width << 8, moved + 1
    return low, width, moved


def _oracle(symbols):
    """The file format on Python's integers: no carries, no limbs, no padding."""
    low, width, moved = _oracle_interval(symbols)
    whole = -(-low >> 64)
    if moved and whole << 64 < low + width:
        return whole.to_bytes(moved, "big")
    return (-(-low >> 56)).to_bytes(moved + 1, "big")


@jax.jit
def _follow_kernel(starts, freqs, window):
    def step(state, symbol):
        return arithmetic.advance(state, *symbol, window), arithmetic.slot(state)
    return jax.lax.scan(step, arithmetic.begin(window), (starts, freqs))


def _follow(data, symbols):
    """Decodes a stream that holds `symbols`; returns the slots met and the state after them."""
    pad = (0, MOST - len(symbols))
    starts, freqs = np.array(symbols, np.int64).reshape(-1, 2).T
    size = arithmetic.HEAD_BYTES + MOST * arithmetic.MAX_SYMBOL_BYTES
    window = np.frombuffer(data.ljust(size, b"\0"), np.uint8)
    state, slots = jax.device_get(_follow_kernel(
        np.pad(starts, pad).astype(np.uint32),
        np.pad(freqs, pad, constant_values=TOTAL).astype(np.uint32), window))
    return slots[: len(symbols)].tolist(), state


def _decode(data, table, count):
    """Returns the symbols of a stream and whether it may end after them."""
    padded = np.full(TABLE_SIZE + 1, TOTAL, np.uint32)
    padded[: len(table)] = table
    stream = np.frombuffer(data.ljust(TABLE_SYMBOLS * 4 + 8, b"\0"), np.uint8)
    state = jax.device_get(arithmetic.begin(stream[:8]))._replace(taken=np.int32(0))
    state, symbols = jax.device_get(arithmetic.decode_table(
        state, padded, np.int32(count), stream[8:][: TABLE_SYMBOLS * 4]))
    return symbols[:count], arithmetic.ends_here(state, 8 + int(state.taken), np.frombuffer(data, np.uint8))


def _symbols(table, chosen):
    return [(int(table[symbol]), int(table[symbol + 1] - table[symbol])) for symbol in chosen]


@SETTINGS
@hypothesis.given(st.lists(intervals(), max_size=MOST))
def test_a_decoder_meets_every_interval_that_was_encoded(symbols):
    data = _encode(symbols)
    slots, state = _follow(data, symbols)
    for slot, (start, freq) in zip(slots, symbols, strict=True):
        assert start <= slot < start + freq
    assert arithmetic.ends_here(state, int(state.taken), np.frombuffer(data, np.uint8))
    # And it stands where the encoder stood.
    low, width, moved = _oracle_interval(symbols)
    point = int.from_bytes(data, "big") << 8 * (8 + moved - len(data))
    assert int(state.taken) == arithmetic.HEAD_BYTES + moved
    assert _number(state.range) == width and _number(state.offset) == point - low


@SETTINGS
@hypothesis.given(st.lists(intervals(), max_size=MOST))
def test_bytes_are_those_of_unbounded_integers(symbols):
    assert _encode(symbols) == _oracle(symbols)


@hypothesis.settings(SETTINGS, max_examples=60)
@hypothesis.given(tables(), st.integers(0, TABLE_SYMBOLS), st.integers(0, 2**32))
def test_symbols_of_a_table_come_back(table, count, seed):
    # Half of the streams follow the table's probabilities, so that their lengths vary.
    rng = np.random.default_rng(seed)
    likely = np.searchsorted(table, rng.integers(0, TOTAL, count), side="right") - 1
    chosen = likely if seed % 2 else rng.integers(0, len(table) - 1, count)
    symbols = _symbols(table, chosen)
    data = _encode(symbols)
    assert data == _oracle(symbols)
    decoded, ends = _decode(data, table, count)
    assert decoded.tolist() == chosen.tolist() and ends


def _towards(point_bytes, count, rng):
    """Intervals that each leave a point, given by its first bytes, strictly inside."""
    symbols = []
    for _ in range(count):
        low, width, moved = _oracle_interval(symbols)
        point = int.from_bytes(point_bytes, "big") << 8 * (8 + moved - len(point_bytes))
        slot = (point - low) // (width >> 30)
        start = max(slot - rng.randrange(1, 40), 0)
        symbols.append((start, min(slot + rng.randrange(2, 40), TOTAL) - start))
    return symbols


@pytest.mark.parametrize("point", [b"\x80", b"\x01", b"\xff", b"\x12\x34\x56\x78\x9a"])
@pytest.mark.parametrize("seed", range(4))
def test_a_carry_runs_through_the_whole_stream(point, seed):
    symbols = _towards(point, 40, random.Random(seed))
    low, _, moved = _oracle_interval(symbols)
    assert moved > 40
    # So far the stream is one less than the point, and 0xff after it; what follows decides.
    below = low >> 64
    assert below == (int.from_bytes(point, "big") << 8 * (moved - len(point))) - 1
    unit = _oracle_interval(symbols)[1] >> 30
    over = -(-((below + 1 << 64) - low) // unit)
    above = [*symbols, (over, TOTAL - over)]
    assert _encode(above) == _oracle(above) and _encode(above)[: len(point)] == point
    under = [*symbols, (0, 1)]
    assert _encode(under) == _oracle(under)
    assert _encode(under)[: moved] == below.to_bytes(moved, "big")
    for stream in (above, under):
        slots, _ = _follow(_encode(stream), stream)
        assert all(start <= slot < start + freq
                   for slot, (start, freq) in zip(slots, stream, strict=True))


def test_a_certain_symbol_costs_nothing_and_changes_nothing():
    symbols = [(5, 7), (2**29, 2**28), (TOTAL - 1, 1)]
    with_certain = [(0, TOTAL), *(part for symbol in symbols for part in (symbol, (0, TOTAL)))]
    assert _encode(with_certain) == _encode(symbols)
    assert _encode([(0, TOTAL)] * 1000) == _encode([])


@SETTINGS
@hypothesis.given(st.lists(intervals(), max_size=MOST))
def test_a_file_is_its_information_in_whole_bytes(symbols):
    data = _encode(symbols)
    assert 8 * len(data) <= max(_information(symbols), 0) + 8 + len(symbols) * 2**-25
    # An interval that ends the total also gets what 30-bit units leave over, so it may cost less.
    inner = [(start, freq) for start, freq in symbols if start + freq < TOTAL]
    assert 8 * len(_encode(inner)) >= _information(inner) - 8


@pytest.mark.parametrize("size", [2, 3, 17, 200])
def test_long_streams_stay_at_their_ideal_length(size):
    rng = np.random.default_rng(size)
    cuts = rng.choice(TOTAL - 1, size - 1, replace=False) + 1
    table = np.array([0, *np.sort(cuts), TOTAL])
    chosen = np.searchsorted(table, rng.integers(0, TOTAL, 100_000), side="right") - 1
    excess = 8 * len(_encode(_symbols(table, chosen))) - _information(_symbols(table, chosen))
    assert -9 < excess <= 8 + len(chosen) * 2**-25


@pytest.mark.parametrize("seed", range(10))
def test_never_longer_than_another_range_coder(seed):
    # Probabilities that both coders hold exactly: constriction's have 24 bits.
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.choice(2**24 - 1, rng.integers(1, 100), replace=False) + 1)
    table = np.array([0, *cuts, 2**24]) << 6
    chosen = np.searchsorted(table, rng.integers(0, TOTAL, rng.integers(1, 5000)), side="right") - 1
    model = constriction.stream.model.Categorical(np.diff(table) / TOTAL, perfect=True)
    other = constriction.stream.queue.RangeEncoder()
    other.encode(chosen.astype(np.int32), model)
    ours = 8 * len(_encode(_symbols(table, chosen)))
    # It ends on words of 32 bits, which by luck can be a few bits short of the information.
    assert ours <= other.num_bits() + 8
    assert other.num_bits() <= ours + 64


@pytest.mark.parametrize("symbols, data", [
    ([], "00"),
    ([(0, TOTAL)], "00"),
    ([(0, 1)], "000000"),
    ([(TOTAL - 1, 1)], "fffffffc"),
    ([(1, TOTAL - 1)], "01"),
    ([(TOTAL // 2, TOTAL // 2)], "80"),
    ([(TOTAL // 256 * byte, TOTAL // 256) for byte in b"sah"], "736168"),
    ([(123456789, 1000), (7, 1), (987654321, 86087503), (0, TOTAL - 1)],
     "1d6f3453f8a622"),
])
def test_pinned_streams(symbols, data):
    """These bytes are the file format: a change here breaks every program file there is."""
    assert _encode(symbols).hex() == data


@pytest.mark.parametrize("start, freq", [
    (-1, 2), (0, 0), (5, -1), (0, TOTAL + 1), (TOTAL, 1), (TOTAL - 1, 2), (2**32, 1),
    (0, 2**32 + 1)])
def test_intervals_outside_the_total_are_refused(start, freq):
    with pytest.raises(ValueError, match="interval out of range"):
        _encode([(0, TOTAL), (start, freq), (3, 4)])


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33, 1000, 4096, 4097])
def test_buckets_are_powers_of_two_that_hold_the_size(size):
    bucket = arithmetic.bucket(size)
    assert bucket & (bucket - 1) == 0
    assert max(size, 16) <= bucket < max(2 * size, 17)


def _programs(number):
    """Random tables of all shapes, with symbols drawn from them, and their streams."""
    rng = np.random.default_rng(0)
    for _ in range(number):
        size = int(rng.choice([2, 3, 5, 20, 200]))
        weights = rng.random(size) ** rng.choice([1, 6]) + 1e-6
        table = np.concatenate([[0], np.cumsum(weights) / weights.sum() * TOTAL]).astype(np.int64)
        table[-1] = TOTAL
        count = int(rng.choice([3, 10, 30, 60]))
        chosen = np.searchsorted(table, rng.integers(0, TOTAL, count), side="right") - 1
        yield table, chosen.tolist(), _encode(_symbols(table, chosen)), rng


def test_a_shortened_stream_never_holds_the_same_symbols():
    """Losing two bytes or more goes unnoticed in few streams, those that by luck end early.

    Losing the last byte mostly goes unnoticed where the number of symbols is fixed: nothing in
    the stream is redundant, and what is left is the stream of other symbols.
    """
    cuts = unnoticed = 0
    for table, chosen, data, _ in _programs(150):
        for size in range(1, len(data)):
            decoded, ends = _decode(data[:size], table, len(chosen))
            assert not ends or decoded.tolist() != chosen
            if size < len(data) - 1:
                cuts += 1
                unnoticed += ends
    assert cuts > 900
    assert unnoticed < 0.02 * cuts


def test_a_lengthened_stream_is_refused():
    """One more byte goes unnoticed in about one stream of a hundred, two in none of these."""
    by_one = by_more = programs = 0
    for table, chosen, data, rng in _programs(150):
        programs += 1
        for tail in (bytes(1), bytes([1]), bytes([128]), bytes([255]), rng.bytes(1)):
            decoded, ends = _decode(data + tail, table, len(chosen))
            by_one += ends
            assert not ends or decoded.tolist() != chosen or tail == bytes(1)
        for tail in (bytes(2), b"\xff\xff", rng.bytes(2), rng.bytes(3), rng.bytes(9)):
            by_more += _decode(data + tail, table, len(chosen))[1]
    assert by_one < 0.02 * 5 * programs
    assert by_more == 0


def test_an_accepted_stream_is_what_its_symbols_are_written_as():
    """So no file counts more bits than its content needs.

    But for one stream in some hundred: where the writer's ends with the bytes moved, one that
    has one byte more can be accepted too. (And of streams of one byte that hold less than
    eight bits every one is.)
    """
    accepted = longer = 0
    for table, chosen, data, rng in _programs(300):
        stream = rng.bytes(max(len(data), 2))
        decoded, ends = _decode(stream, table, len(chosen))
        if ends:
            written = _encode(_symbols(table, decoded))
            accepted += 1
            longer += written != stream
            assert written == stream or len(written) == len(stream) - 1
    assert accepted > 30
    assert longer < 0.03 * accepted


_slots = jax.jit(arithmetic.slot)


def _wide(numbers):
    return arithmetic.Wide(*(np.array([n >> shift & 0xFFFFFFFF for n in numbers], np.uint32)
                             for shift in (32, 0)))


def test_the_slot_is_the_quotient_of_offset_and_unit():
    rng = random.Random(5)
    widths = [2**56, 2**56 + 1, 2**57 - 1, 2**63, 2**64 - 1, (2**34 - 1) << 30, (2**33 + 1) << 30]
    widths += [rng.randrange(1 << bits, 2 << bits) for bits in range(56, 64) for _ in range(500)]
    cases = []
    for width in widths:
        unit = width >> 30
        # Around multiples of the unit and of its first digit, where an estimate could slip.
        near = [unit * rng.randrange(2**30), (unit << 15) * rng.randrange(2**15), unit << 30, width, 0]
        offsets = {rng.randrange(width), *(n + d for n in near for d in (-2, -1, 0, 1))}
        cases += [(offset, width) for offset in offsets if 0 <= offset < width]
    offsets, widths = zip(*cases, strict=True)
    got = _slots(arithmetic.State(_wide(offsets), _wide(widths), np.int32(0)))
    assert got.tolist() == [min(o // (w >> 30), TOTAL - 1) for o, w in cases]
