"""The arithmetic coder: intervals to bytes and back, as XLA kernels on uint32.

A range coder (Martin 1979) with 64-bit low and range, each held as two uint32 limbs (x64
stays off). Coding the interval [start, start + freq) of a total 2**30 with
unit = range >> 30 maps
  low   -> low + start * unit
  range -> freq * unit, or what is left of the range for the interval that ends the total
and while range is below 2**56 the top byte of low moves to the stream. Rounding the unit
costs a symbol at most 1.45 * 2**-26 bits.

The bytes after a file's end count as zeros, so it ends as soon as that names a point of the
last interval: with the bytes already moved if they do, else with one more. So a file costs
its information rounded up to whole bytes, and a reader that has decoded a program knows
what length its file must have.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

TOTAL_BITS = 30
"""Every interval is a part of [0, 2**TOTAL_BITS)."""

TOTAL = 1 << TOTAL_BITS

MAX_SYMBOL_BYTES = 4
"""The most bytes one symbol moves to or takes from the stream."""

HEAD_BYTES = 8
"""The bytes a decoder holds before the first symbol."""

_LEAST_HIGH = 1 << 24  # the high limb of 2**56

_CARRY = 1 << 3  # more than a symbol's count of bytes
_FIRST_BYTES = np.tri(MAX_SYMBOL_BYTES + 1, MAX_SYMBOL_BYTES, -1, bool)  # [k] masks the first k


class Wide(NamedTuple):
    """An unsigned 64-bit number as two uint32 limbs."""

    high: jax.Array
    low: jax.Array


class State(NamedTuple):
    """The decoder's position.

    offset: the stream's value less the encoder's low; always below `range`.
    range: the width of the current interval.
    taken: int32, window bytes taken so far, also past the end of the stream.
    """

    offset: Wide
    range: Wide
    taken: jax.Array


def _add(a: Wide, b: Wide) -> tuple[Wide, jax.Array]:
    """a + b modulo 2**64, and whether it wrapped."""
    low = a.low + b.low
    carry = (low < a.low).astype(jnp.uint32)
    high = a.high + b.high
    wrapped = (high < a.high) | ((high == jnp.uint32(0xFFFFFFFF)) & (carry == 1))
    return Wide(high + carry, low), wrapped


def _subtract(a: Wide, b: Wide) -> Wide:
    """a - b for a >= b."""
    return Wide(a.high - b.high - (a.low < b.low).astype(jnp.uint32), a.low - b.low)


def _less(a: Wide, b: Wide) -> jax.Array:
    return (a.high < b.high) | ((a.high == b.high) & (a.low < b.low))


def _scale(count: jax.Array, unit: Wide) -> Wide:
    """count * unit, for a product below 2**64; count is uint32."""
    a_high, a_low, b_high, b_low = count >> 16, count & 0xFFFF, unit.low >> 16, unit.low & 0xFFFF
    low = a_low * b_low
    cross = a_high * b_low + (low >> 16)  # at most (2**16-1)**2 + 2**16-1: no overflow
    cross_2 = a_low * b_high + (cross & 0xFFFF)
    high = a_high * b_high + (cross >> 16) + (cross_2 >> 16) + count * unit.high
    return Wide(high, (cross_2 << 16) | (low & 0xFFFF))


def _unit(width: Wide) -> Wide:
    return Wide(width.high >> TOTAL_BITS, (width.high << 2) | (width.low >> TOTAL_BITS))


def _narrow(width: Wide, unit: Wide, start: jax.Array, freq: jax.Array) -> tuple[Wide, Wide]:
    """Returns start * unit and the range of the interval [start, start + freq)."""
    below = _scale(start, unit)
    inner, last = _scale(freq, unit), _subtract(width, below)
    ends = start + freq == TOTAL
    return below, Wide(jnp.where(ends, last.high, inner.high), jnp.where(ends, last.low, inner.low))


def _shift_byte(x: Wide, shift: jax.Array, byte: jax.Array | int = 0) -> Wide:
    """x * 256 + byte where `shift`, else x."""
    return Wide(jnp.where(shift, (x.high << 8) | (x.low >> 24), x.high),
                jnp.where(shift, (x.low << 8) | byte, x.low))


@jax.jit
def _encode_kernel(starts: jax.Array, freqs: jax.Array):
    """Codes intervals [n].

    Returns:
      uint32 [n], whose top bytes each symbol moves to the stream; uint8 [n], how many of them,
      plus `_CARRY` where the symbol carries; uint32 [4], the limbs of low and range at the end.
    """

    def code(state, interval):
        low, width = state
        below, width = _narrow(width, _unit(width), *interval)
        low, carry = _add(low, below)
        top, count = low.high, jnp.uint8(0)
        for _ in range(MAX_SYMBOL_BYTES):
            shift = width.high < _LEAST_HIGH
            count += shift
            low, width = _shift_byte(low, shift), _shift_byte(width, shift)
        return (low, width), (top, count + jnp.where(carry, jnp.uint8(_CARRY), jnp.uint8(0)))

    zero, ones = jnp.uint32(0), jnp.uint32(0xFFFFFFFF)
    (low, width), (tops, counts) = jax.lax.scan(
        code, (Wide(zero, zero), Wide(ones, ones)), (starts, freqs))
    return tops, counts, jnp.stack([*low, *width])


def encode(starts: np.ndarray, freqs: np.ndarray) -> bytes:
    """Codes the intervals [start, start + freq) into bytes.

    Args:
      starts: uint32 [n].
      freqs: uint32 [n], each at least 1; start + freq is at most 2**30.

    Raises:
      ValueError: an interval is empty or leaves [0, 2**30).
    """
    starts, freqs = np.asarray(starts, np.int64), np.asarray(freqs, np.int64)
    if np.any(starts < 0) or np.any(freqs < 1) or np.any(starts + freqs > TOTAL):
        raise ValueError("interval out of range: a symbol needs freq >= 1 and start + freq <= 2**30")
    # The whole total as padding changes neither low nor range.
    padded = np.zeros((2, bucket(len(starts))), np.uint32)
    padded[:, : len(starts)] = starts, freqs
    padded[1, len(starts) :] = TOTAL
    tops, counts, last = map(np.asarray, _encode_kernel(*padded))
    carries, counts = counts >= _CARRY, counts % _CARRY
    body = tops.astype(">u4").view(np.uint8).reshape(-1, 4)[_FIRST_BYTES[counts]]
    # A carry belongs to the byte before its symbol's; the intervals are nested, so at most
    # one falls on a byte. Python's integers let it run on from there.
    carried = np.zeros(len(body), np.uint8)
    carried[(np.cumsum(counts, dtype=np.int64) - counts)[carries] - 1] = 1
    value = int.from_bytes(body.tobytes(), "big") + int.from_bytes(carried.tobytes(), "big")
    low, width = ((int(high) << 32) | int(low) for high, low in last.reshape(2, 2))
    if len(body) and -low % (1 << 64) < width:
        return (value + (low > 0)).to_bytes(len(body), "big")
    # The multiple of 2**56 at or above low; it lies inside the range, which is no narrower.
    return (value * 256 + -(-low >> 56)).to_bytes(len(body) + 1, "big")


def bucket(size: int, smallest: int = 16) -> int:
    """Returns the power of two that `size` is padded to, so that few shapes are compiled."""
    return max(smallest, 1 << max(size - 1, 0).bit_length())


@jax.jit
def begin(window: jax.Array) -> State:
    """Returns the state at the beginning of a stream, given its first 8 bytes (uint8 [>= 8])."""
    ones = jnp.uint32(0xFFFFFFFF)
    offset = Wide(jnp.uint32(0), jnp.uint32(0))
    for index in range(HEAD_BYTES):
        offset = _shift_byte(offset, jnp.bool_(True), window[index].astype(jnp.uint32))
    return State(offset, Wide(ones, ones), jnp.int32(HEAD_BYTES))


def slot(state: State) -> jax.Array:
    """Returns the number below 2**30 whose interval is the next symbol's: offset // unit, capped."""
    unit = _unit(state.range)
    # Division by digits of 15 bits (Knuth, The Art of Computer Programming 4.3.1, algorithm D).
    # The divisor is moved up, by 15 to 22, until its high limb h has 17 bits. Then a digit that is
    # estimated from the high limbs alone is at most 1 too small: the estimate differs from the
    # quotient by less than (2**32 + h) / (h * (h + 1)) <= 1.
    zeros = jnp.where(unit.high > 0, jax.lax.clz(unit.high), 32 + jax.lax.clz(unit.low))
    divisor = _shift_left(unit, zeros - 15)
    first, rest = _digit(_shift_left(state.offset, zeros - 30), divisor)
    second, _ = _digit(_shift_left(rest, jnp.uint32(15)), divisor)
    return jnp.minimum((first << 15) + second, TOTAL - 1)


