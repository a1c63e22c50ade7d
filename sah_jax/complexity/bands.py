"""How sure the test scores of a frontier are: intervals, and the band that they make along its staircase.

An interval is of one program's test score, for a sample of test items: it says what the score would be on
all items of that kind, taken as independent. It does not cover seeds (another run of a setting is another
program, a row of its own), nor that settings and frontier points were chosen. The band is pointwise: at any
one length the interval holds with its probability, not at all lengths at once.

A score that is the share of the items that are right has Wilson's interval, which does not shrink to nothing
at 0 and 1 as the normal one does. Any other has score ± z standard errors (the sample's, or the bootstrap's).
Rows of other systems give no error, and have no interval.
"""

import collections
import math
import statistics
from collections.abc import Iterable, Sequence

from sah_jax.complexity import frontier

Row = frontier.Row
Interval = tuple[float, float]

LEVEL = 0.95
"""The probability that an interval holds."""

# For rounding: a share's error is what its value and number of items give, another's is nowhere near.
_SAME = 1e-9


class Intervals:
    """The intervals of the test scores of some rows."""

    def __init__(self, rows: Iterable[Row], level: float = LEVEL):
        """Finds out from rows which tasks are scored by the share of items that are right.

        Args:
          rows: of any number of tasks; those of other systems tell nothing.
          level: the probability that an interval holds, above 0 and below 1.

        Raises:
          ValueError: the level is no such number.
        """
        self.level = level
        self._z = _quantile(level)
        told = collections.defaultdict(list)
        for row in rows:
            if not row.reported:
                told[row.dataset_name] += _are_shares(row)
        self._shares = {task for task, signs in told.items() if signs and all(signs)}

    def of(self, row: Row) -> Interval | None:
        """Returns the interval of a row's test score, in the task's own unit.

        Returns:
          (low, high), with the score between them; None where no error is known: of a row of another
          system, of one that was scored on no item, and of one without spread (all items alike) whose task is
          not known to be scored by a share.
        """
        if row.reported or not row.num_scored:
            return None
        if row.dataset_name in self._shares:
            return wilson(row.performance, row.num_scored, self.level)
        reach = self._z * row.performance_stderr
        return (row.performance - reach, row.performance + reach) if reach else None

    def band(
        self, points: Sequence[Row], *, add_script_bits: bool = True
    ) -> tuple[list[int], list[Interval | None]]:
        """Returns the intervals along the staircase of the given frontier points.

        Args:
          points: the frontier of one cell, as `frontier.staircase` takes it.
          add_script_bits: whether a length counts the script.

        Returns:
          (xs, intervals): at lengths x with xs[i] <= x < xs[i + 1] the staircase shows the score of one
          program, whose interval is intervals[i], None where it has none; below xs[0] there is none.
        """
        return [frontier.total_bits(row, add_script_bits) for row in points], list(map(self.of, points))


def wilson(share: float, num: int, level: float = LEVEL) -> Interval:
    """Returns the score interval of a binomial probability (Wilson 1927).

    Args:
      share: the share of the items that are right, 0 to 1.
      num: how many items, at least 1.
      level: the probability that the interval holds, above 0 and below 1.

    Returns:
      (low, high) within 0 and 1, with the share between them; low is 0, or high 1, only if the share is.

    Raises:
      ValueError: an argument is outside of these limits.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share: got {share}, expected 0 to 1; give the share of the items that are right")
    if num < 1:
        raise ValueError(f"num: got {num} items, expected at least 1; score some")
    z = _quantile(level)
    shrunk = 1 + z**2 / num
    middle = (share + z**2 / (2 * num)) / shrunk
    reach = z / shrunk * math.sqrt(share * (1 - share) / num + (z / (2 * num)) ** 2)
    # At 0 and 1 a bound is the share itself, but for rounding.
    return min(share, max(0.0, middle - reach)), max(share, min(1.0, middle + reach))


def _quantile(level: float) -> float:
    """Returns z: a normal variable is within z standard deviations of its mean with probability `level`."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: got {level}, expected a probability between 0 and 1, such as {LEVEL}")
    return statistics.NormalDist().inv_cdf(0.5 + level / 2)


def _are_shares(row: Row) -> list[bool]:
    """Returns for each of a row's two scores with any spread whether it is a mean of zeros and ones.

    Of numbers from 0 to 1 with a given mean, zeros and ones alone have that error: it is the largest there
    is. A bootstrap's error differs from it by the chance of its draws.
    """
    signs = []
    for value, stderr, num in (
            (row.performance, row.performance_stderr, row.num_scored),
            (row.selection_performance, row.selection_stderr, row.selection_num_scored)):
        if stderr:
            signs.append(num > 1 and 0.0 < value < 1.0 and math.isclose(
                stderr, math.sqrt(value * (1 - value) / (num - 1)), rel_tol=_SAME))
    return signs
