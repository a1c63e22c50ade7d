"""Scores: a metric's value over a set of responses, its standard error, and what it was made of.

Two kinds of metric. A mean has one number an example, and the sample standard error of that mean.
A pooled metric (corpus BLEU, a rate over instructions) is no mean over examples: it has a vector
of counts an example, and its standard error is that of the bootstrap over examples (Efron 1979;
for corpus BLEU Koehn 2004): the standard deviation over `RESAMPLES` draws (`SLOW_RESAMPLES` where
another library pools), with replacement, of as many examples as there are. The draws are integers
of a generator whose stream NumPy has frozen (`RandomState`): the same on every machine.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sah_jax.errors import UserError

RESAMPLES = 1000
SLOW_RESAMPLES = 100

_SEED = 2602


@dataclass(frozen=True)
class Metric:
    """One named number of a score.

    Attributes:
        value: What the metric says.
        stderr: Its standard error; NaN for a single example, whose spread is unknown.
        num: How many things it is over: examples, or what they hold, such as instructions.
    """

    value: float
    stderr: float
    num: int


@dataclass(frozen=True)
class Score:
    """A task's metrics over a set of responses; the fields but the last are of its primary one.

    Attributes:
        value: What the metric says.
        stderr: Its standard error; NaN for a single example, whose spread is unknown.
        outcomes: What the metric is made of, an entry for each example in their order: a number
            where it is a mean, a tuple of counts where it is pooled, what else a metric of another
            library pools. Two scores over the same examples can be compared in pairs.
        metrics: All metrics by name, the primary one first.
        pool: From outcomes, an array with an entry for each example, to what the metric says of them.
    """

    value: float
    stderr: float
    outcomes: tuple[Any, ...]
    metrics: Mapping[str, Metric] = dataclasses.field(default_factory=dict)
    pool: Callable[[np.ndarray], float] = dataclasses.field(default=np.mean, repr=False, compare=False)

    @property
    def num_scored(self) -> int:
        """Number of examples behind the value."""
        return len(self.outcomes)

    @classmethod
    def of(cls, outcomes: Iterable[float], name: str = "exact_match") -> Score:
        """Summarises outcomes by their mean and its sample standard error.

        Args:
            outcomes: One number per scored example.
            name: What the metric is called.

        Returns:
            The score.

        Raises:
            UserError: If there are no outcomes.
        """
        values = tuple(float(outcome) for outcome in outcomes)
        _check_some(values)
        num = len(values)
        mean = math.fsum(values) / num
        stderr = math.nan
        if num > 1:
            variance = math.fsum((value - mean) ** 2 for value in values) / (num - 1)
            stderr = math.sqrt(variance / num)
        return cls(mean, stderr, values, {name: Metric(mean, stderr, num)})

    @classmethod
    def pooled(
        cls,
        counts: Iterable[Iterable[int]],
        pool: Callable[[np.ndarray], float],
        name: str,
        num: int | None = None,
    ) -> Score:
        """Summarises examples by a metric of all their counts, with its bootstrap standard error.

        Args:
            counts: As many counts for each scored example.
            pool: From counts, int64 [examples, counts], to what the metric says.
            name: What the metric is called.
            num: How many things the metric is over, where they are not the examples.

        Returns:
            The score.

        Raises:
            UserError: If there are no examples.
        """
        outcomes = tuple(tuple(int(count) for count in row) for row in counts)
        return cls._bootstrapped(outcomes, pool, name, num, RESAMPLES)

    @classmethod
    def aggregated(
        cls, outcomes: Sequence[Any], aggregate: Callable[[list], float], name: str
    ) -> Score:
        """Summarises examples by what a function makes of the list of all, with its bootstrap error.

        Args:
            outcomes: One thing per scored example.
            aggregate: From a list of such things to what the metric says.
            name: What the metric is called.

        Returns:
            The score.

        Raises:
            UserError: If there are no examples.
        """
        pool = lambda rows: float(aggregate(list(rows)))
        return cls._bootstrapped(tuple(outcomes), pool, name, None, SLOW_RESAMPLES)

    @classmethod
    def _bootstrapped(
        cls,
        outcomes: tuple,
        pool: Callable[[np.ndarray], float],
        name: str,
        num: int | None,
        resamples: int,
    ) -> Score:
        _check_some(outcomes)
        rows = as_rows(outcomes)
        value, stderr = pool(rows), math.nan
        if len(rows) > 1:
            stderr = statistics.stdev(pool(rows[draw]) for draw in redraws(len(rows), resamples))
        return cls(value, stderr, outcomes, {name: Metric(value, stderr, num or len(rows))}, pool)

    def beside(self, *others: Score) -> Score:
        """Returns this score with the metrics of others over the same examples beside its own."""
        metrics = dict(self.metrics)
        for other in others:
            metrics |= other.metrics
        return dataclasses.replace(self, metrics=metrics)


def redraws(size: int, num: int) -> Iterator[np.ndarray]:
    """Yields so many draws of the bootstrap over `size` examples: their indices, int64 [size]."""
    draw = np.random.RandomState(_SEED)
    for _ in range(num):
        yield draw.randint(0, size, size, np.int64)


def as_rows(outcomes: Sequence[Any]) -> np.ndarray:
    """Returns outcomes as an array with an entry for each example: numbers, counts, or objects."""
    are_counts = all(isinstance(one, tuple) and all(type(n) is int for n in one) for one in outcomes)
    if are_counts and len(set(map(len, outcomes))) == 1 or all(
            isinstance(one, int | float) for one in outcomes):
        return np.array(outcomes)
    rows = np.empty(len(outcomes), object)
    rows[:] = outcomes
    return rows


def rate(counts: np.ndarray) -> float:
    """Returns what pools counts [examples, (held, all)] to the share that held, for `Score.pooled`."""
    held, asked = counts.sum(axis=0).tolist()
    return held / asked


def _check_some(outcomes: tuple) -> None:
    if not outcomes:
        raise UserError(
            "Got no responses to score, expected at least one; raise the number of examples."
        )
