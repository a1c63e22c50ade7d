"""The ledger: which field of a program every bit of its file belongs to."""

import itertools
import math
from collections.abc import Iterable
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
        # Every symbol's bits by field. They are summed exactly, so that writer and reader, who
        # book them in other portions, come to the same numbers.
        self._coded: dict[str, list[np.ndarray]] = {}
        self._ideal: dict[str, list[np.ndarray]] = {}

    def add(self, field: str, freqs: np.ndarray, ideal_bits: float | None = None) -> None:
        """Books symbols of the given frequencies (uint32) under a field.

        `ideal_bits` is what they cost under the float probabilities that the frequencies
        were rounded from; without any, the frequencies are the probabilities.
        """
        bits = arithmetic.TOTAL_BITS - np.log2(np.asarray(freqs, np.float64))
        self._coded.setdefault(field, []).append(bits)
        self._ideal.setdefault(field, []).append(bits if ideal_bits is None else np.array([ideal_bits]))

    def entries(self, file_bytes: int) -> list[Entry]:
        """Returns the fields in coding order, their bits summing to exactly 8 * file_bytes.

        A field gets the whole bits between the running totals before and after it; what
        the coder needed beyond the symbols' information is the last entry. (By luck a file
        can be some bits shorter than that information; the last fields then get fewer.)
        """
        rows, before, given = [], 0.0, 0
        for field, parts in self._coded.items():
            before += _exact_sum(parts)
            until = min(math.floor(before), 8 * file_bytes)
            rows.append(Entry(field, until - given, _exact_sum(self._ideal[field])))
            given = until
        return [*rows, Entry(TERMINATION, 8 * file_bytes - given, 0.0)]

    @property
    def ideal_bits(self) -> float:
        """The program's length without rounding of any kind."""
        return _exact_sum(itertools.chain.from_iterable(self._ideal.values()))


def _exact_sum(parts: Iterable[np.ndarray]) -> float:
    return math.fsum(itertools.chain.from_iterable(part.tolist() for part in parts))
