"""Quantised arrays under a prior that learns while it codes, in integers only.

A value is a few binary decisions: whether it is zero, its sign, the number of its binary
digits (in unary) and the digits after the first. Each is coded with the share of zeros and
ones that its context has seen, half a one added to both (Krichevsky and Trofimov 1981); a
context halves its counts now and then and so forgets (as the binary coders of video do:
CABAC, Marpe et al. 2003; for networks DeepCABAC, Wiedemann et al. 2020, arXiv 1907.11900).
Nothing but the decisions is coded: no scale, no shape.

`_run` is one compiled kernel for both directions, told at run time which one it is: it runs
through the decisions of up to `_CHUNK` values. So writer and reader learn alike.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax.coding import arithmetic, file, ledger

_CHUNK = 1024  # values of one call

# Zero or not, the sign, and for 15 binary digits: 14 decisions on their number, 14 digits.
_MAX_DECISIONS = 30

# Counts are doubled, so that a half is 1. They are halved above this sum, after some 250
# decisions: the layers of an adapter differ.
_MOST = 510

# The local prior's contexts: a running mean of the magnitudes, which moves an eighth of the
# way to each new one, in 64ths; its number of binary digits decides the row.
_MEAN_SHIFT = 3
_MEAN_ONE = 64
_ROWS = 32

# Contexts of a row: zero or not; the k-th decision on the number of digits.
_ROW_SIZE = 16
# Contexts that all rows share: the sign; by number of digits, the first two after the leading one.
_SIGN = _ROWS * _ROW_SIZE
_DIGITS = _SIGN + 1
_CONTEXTS = _DIGITS + 4 * 16

# A context's counts in one word, zeros in the low half; few arrays make the kernel fast.
_HALF = 16
_FRESH_COUNTS = 1 << _HALF | 1


class _Model(NamedTuple):
    """What was learned.

    counts: uint32 [_CONTEXTS], twice the ones seen plus 1, and the same of the zeros.
    mean: int32, 8 * 64 times the running mean of the magnitudes.
    """

    counts: jax.Array
    mean: jax.Array


class _Position(NamedTuple):
    """Where the coder is: all int32.

    index: of the value.
    decision: 0 zero or not, 1 sign, 2 number of digits, 3 digits.
    value: as far as it is known.
    digits: of the value, those known to follow the leading one.
    """

    index: jax.Array
    decision: jax.Array
    value: jax.Array
    digits: jax.Array


class _Coded(NamedTuple):
    """What a call coded.

    values: int32 [_CHUNK].
    ends: int32 [_CHUNK], how many decisions there were when the value was complete.
    decisions: uint32, of which `count` count: freq, and 2**31 for a one.
    """

    values: jax.Array
    ends: jax.Array
    decisions: jax.Array
    count: jax.Array


_ONE_FLAG = np.uint32(1 << 31)


def _fresh() -> _Model:
    return _Model(np.full(_CONTEXTS, _FRESH_COUNTS, np.uint32), np.int32(0))


def _number_of_digits(x: jax.Array) -> jax.Array:
    return 32 - jax.lax.clz(x)


def _by_decision(at: _Position, *values):
    """Returns the first value at decision 0, the second at decision 1, and so on."""
    result = values[3]
    for decision in range(3):
        result = jnp.where(at.decision == decision, values[decision], result)
    return result


def _digits_known(at: _Position) -> jax.Array:
    return _number_of_digits(jnp.abs(at.value)) - 1


def _context(at: _Position, row: jax.Array) -> jax.Array:
    known = _digits_known(at)
    # Digits after the first two share the context 0 of their number.
    prefix = jnp.where(known == 0, 1, jnp.where(known == 1, 2 + (at.value & 1), 0))
    return _by_decision(
        at, row * _ROW_SIZE, _SIGN, row * _ROW_SIZE + 1 + at.digits, _DIGITS + 4 * at.digits + prefix)


def _given(at: _Position, value: jax.Array) -> jax.Array:
    """Returns the decision that codes a known value."""
    magnitude = jnp.abs(value)
    place = jnp.maximum(at.digits - _digits_known(at) - 1, 0)
    return _by_decision(
        at, value != 0, value < 0, _number_of_digits(magnitude) - 1 > at.digits,
        (magnitude >> place) & 1 == 1)


def _after(at: _Position, one: jax.Array, most_digits: jax.Array) -> tuple[_Position, jax.Array]:
    """Returns the position after a decision, and whether the value is complete."""
    digits = at.digits + ((at.decision == 2) & one)
    value = _by_decision(
        at, one.astype(jnp.int32), jnp.where(one, -1, 1), at.value,
        2 * at.value + jnp.where(one, jnp.sign(at.value), 0))
    # The number of digits is known after a zero, or where it cannot be greater.
    more = one & (digits < most_digits)
    complete = _by_decision(
        at, ~one, most_digits == 0, ~more & (digits == 0), digits == _digits_known(at) + 1)
    decision = _by_decision(at, 1, 2, jnp.where(more, 2, 3), 3)
    return _Position(at.index, decision, value, digits), complete


@jax.jit
def _run(decoding, local, bits, count, values, model, state, window):
    """Codes `count` values in either direction.

    Args:
      decoding: bool scalar; if not, `values` (int32 [_CHUNK]) are coded.
      local: int32 scalar, 1 for contexts by the running mean and else 0.
      bits: int32 scalar, the width of the values.
      count: int32 scalar.
      model: what was learned before.
      state, window: the decoder's, see `arithmetic.advance`; not used by the encoder.

    Returns:
      The decoder's state, the model, and `_Coded`.
    """
    zero = jnp.int32(0)

    def context_of(at, model):
        return _context(at, local * _number_of_digits(model.mean))

    def one_decision(carry):
        at, seen, model, state, coded = carry
        zeros, ones = seen & (1 << _HALF) - 1, seen >> _HALF
        split = jnp.uint32(arithmetic.TOTAL) // (zeros + ones) * zeros
        one = jnp.where(decoding, ~arithmetic.slot_is_below(state, split), _given(at, values[at.index]))
        start = jnp.where(one, split, 0)
        freq = jnp.where(one, arithmetic.TOTAL - split, split)
        state = arithmetic.advance(state, start, freq, window)
        halve = zeros + ones + 2 > _MOST
        zeros, ones = ((x + 2 * added + halve) >> halve for x, added in ((zeros, ~one), (ones, one)))
        counts = model.counts.at[context_of(at, model)].set(ones << _HALF | zeros)
        at, complete = _after(at, one, bits - 2)
        mean = model.mean - (model.mean >> _MEAN_SHIFT) + _MEAN_ONE * jnp.abs(at.value)
        model = _Model(counts, jnp.where(complete, mean, model.mean))
        decision = freq | jnp.where(one, _ONE_FLAG, 0)
        coded = _Coded(
            coded.values.at[at.index].set(at.value), coded.ends.at[at.index].set(coded.count + 1),
            coded.decisions.at[coded.count].set(decision), coded.count + 1)
        fresh = _Position(at.index + 1, zero, zero, zero)
        at = jax.tree.map(lambda new, old: jnp.where(complete, new, old), fresh, at)
        # Read here, after the update: XLA would copy all counts for a read before it.
        return at, model.counts[context_of(at, model)], model, state, coded

    at = _Position(zero, zero, zero, zero)
    coded = _Coded(
        jnp.zeros_like(values), jnp.zeros_like(values), jnp.zeros(_CHUNK * _MAX_DECISIONS, jnp.uint32), zero)
    _, _, model, state, coded = jax.lax.while_loop(
        lambda carry: carry[0].index < count, one_decision,
        (at, model.counts[context_of(at, model)], model, state, coded))
    return state, model, coded


class Decisions(NamedTuple):
    """Binary decisions as intervals: starts and freqs, uint32 [n], and which value each is of, int64 [n]."""

    starts: np.ndarray
    freqs: np.ndarray
    places: np.ndarray


def _decisions(coded: _Coded, first: int, number: int) -> Decisions:
    decisions = coded.decisions[: coded.count]
    freqs = decisions & ~_ONE_FLAG
    starts = np.where(decisions & _ONE_FLAG, arithmetic.TOTAL - freqs, 0).astype(np.uint32)
    each = np.diff(coded.ends[:number], prepend=0)
    return Decisions(starts, freqs, np.repeat(np.arange(first, first + number), each))


_WINDOW_SYMBOLS = _CHUNK * _MAX_DECISIONS


def decisions(values: np.ndarray, bits: int, local: bool) -> Decisions:
    """Returns the decisions that code an array.

    Args:
      values: integers [n] of at most `priors.levels(bits)` in magnitude.
      bits: one of `priors.BITS`.
      local: whether the contexts depend on the magnitudes of the values before.
    """
    # The state and window of a decoder at the start of an empty stream: not used, same shapes.
    window = np.zeros(_WINDOW_SYMBOLS * arithmetic.MAX_SYMBOL_BYTES, np.uint8)
    state = arithmetic.begin(window[: arithmetic.HEAD_BYTES])
    model, parts = _fresh(), []
    for first in range(0, len(values), _CHUNK):
        part = np.zeros(_CHUNK, np.int32)
        number = len(values[first : first + _CHUNK])
        part[:number] = values[first : first + _CHUNK]
        _, model, coded = _run(
            np.bool_(False), np.int32(local), np.int32(bits), np.int32(number), part, model, state, window)
        parts.append(_decisions(jax.device_get(coded), first, number))
    return Decisions(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def read(
    reader: file.ProgramReader, count: int, bits: int, local: bool,
    parts_of: Callable[[np.ndarray], ledger.Parts],
) -> np.ndarray:
    """Reads the `count` values that `decisions` gave the decisions of, int32 [count].

    `parts_of` maps the places of values to what the ledger books them under.
    """
    model, parts = _fresh(), []
    for first in range(0, count, _CHUNK):
        number = min(_CHUNK, count - first)
        state, model, coded = _run(
            np.bool_(True), np.int32(local), np.int32(bits), np.int32(number), np.zeros(_CHUNK, np.int32),
            model, reader.state, reader.window(_WINDOW_SYMBOLS))
        coded = jax.device_get(coded)
        taken = _decisions(coded, first, number)
        reader.commit(state, taken.freqs, parts=parts_of(taken.places))
        parts.append(coded.values[:number])
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)
