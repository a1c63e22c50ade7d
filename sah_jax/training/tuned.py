"""Training steps whose hyper-parameters are arguments: one trace serves all of a family's settings.

A *problem* says what is fitted. Its step takes the learning rate, the number of steps and whatever else
changes no shape as `knobs`, and a batch of settings is fitted as *lanes* of one compiled step over the
shared base. A lane's first axis stands before all others of its state, batches and knobs.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from sah_jax.models import decoder as decoder_lib
from sah_jax.training import step as step_lib

_ADAM = optax.scale_by_adam()


class Tuning(NamedTuple):
    """How θ moves; scalars, arguments of a compiled step.

    learning_rate: float32, at the first step.
    final_share: float32, what part of it is left at the last step; it falls as a cosine.
    weight_decay: float32, decoupled (AdamW).
    steps: int32; what comes after so many changes nothing.
    seed: int32, of what is random in a step.
    """

    learning_rate: Any
    final_share: Any
    weight_decay: Any
    steps: Any
    seed: Any


class Moment(NamedTuple):
    """Where a fit is: `progress`, the share of its steps that is done, and a `key` of this step alone."""

    progress: jax.Array
    key: jax.Array


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """What is fitted; all functions are pure, and `knobs` is any tree of arrays.

    Attributes:
      decoder: the model.
      start: knobs -> θ.
      expand: (θ, params, knobs, moment) -> the variables of the adapted model.
      penalty: (θ, knobs, moment) -> nats that are added to the loss.
      knobs: such ones as `start` needs, for its shapes.
      speeds: (θ, knobs) -> a tree like θ, what the learning rate is multiplied with; None for 1.
    """

    decoder: decoder_lib.Decoder
    start: Callable[[Any], Any]
    expand: Callable[[Any, dict, Any, Moment], dict]
    knobs: Any
    penalty: Callable[[Any, Any, Moment], Any] = lambda theta, knobs, moment: 0.0
    speeds: Callable[[Any, Any], Any] | None = None

    def state(self, knobs: Any) -> step_lib.FitState:
        """Returns where a fit begins."""
        theta = self.start(knobs)
        return step_lib.FitState(theta, _ADAM.init(theta))


class Step(NamedTuple):
    """A compiled step and what it is called with.

    run: (state, params, batch, tuning, knobs) -> (state, cross entropy in nats before the update); the state
      is donated.
    start: knobs -> state.
    placed: where state and batch live; None on one device.
    """

    run: Callable
    start: Callable
    placed: step_lib.Places | None


def make_step(problem: Problem, rows: int, lanes: int = 0) -> Step:
    """Returns the step of a problem; the same arguments share one compilation.

    Args:
      problem: what is fitted.
      rows: of a batch.
      lanes: how many settings are fitted at once; 0 for one without an axis of its own.
    """
    return _make_step(problem, rows, lanes)


@functools.lru_cache(maxsize=32)
def _make_step(problem: Problem, rows: int, lanes: int) -> Step:
    # Apart from `make_step`, because the cache tells an argument that is left out from its default.
    def one(state: step_lib.FitState, params: dict, batch: step_lib.Batch, tuning: Tuning, knobs: Any):
        count = state.opt_state.count
        progress = count / tuning.steps
        moment = Moment(progress, jax.random.fold_in(jax.random.key(tuning.seed), count))

        def loss_of(theta):
            loss = step_lib.mean_loss(problem.decoder, problem.expand(theta, params, knobs, moment), batch)
            return loss + problem.penalty(theta, knobs, moment), loss

        (_, loss), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.theta)
        direction, opt_state = _ADAM.update(gradient, state.opt_state)
        cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(progress, 1.0)))
        rate = tuning.learning_rate * (tuning.final_share + (1 - tuning.final_share) * cosine)
        speeds = jax.tree.map(lambda _: 1.0, state.theta)
        if problem.speeds is not None:
            speeds = problem.speeds(state.theta, knobs)
        theta = jax.tree.map(
            lambda x, d, speed: x - rate * speed * (d + tuning.weight_decay * x), state.theta, direction,
            speeds)
        done = step_lib.FitState(theta, opt_state)
        # Of lanes, the longest fit decides how many steps there are.
        live = count < tuning.steps
        return jax.tree.map(lambda new, old: jnp.where(live, new, old), done, state), loss

    run, start, placed = one, problem.state, None
    if problem.decoder.mesh is not None:
        placed = _places(problem, rows, lanes)
    if lanes:
        run, start = jax.vmap(one, in_axes=(0, None, 0, 0, 0)), jax.vmap(problem.state)
    if placed is None:
        return Step(jax.jit(run, donate_argnums=0), jax.jit(start), None)
    everywhere = NamedSharding(problem.decoder.mesh, P())
    return Step(
        jax.jit(run, donate_argnums=0, in_shardings=(placed.state, None, placed.batch, None, None),
                out_shardings=(placed.state, everywhere)),
        jax.jit(start, out_shardings=placed.state), placed)


def _places(problem: Problem, rows: int, lanes: int) -> step_lib.Places:
    """Returns where state and batch live: every lane as if it were alone."""
    placed = step_lib.places(problem.decoder, jax.eval_shape(problem.state, problem.knobs), rows)
    if not lanes:
        return placed
    behind = lambda place: NamedSharding(place.mesh, P(None, *place.spec))
    return jax.tree.map(behind, placed)


def stack(trees: list[Any]) -> Any:
    """Returns trees of scalars or arrays as one, with an axis before all others."""
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *trees)