def slot_is_below(state: State, start: jax.Array) -> jax.Array:
    """Returns whether slot(state) < start, for a uint32 start below 2**30: a product, no division."""
    return _less(state.offset, _scale(start, _unit(state.range)))


def _shift_left(x: Wide, by: jax.Array) -> Wide:
    """x << by, for 0 <= by < 32; what leaves at the top is lost."""
    carried = jnp.where(by > 0, x.low >> (32 - jnp.maximum(by, 1)), 0)
    return Wide((x.high << by) | carried, x.low << by)


def _digit(rest: Wide, divisor: Wide) -> tuple[jax.Array, Wide]:
    """Returns quotient and remainder, for a quotient of at most 2**15; see `slot`."""
    digit = rest.high // (divisor.high + 1)
    rest = _subtract(rest, _scale(digit, divisor))
    fits = ~_less(rest, divisor)
    less = _subtract(rest, divisor)
    return digit + fits, Wide(
        jnp.where(fits, less.high, rest.high), jnp.where(fits, less.low, rest.low))


def advance(state: State, start: jax.Array, freq: jax.Array, window: jax.Array) -> State:
    """Moves past the symbol [start, start + freq), which holds `slot(state)`.

    Args:
      state: before the symbol; `taken` is a position in `window`.
      start, freq: uint32 scalars.
      window: uint8 [W], the next bytes of the stream and zeros after its end; at least
        `MAX_SYMBOL_BYTES` a symbol.
    """
    below, width = _narrow(state.range, _unit(state.range), start, freq)
    offset, taken = _subtract(state.offset, below), state.taken
    for _ in range(MAX_SYMBOL_BYTES):
        shift = width.high < _LEAST_HIGH
        byte = window[jnp.minimum(taken, window.size - 1)].astype(jnp.uint32)
        offset, width = _shift_byte(offset, shift, byte), _shift_byte(width, shift)
        taken += shift
    return State(offset, width, taken)


