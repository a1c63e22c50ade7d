"""Rows of tokens, padded to few different lengths, so that few shapes are compiled."""

from collections.abc import Sequence

import numpy as np

SMALLEST = 32
"""The smallest bucket, in tokens."""


def bucket(size: int) -> int:
    """Returns the smallest of 32, 48, 64, 96, 128, 192, ... that is no smaller; 0 for 0."""
    if size <= SMALLEST:
        return SMALLEST if size else 0
    octave = 1 << (size - 1).bit_length()
    return octave * 3 // 4 if size <= octave * 3 // 4 else octave


def padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Returns rows of tokens, padded to a bucket with zeros: int32 [B, L]."""
    tokens_BL = np.zeros((len(rows), bucket(max(map(len, rows)))), np.int32)
    for tokens_L, row in zip(tokens_BL, rows, strict=True):
        tokens_L[: len(row)] = row
    return tokens_BL
