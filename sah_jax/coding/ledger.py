"""The ledger: which field of a program every bit of its file belongs to."""

import math
from typing import NamedTuple

import numpy as np

from sah_jax.coding import arithmetic

TERMINATION = "termination"
"""The field of what the coder itself needs: the rounding to whole bytes."""


class Entry(NamedTuple):
    """One field of a program file.

    bits: its share of the file, an integer.
    ideal_bits: -log2 of the probability its symbols had before they became integers.
    """

    field: str
    bits: int
    ideal_bits: float


class Ledger:
    """Adds up coded symbols by field, and shares a file's bits out among the fields."""

    def __init__(self):
        self._coded: dict[str, float] = {}
        self._ideal: dict[str, float] = {}

    def add(self, field: str, freqs: np.ndarray, ideal_bits: float | None = None) -> None:
        """Books symbols of the given frequencies (uint32) under a field.

        `ideal_bits` is what they cost under the float probabilities that the frequencies
        were rounded from; without any, the frequencies are the probabilities.
        """
        bits = float(np.sum(arithmetic.TOTAL_BITS - np.log2(np.asarray(freqs, np.float64))))
        self._coded[field] = self._coded.get(field, 0.0) + bits
        ideal = bits if ideal_bits is None else ideal_bits
        self._ideal[field] = self._ideal.get(field, 0.0) + ideal

    def entries(self, file_bytes: int) -> list[Entry]:
        """Returns the fields in coding order, their bits summing to exactly 8 * file_bytes.

        A field gets the whole bits between the running totals before and after it; what
        the coder needed beyond the symbols' information is the last entry. (By luck a file
        can be some bits shorter than that information; the last fields then get fewer.)
        """
        rows, before, given = [], 0.0, 0
        for field, bits in self._coded.items():
            before += bits
            until = min(math.floor(before), 8 * file_bytes)
            rows.append(Entry(field, until - given, self._ideal[field]))
            given = until
        return [*rows, Entry(TERMINATION, 8 * file_bytes - given, 0.0)]

    @property
    def ideal_bits(self) -> float:
        """The program's length without rounding of any kind."""
        return math.fsum(self._ideal.values())
