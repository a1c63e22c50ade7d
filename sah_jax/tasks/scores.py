"""Scores: a metric's value over a set of responses, its standard error, and what it was made of.

Two kinds of metric. A mean has one number an example, and the sample standard error of that mean.
A pooled metric (corpus BLEU, a rate over instructions) is no mean over examples: it has a vector
of counts an example, and its standard error is that of the bootstrap over examples (Efron 1979;
for corpus BLEU Koehn 2004): the standard deviation over `RESAMPLES` draws, with replacement, of as
many examples as there are. The draws are integers of a generator whose stream NumPy has frozen
(`RandomState`), so that they are the same on every machine.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sah_jax.errors import UserError

RESAMPLES = 1000

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
            where it is a mean, a tuple of counts where it is pooled. Two scores over the same
            examples can be compared in pairs.
        metrics: All metrics by name, the primary one first.
    """

    value: float
    stderr: float
    outcomes: tuple[float | tuple[int, ...], ...]
    metrics: Mapping[str, Metric] = dataclasses.field(default_factory=dict)

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
        _check_some(outcomes)
        rows = np.array(outcomes, np.int64)
        value, stderr = pool(rows), math.nan
        if len(rows) > 1:
            draw = np.random.RandomState(_SEED)
            values = [pool(rows[draw.randint(0, len(rows), len(rows), np.int64)]) for _ in range(RESAMPLES)]
            stderr = statistics.stdev(values)
        return cls(value, stderr, outcomes, {name: Metric(value, stderr, num or len(rows))})

    def beside(self, *others: Score) -> Score:
        """Returns this score with the metrics of others over the same examples beside its own."""
        metrics = dict(self.metrics)
        for other in others:
            metrics |= other.metrics
        return dataclasses.replace(self, metrics=metrics)


def rate(counts: np.ndarray) -> float:
    """Returns what pools counts [examples, (held, all)] to the share that held, for `Score.pooled`."""
    held, asked = counts.sum(axis=0).tolist()
    return held / asked


def _check_some(outcomes: tuple) -> None:
    if not outcomes:
        raise UserError(
            "Got no responses to score, expected at least one; raise the number of examples."
        )
