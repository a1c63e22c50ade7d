"""What a report hears of losses: each lane's own, and of the steps that it has."""

import numpy as np
import pytest

from sah_jax.training import metrics


class Heard:
    """Keeps what it is told."""

    def __init__(self):
        self.lines, self.calls = [], []
        self.report = metrics.Report(self.lines.append, self._losses)

    def _losses(self, lane, before, losses):
        self.calls.append((lane, before, losses.tolist()))


def test_a_report_is_a_function_of_lines():
    heard = Heard()
    heard.report("step 3")
    assert heard.lines == ["step 3"] and not heard.calls


@pytest.mark.parametrize("losses, calls", [
    ([1.0, 2.0], [(0, 7, [1.0, 2.0])]),
    ([[1.0, 3.0], [2.0, 4.0]], [(0, 7, [1.0, 2.0]), (1, 7, [3.0, 4.0])])])
def test_each_lane_is_told_its_own(losses, calls):
    heard = Heard()
    metrics.tell(heard.report, 7, np.array(losses, np.float32))
    assert heard.calls == calls


def test_a_plain_function_hears_of_no_losses():
    lines = []
    metrics.tell(lines.append, 0, np.ones(3, np.float32))
    assert not lines and metrics.of_lanes(lines.append, [(0, 3)]) == lines.append


def test_lanes_are_told_as_what_they_are_of_and_no_longer_than_they_last():
    heard = Heard()
    report = metrics.of_lanes(heard.report, [(4, 5), (2, 3)])
    report("a line")
    for before in (0, 2, 4):
        # The third lane is a filler.
        metrics.tell(report, before, np.array([[1, 2, 9], [3, 4, 9]], np.float32))
    assert heard.lines == ["a line"]
    assert heard.calls == [
        (4, 0, [1, 3]), (2, 0, [2, 4]), (4, 2, [1, 3]), (2, 2, [2]), (4, 4, [1])]
