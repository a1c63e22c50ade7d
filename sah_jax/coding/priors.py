"""Tables of the fitted priors of quantised arrays, in integers only.

An array's values are coded as symbols: a sign and a *bucket* of magnitudes. Up to 8 bits
every magnitude is a bucket of its own. Wider values are told by their leading binary digits,
like floats, and the digits after those are coded raw (as by Exp-Golomb codes, Teuhola 1978):
so 255 symbols serve 16 bits at any scale.

The fitted priors give a magnitude k >= 1 a weight of 2**-(k/h), a discretised Laplace, or
2**-(k/h)**2, a discretised Gaussian, with h on a grid of four steps an octave; both signs
share it. The zero is inflated: its weight is on a grid of two steps an octave.

Everything is integer products, quotients and roots: a table is the same on any machine.
Shape suffixes: S scales of the grid, Z zero weights of the grid, B buckets.
"""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np

from sah_jax.coding import arithmetic

BITS = range(2, 17)
"""The widths an array can have."""

FITTED = ("laplace", "gaussian")
"""The priors with parameters."""

ZEROS = range(32)
"""The grid of the zero's weight: 2**((zero - 6) / 2) times the weight that k = 0 would have."""

_STEPS_PER_OCTAVE = 4  # of h; the nearest step costs at most 0.006 bits a value
_LEAST_ZERO = -6
_MAX_BUCKETS = 127  # with both signs and the zero: the 255 symbols of one table

# Fixed point: binary digits behind the point of a weight, of an exponent, of 2 h.
_WEIGHT_DIGITS = 31
_EXPONENT_DIGITS = 20
_SCALE_DIGITS = 16


def levels(bits: int) -> int:
    """Returns the largest magnitude of a b-bit value: 2**(b-1) - 1 (one code is not used)."""
    return (1 << (bits - 1)) - 1


class Buckets(NamedTuple):
    """The magnitudes 1 .. levels(bits) in groups.

    firsts: int64 [B], the least magnitude of each group.
    digits: int64 [B], log2 of the number of magnitudes in it: the raw digits of each.
    """

    firsts: np.ndarray
    digits: np.ndarray


@functools.cache
def buckets(bits: int) -> Buckets:
    """Returns the finest grouping with at most 127 groups that keeps equally many leading digits."""
    kept = max(k for k in range(bits) if ((bits - k) << k) - 1 <= _MAX_BUCKETS)
    index = np.arange(1, (bits - kept) << kept, dtype=np.int64)
    digits = np.maximum(index >> kept, 1) - 1
    return Buckets((index - (digits << kept)) << digits, digits)


def split(magnitudes: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bucket of each magnitude, 0 for zero and else 1 .. B, and its place in it; int64 [n]."""
    firsts = np.concatenate([[0], buckets(bits).firsts])
    index = np.searchsorted(firsts, magnitudes, side="right") - 1
    return index, magnitudes - firsts[index]


def num_scales(bits: int) -> int:
    """Returns the size of the grid of h: from 2**(bits-1) down to 1/4; one value if all k are 1."""
    return 1 if bits == 2 else _STEPS_PER_OCTAVE * (bits + 1)


def _exp2_of_minus(x: np.ndarray) -> np.ndarray:
    """Returns 2**-x as fixed-point int64, from fixed-point int64 x >= 0."""
    result = np.full(x.shape, 1 << _WEIGHT_DIGITS, np.int64)
    factor = 1 << (_WEIGHT_DIGITS - 1)
    for digit in reversed(range(_EXPONENT_DIGITS)):
        factor = math.isqrt(factor << _WEIGHT_DIGITS)  # 2**-(1/2), 2**-(1/4), ...
        result = np.where((x >> digit) & 1, (result * factor) >> _WEIGHT_DIGITS, result)
    return result >> np.minimum(x >> _EXPONENT_DIGITS, 63)


@functools.cache
def _weights(prior: str, bits: int) -> np.ndarray:
    """Returns the buckets' weights, int64 [S, B]; k = 0 alone would have 2**31."""
    firsts, digits = buckets(bits)
    doubled = 2 * firsts + (1 << digits) - 1  # twice the middle of a bucket
    doubled_h = np.array([
        math.isqrt(math.isqrt(1 << (_STEPS_PER_OCTAVE * (bits + _SCALE_DIGITS) - step)))
        for step in range(num_scales(bits))], np.int64)[:, None]
    if prior == "laplace":
        exponents = (doubled << (_SCALE_DIGITS + _EXPONENT_DIGITS)) // doubled_h
    else:
        exponents = ((doubled << (_SCALE_DIGITS + _EXPONENT_DIGITS // 2)) // doubled_h) ** 2
    return _exp2_of_minus(exponents) << digits


def _zero_weight(zero: int) -> int:
    return math.isqrt(1 << (2 * _WEIGHT_DIGITS + _LEAST_ZERO + zero))


@functools.cache
def uniform(bits: int) -> np.ndarray:
    """Returns the table that gives every b-bit value, with its raw digits, at most b bits."""
    side = 1 << buckets(bits).digits
    ends = np.cumsum(np.concatenate([[0], side[::-1], [1], side]))
    return ends * arithmetic.TOTAL // ends[-1]


@functools.lru_cache(maxsize=256)
def fitted(prior: str, bits: int, zero: int, scale: int) -> np.ndarray:
    """Returns a prior's cumulative table over the symbols -B .. B, int64 [2 B + 2], 0 to 2**30.

    Args:
      prior: one of `FITTED`.
      bits: one of `BITS`.
      zero: one of `ZEROS`, the inflation of the zero.
      scale: below `num_scales(bits)`; 0 is the widest prior.
    """
    side = _weights(prior, bits)[scale].tolist()
    ends = list(itertools.accumulate([*side[::-1], _zero_weight(zero), *side], initial=0))
    # One unit each beforehand, so that every symbol can be coded.
    spare = arithmetic.TOTAL - len(ends) + 1
    return np.array([i + spare * end // ends[-1] for i, end in enumerate(ends)], np.int64)


def fit(prior: str, bits: int, counts: np.ndarray) -> tuple[int, int]:
    """Returns the (zero, scale) that codes an array in the fewest bits.

    Args:
      prior, bits: see `fitted`.
      counts: int64 [B + 1], how many values are zero and of each bucket.
    """
    # Floats choose, integers code: another choice would only be a little longer.
    weights_SB = _weights(prior, bits).astype(np.float64)
    side_S = weights_SB.sum(axis=1)
    bits_S = -np.log2(np.maximum(weights_SB, side_S[:, None] * 2.0**-arithmetic.TOTAL_BITS)) @ counts[1:]
    zeros_Z = np.array([_zero_weight(zero) for zero in ZEROS], np.float64)[:, None]
    bits_ZS = counts.sum() * np.log2(zeros_Z + 2 * side_S) - counts[0] * np.log2(zeros_Z) + bits_S
    zero, scale = np.unravel_index(np.argmin(bits_ZS), bits_ZS.shape)
    return int(zero), int(scale)
