"""Whether one score is better than another over the same examples.

The examples are paired: each is answered by both. The standard error of the difference is that of the
bootstrap over examples, and the p-value that of approximate randomisation (Noreen 1989; for corpus
metrics Riezler and Maxwell 2005): how often a difference as large comes out when the two answers to each
example are swapped by the toss of a coin.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import numpy as np

from sah_jax.errors import UserError
from sah_jax.tasks import scores

_SEED = 1989


@dataclass(frozen=True)
class Difference:
    """How two scores differ.

    Attributes:
        value: The first less the second.
        stderr: Its standard error; NaN for a single example.
        p_value: Of the hypothesis that they do not differ, two-sided.
        num: How many examples both are over.
    """

    value: float
    stderr: float
    p_value: float
    num: int


def difference(first: scores.Score, second: scores.Score) -> Difference:
    """Compares two scores of one task over the same examples, in the same order.

    Raises:
        UserError: If they are not over equally many examples.
    """
    if first.num_scored != second.num_scored:
        raise UserError(
            f"Got scores over {first.num_scored} and {second.num_scored} examples, expected the same ones; "
            "score both on what both answer."
        )
    rows = scores.as_rows((*first.outcomes, *second.outcomes))
    size = first.num_scored
    num = scores.SLOW_RESAMPLES if rows.dtype == object else scores.RESAMPLES
    ones, others = rows[:size], rows[size:]
    of = lambda left, right: float(first.pool(left)) - float(first.pool(right))
    value, stderr = of(ones, others), math.nan
    if size > 1:
        stderr = statistics.stdev(
            of(ones[draw], others[draw]) for draw in scores.redraws(size, num))
    coin, larger = np.random.RandomState(_SEED), 0
    for _ in range(num):
        swap = coin.randint(0, 2, size).astype(bool)
        left, right = ones.copy(), others.copy()
        left[swap], right[swap] = others[swap], ones[swap]
        # What differs in the last digits alone is as large.
        larger += abs(of(left, right)) >= abs(value) * (1 - 1e-9)
    return Difference(value, stderr, (larger + 1) / (num + 1), size)
