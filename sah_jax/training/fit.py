"""The loop that fits θ on a list of examples: of one setting, or of several as lanes of one step."""

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from sah_jax import errors
from sah_jax.training import checkpoints as checkpoints_lib
from sah_jax.training import metrics
from sah_jax.training import step as step_lib


def fit(
    step: Callable, state: step_lib.FitState, params: dict, batches, total: int,
    report: Callable[[str], None], plan: checkpoints_lib.Plan | None = None,
) -> tuple[Any, np.ndarray]:
    """Runs the step over all batches; returns θ and the losses before each update, in nats.

    Args:
      step: (state, params, batch) -> (state, loss), see `step.make_step`; the loss may be one for each lane.
      state: where to begin.
      params: the base.
      batches: the same ones in the same order each time, where checkpoints are asked for.
      total: how many.
      report: called with a line now and then; a `metrics.Report` with the losses since, too.
      plan: where to save checkpoints, and to go on from where there is one: the losses are then
        those of the steps since.

    Returns:
      θ, and float32 [steps] or [steps, lanes]. Of lanes some may not be finite: see `check_finite`.

    Raises:
      UserError: no lane's loss is finite, and it says at which step; or a checkpoint cannot be used.
    """
    with contextlib.nullcontext() if plan is None else checkpoints_lib.Checkpoints(plan) as saved:
        state, first = (state, 0) if saved is None else saved.restore(state)
        if first:
            report(f"going on after step {first}/{total}")
        losses, checked = [], 0
        for number, batch in enumerate(itertools.islice(batches, first, None), start=first + 1):
            state, loss = step(state, params, batch)
            losses.append(loss)
            if number % metrics.EVERY == 0 or number == total:
                values = np.stack(jax.device_get(losses[checked:]))
                metrics.tell(report, first + checked, values)
                lanes = values.reshape(len(values), -1)
                if not np.any(np.all(np.isfinite(lanes), axis=0)):
                    check_finite(lanes[:, 0], total, first + checked)
                checked = len(losses)
                report(f"step {number}/{total}, loss {_range(lanes)} nats/token")
            if saved is not None:
                saved.save(number, state)
    return state.theta, np.array(jax.device_get(losses))


def check_finite(losses: np.ndarray, total: int, first: int = 0) -> None:
    """Raises UserError, which says at which of `total` steps, unless the losses after `first` are finite."""
    if not np.all(np.isfinite(losses)):
        bad = int(np.argmin(np.isfinite(losses)))
        raise errors.UserError(
            f"the training loss is {losses[bad]} at step {first + bad + 1} of {total}, "
            "expected a finite number; lower the learning rate.")


def _range(lanes: np.ndarray) -> str:
    means = sorted(np.mean(lanes, axis=0))
    return f"{means[0]:.3f}" + (f" to {means[-1]:.3f} of {len(means)} fits" if len(means) > 1 else "")
