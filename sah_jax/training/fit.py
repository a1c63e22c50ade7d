"""The loop that fits θ on a list of examples."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from sah_jax import errors
from sah_jax.training import step as step_lib

_CHECK_EVERY = 20


def fit(
    step: Callable, state: step_lib.FitState, params: dict, batches, total: int,
    report: Callable[[str], None],
) -> tuple[Any, list[float]]:
    """Runs the step over all batches; returns θ and the loss before each update, in nats.

    Raises:
      UserError: a loss is not finite; it says at which step.
    """
    losses, checked = [], 0
    for number, batch in enumerate(batches, start=1):
        state, loss = step(state, params, batch)
        losses.append(loss)
        # The loss is fetched now and then only, so that steps are dispatched ahead.
        if number % _CHECK_EVERY == 0 or number == total:
            values = jax.device_get(losses[checked:])
            if not np.all(np.isfinite(values)):
                bad = checked + int(np.argmin(np.isfinite(values)))
                raise errors.UserError(
                    f"the training loss is {values[bad - checked]} at step {bad + 1} of {total}, "
                    "expected a finite number; lower the learning rate.")
            checked = number
            report(f"step {number}/{total}, loss {np.mean(values):.3f} nats/token")
    return state.theta, [float(loss) for loss in jax.device_get(losses)]