def ends_here(state: State, taken: int, data: np.ndarray) -> bool:
    """Whether a stream (uint8 [n]), `taken` bytes of which were taken, is what `encode` ends at `state`.

    (Of other programs' files some are accepted too: without redundancy in it, a stream that
    was cut or altered can be another program's.)
    """
    moved = taken - HEAD_BYTES
    if len(data) == moved:
        return moved > 0
    offset, width = ((int(x.high) << 32) | int(x.low) for x in (state.offset, state.range))
    low = (int(data[-1]) << 56) - offset
    needed = moved == 0 or -low % (1 << 64) >= width
    return len(data) == moved + 1 and needed and offset < 1 << 56


@jax.jit
def decode_table(
    state: State, cumulative: jax.Array, count: jax.Array, window: jax.Array
) -> tuple[State, jax.Array]:
    """Decodes `count` symbols that share one table.

    Args:
      state: before the symbols; `taken` is a position in `window`.
      cumulative: uint32 [S + 1], 0 to 2**30; a padded table repeats its last entry.
      count: int32 scalar, at most W // `MAX_SYMBOL_BYTES`.
      window: uint8 [W], see `advance`.

    Returns:
      The state after them, and int32 [W // `MAX_SYMBOL_BYTES`] symbols, of which `count` count.
    """
    symbols = jnp.zeros(window.size // MAX_SYMBOL_BYTES, jnp.int32)

    def one(index, carry):
        state, symbols = carry
        symbol = jnp.sum(cumulative[1:] <= slot(state), dtype=jnp.int32)
        start = cumulative[symbol]
        state = advance(state, start, cumulative[symbol + 1] - start, window)
        return state, symbols.at[index].set(symbol)

    return jax.lax.fori_loop(0, count, one, (state, symbols))
