"""The loop that fits θ on a list of examples."""

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from sah_jax import errors
from sah_jax.training import checkpoints as checkpoints_lib
from sah_jax.training import step as step_lib

_CHECK_EVERY = 20


def fit(
    step: Callable, state: step_lib.FitState, params: dict, batches, total: int,
    report: Callable[[str], None], plan: checkpoints_lib.Plan | None = None,
) -> tuple[Any, list[float]]:
    """Runs the step over all batches; returns θ and the loss before each update, in nats.

    Args:
      step: see `step.make_step`.
      state: where to begin.
      params: the base.
      batches: the same ones in the same order each time, where checkpoints are asked for.
      total: how many.
      report: called with a line now and then.
      plan: where to save checkpoints, and to go on from where there is one: the losses are then
        those of the steps since.

    Raises:
      UserError: a loss is not finite, and it says at which step; or a checkpoint cannot be used.
    """
    with contextlib.nullcontext() if plan is None else checkpoints_lib.Checkpoints(plan) as saved:
        state, first = (state, 0) if saved is None else saved.restore(state)
        if first:
            report(f"going on after step {first}/{total}")
        losses, checked = [], 0
        for number, batch in enumerate(itertools.islice(batches, first, None), start=first + 1):
            state, loss = step(state, params, batch)
            losses.append(loss)
            # The loss is fetched now and then only, so that steps are dispatched ahead.
            if number % _CHECK_EVERY == 0 or number == total:
                values = jax.device_get(losses[checked:])
                if not np.all(np.isfinite(values)):
                    bad = first + checked + int(np.argmin(np.isfinite(values)))
                    raise errors.UserError(
                        f"the training loss is {values[bad - first - checked]} at step {bad + 1} of {total}, "
                        "expected a finite number; lower the learning rate.")
                checked = len(losses)
                report(f"step {number}/{total}, loss {np.mean(values):.3f} nats/token")
            if saved is not None:
                saved.save(number, state)
    return state.theta, [float(loss) for loss in jax.device_get(losses)]
