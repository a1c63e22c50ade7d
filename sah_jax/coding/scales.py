"""Steps of quantised arrays on a coded grid: 2**(e/4) for an integer exponent e."""

import math

import numpy as np

from sah_jax.coding import file, integers

EXPONENTS = range(-64, 64)
"""The grid: 128 steps from 2**-16 to 2**15.75."""

STEPS_PER_OCTAVE = 4
"""An array whose best step lies between two of the grid has one within 9 % of it."""

_MANTISSA_DIGITS = 24  # of a float32


def _correctly_rounded(exponent: int) -> np.float32:
    octave, quarter = divmod(exponent, STEPS_PER_OCTAVE)
    # One binary digit more than a float32 has, cut; a root is no tie, so adding a half rounds it.
    cut = math.isqrt(math.isqrt(1 << (4 * _MANTISSA_DIGITS + quarter)))
    return np.float32(math.ldexp((cut + 1) >> 1, octave - _MANTISSA_DIGITS + 1))


TABLE = np.array([_correctly_rounded(exponent) for exponent in EXPONENTS])
"""float32 [128]: the steps of `EXPONENTS` in order, correctly rounded, from integers alone."""


def step(exponent: int) -> np.float32:
    """Returns 2**(exponent / 4), the same on any machine.

    Raises:
      ValueError: the exponent is not one of `EXPONENTS`.
    """
    return TABLE[EXPONENTS.index(exponent)]


def write_scale(writer: file.ProgramWriter, exponent: int) -> None:
    """Codes an exponent of the grid in 7 bits.

    Raises:
      ValueError: the exponent is not one of `EXPONENTS`.
    """
    integers.write_choice(writer, EXPONENTS, exponent)


def read_scale(reader: file.ProgramReader) -> int:
    """Reads what `write_scale` wrote."""
    return integers.read_choice(reader, EXPONENTS)
