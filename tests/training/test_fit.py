"""The loop runs every batch, returns each loss and stops at one that is not finite."""

import math

import numpy as np
import pytest

from sah_jax import errors
from sah_jax.training import checkpoints, metrics
from sah_jax.training import fit as fit_lib
from sah_jax.training import step as step_lib


def _counting_step(losses):
    """A step that adds the batch to θ and loses what it is told."""
    given = iter(losses)

    def step(state, params, batch):
        assert params == "base"
        return state._replace(theta=(*state.theta, batch)), np.float32(next(given))

    return step


def _fit(losses, report=lambda line: None):
    start = step_lib.FitState(theta=(), opt_state=None)
    batches = iter(range(len(losses)))
    return fit_lib.fit(_counting_step(losses), start, "base", batches, len(losses), report)


@pytest.mark.parametrize("total", [1, 19, 20, 21, 45])
def test_every_batch_is_one_step(total):
    given = [0.5 * number for number in range(total)]
    theta, losses = _fit(given)
    assert theta == tuple(range(total))
    assert losses.tolist() == given


@pytest.mark.parametrize("total", [1, 19, 20, 21, 45])
def test_the_last_step_is_reported(total):
    lines = []
    _fit([2.0] * total, lines.append)
    assert lines[-1] == f"step {total}/{total}, loss 2.000 nats/token"
    assert 1 <= len(lines) <= 1 + total / 10


def test_a_report_is_of_the_steps_since_the_last_one():
    lines = []
    _fit([1.0] * 20 + [2.0] * 20, lines.append)
    assert [line.split("loss ")[1] for line in lines] == ["1.000 nats/token", "2.000 nats/token"]


@pytest.mark.parametrize("bad", [1, 7, 20, 21, 39, 45])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_an_error_with_its_step(bad, value):
    given = [1.0] * (bad - 1) + [value] * (46 - bad)
    with pytest.raises(errors.UserError, match=f"loss is {value} at step {bad} of 45"):
        _fit(given)


def test_a_lane_that_diverges_does_not_stop_the_others():
    lanes = np.ones((45, 2), np.float32)
    lanes[7, 0] = math.nan
    given = iter(lanes)
    step = lambda state, params, batch: (state, next(given))
    start, lines = step_lib.FitState(theta=(), opt_state=None), []
    _, losses = fit_lib.fit(step, start, "base", range(45), 45, lines.append)
    np.testing.assert_array_equal(losses, lanes)
    assert "of 2 fits" in lines[-1]
    with pytest.raises(errors.UserError, match="loss is nan at step 8 of 45"):
        fit_lib.check_finite(losses[:, 0], 45)
    fit_lib.check_finite(losses[:, 1], 45)


def test_lanes_that_all_diverge_are_an_error():
    lanes = np.ones((45, 2), np.float32)
    lanes[7, 0] = lanes[9, 1] = math.nan
    given = iter(lanes)
    step = lambda state, params, batch: (state, next(given))
    with pytest.raises(errors.UserError, match="loss is nan at step 8 of 45"):
        fit_lib.fit(step, step_lib.FitState((), None), "base", range(45), 45, [].append)


def test_a_finite_loss_after_one_that_is_not_does_not_hide_it():
    with pytest.raises(errors.UserError, match="loss is nan at step 3 of 5"):
        _fit([1.0, 1.0, math.nan, 1.0, 1.0])


def _heard(lines=None):
    """Returns a report, and a dictionary of all losses that it hears, by step."""
    steps = {}

    def losses(lane, before, own):
        assert lane == 0
        for step, loss in enumerate(own.tolist(), start=before + 1):
            assert step not in steps
            steps[step] = loss

    return metrics.Report((lines or []).append, losses), steps


@pytest.mark.parametrize("total", [1, 19, 20, 21, 45])
def test_each_loss_is_told_once_with_its_step(total):
    report, steps = _heard()
    _, losses = _fit([0.5 * number for number in range(total)], report)
    assert steps == dict(enumerate(losses.tolist(), start=1)) and len(steps) == total


def test_losses_are_told_while_the_fit_goes_on():
    report, steps = _heard()
    seen = []

    def given():
        for number in range(45):
            seen.append(len(steps))
            yield float(number)

    fit_lib.fit(
        _counting_step(given()), step_lib.FitState((), None), "base", range(45), 45, report)
    assert seen == [0] * 20 + [20] * 20 + [40] * 5


def test_who_hears_of_losses_makes_no_more_fetches(monkeypatch):
    fetches, fetch = [], fit_lib.jax.device_get
    monkeypatch.setattr(fit_lib.jax, "device_get", lambda tree: fetches.append(len(tree)) or fetch(tree))
    _fit([1.0] * 45)
    plain = list(fetches)
    fetches.clear()
    _fit([1.0] * 45, _heard()[0])
    assert fetches == plain == [20, 20, 5, 45]


def test_where_a_fit_diverges_is_told_before_it_ends():
    report, steps = _heard()
    with pytest.raises(errors.UserError, match="at step 23 of 45"):
        _fit([1.0] * 22 + [math.nan] * 23, report)
    assert [step for step, loss in steps.items() if math.isnan(loss)] == list(range(23, 41))


def test_steps_go_on_after_a_checkpoint(monkeypatch, tmp_path):
    class Saved:
        """As if 20 steps had been saved."""

        def __init__(self, plan):
            self.restore, self.save = lambda state: (state, 20), lambda position, state: None

        __enter__ = lambda self: self
        __exit__ = lambda self, *_: None

    monkeypatch.setattr(checkpoints, "Checkpoints", Saved)
    report, steps = _heard()
    fit_lib.fit(
        _counting_step([3.0, 2.0, 1.0]), step_lib.FitState((), None), "base", range(23), 23, report,
        checkpoints.Plan(tmp_path, 20))
    assert steps == {21: 3.0, 22: 2.0, 23: 1.0}
