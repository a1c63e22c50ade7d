"""What a fit tells of its steps besides lines of progress: the losses, once they have been fetched anyway."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

EVERY = 20
"""Steps between two fetches of losses: they are fetched now and then only, so that steps are dispatched
ahead."""


@dataclasses.dataclass(frozen=True)
class Report:
    """A report of progress that hears of losses too; for lines it is a function, as all reports are.

    Attributes:
      line: called with a line of progress.
      losses: called with a lane of the fit, how many steps were before, and the losses of the steps since,
        float32 [steps], in nats a token. Called for the first time, `before` is not 0 where a fit goes on
        from a checkpoint.
    """

    line: Callable[[str], None]
    losses: Callable[[int, int, np.ndarray], None]

    def __call__(self, line: str) -> None:
        self.line(line)


def tell(report: Callable[[str], None], before: int, losses: np.ndarray) -> None:
    """Tells a report, if it hears of them, the losses [steps] or [steps, lanes] after so many steps."""
    if isinstance(report, Report):
        for lane, own in enumerate(losses.reshape(len(losses), -1).T):
            report.losses(lane, before, own)


def of_lanes(
    report: Callable[[str], None], lanes: Sequence[tuple[int, int]]
) -> Callable[[str], None]:
    """Returns a report for a step whose lanes are not what the report calls lanes.

    Args:
      report: told in place of the one that is returned.
      lanes: for each of the step's, which of the report's it is, and how many steps it has: of more nothing
        is told, nor of the lanes beyond these.
    """
    if not isinstance(report, Report):
        return report

    def losses(lane: int, before: int, own: np.ndarray) -> None:
        if lane < len(lanes) and before < lanes[lane][1]:
            report.losses(lanes[lane][0], before, own[: lanes[lane][1] - before])

    return Report(report.line, losses)
