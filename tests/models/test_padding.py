"""Buckets of lengths, and rows filled up to them."""

import numpy as np

from sah_jax.models import padding


def test_buckets_hold_what_they_are_for_with_little_to_spare():
    sizes = range(1, 5000)
    buckets = [padding.bucket(size) for size in sizes]
    assert all(size <= bucket for size, bucket in zip(sizes, buckets, strict=True))
    assert all(bucket < 1.5 * size + 1 for size, bucket in zip(sizes, buckets, strict=True) if size > 32)
    assert len(set(buckets)) < 20 and padding.bucket(0) == 0


def test_rows_are_filled_up_with_zeros():
    rows = [[5], list(range(1, 41)), []]
    padded = padding.padded(rows)
    assert padded.shape == (3, 48) and padded.dtype == np.int32
    assert [row[: len(given)].tolist() for row, given in zip(padded, rows, strict=True)] == rows
    assert padded.sum() == 5 + sum(rows[1])
