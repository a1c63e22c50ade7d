"""The model that learns from examples while they are coded; the same for writer and reader."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import sharding
from sah_jax.programs import base as family_lib
from sah_jax.programs import lowrank
from sah_jax.training import examples as examples_lib
from sah_jax.training import lanes as lanes_lib
from sah_jax.training import metrics, tuned

LEARNERS = ("lora", "full")
"""What learns: low-rank pairs on all projections, or a delta on every weight."""

WEIGHT_DECAYS = {"adam": 0.0, "adamw": 0.01}

_NO_END = np.iinfo(np.int32).max  # of the steps: the rate is constant


class Learner:
    """An adapted model in training.

    Attributes:
      losses: before each update, in nats; on the device.
      after_step: called after each update.
    """

    def __init__(
        self, base: base_lib.BaseModel, kind: str, rank: int, scale: float, rows: int, max_tokens: int,
        learning_rate: float, optimizer: str, seed: int,
    ):
        self._base, self._rows, self._max_tokens = base, rows, max_tokens
        self._problem = _problem(base.decoder, kind, rank)
        self._knobs = {"seed": np.int32(seed), "scale": np.float32(scale)}
        self._step = tuned.make_step(self._problem, rows)
        self._tuning = tuned.Tuning(
            np.float32(learning_rate), np.float32(1.0), np.float32(WEIGHT_DECAYS[optimizer]),
            np.int32(_NO_END), np.int32(seed))
        self._state = self._step.start(self._knobs)
        self._kind = kind
        self.losses, self._told = [], 0
        self.after_step = lambda: None

    @property
    def theta(self) -> Any:
        """What is learned, as it is now: the state is donated by the next step."""
        return self._state.theta

    def adapted(self) -> family_lib.Adapted:
        """Returns the model as it is now."""
        added = _added(self._kind, self.theta, self._knobs["scale"])
        return family_lib.Adapted(
            added.program, deltas=decoder_lib.cut_vocabulary(self._base.spec, added.deltas))

    def train(self, batch: Sequence[examples_lib.TokenExample]) -> None:
        """Takes a step on at most as many examples as a batch has rows; the loss is on answers."""
        shaped = examples_lib.batch_of(self._base, batch, self._rows, self._max_tokens)
        if self._step.placed:
            shaped = sharding.place(shaped, self._step.placed.batch)
        self._state, loss = self._step.run(
            self._state, self._base.params, shaped, self._tuning, self._knobs)
        self.losses.append(loss)
        self.after_step()

    def tell(self, report: family_lib.Report, least: int = metrics.EVERY) -> None:
        """Tells a report the losses that it has not heard of, where there are so many."""
        if isinstance(report, metrics.Report) and len(self.losses) - self._told >= least:
            metrics.tell(report, self._told, np.stack(jax.device_get(self.losses[self._told :])))
            self._told = len(self.losses)

    def step_flops(self) -> int:
        """Returns the operations of a step."""
        return lanes_lib.step_flops(self._problem, self._knobs, self._rows, self._max_tokens)

    def check(self, name: str) -> None:
        """Raises UserError where a loss of the family's training, or what it came to, is not finite."""
        numbers = [*self.losses, *map(jnp.sum, jax.tree.leaves(self.theta))]
        if not np.all(np.isfinite(np.array([float(number) for number in numbers]))):
            raise errors.UserError(
                f"the training loss of {name} with learning rate {float(self._tuning.learning_rate):g} is "
                "not finite, expected a finite number; lower the learning rate.")


def _added(kind: str, theta: Any, scale: Any) -> family_lib.Added:
    if kind == "lora":
        return family_lib.Added(lowrank.expand(theta, scale))
    return family_lib.Added({}, theta)


@functools.lru_cache(maxsize=8)
def _problem(decoder: decoder_lib.Decoder, kind: str, rank: int) -> tuned.Problem:
    def expand(theta, params, knobs, moment):
        added = _added(kind, theta, knobs["scale"])
        return {"params": decoder_lib.with_deltas(params, added.deltas), "program": added.program}

    def start(knobs):
        if kind == "lora":
            return lowrank.start(decoder, rank, knobs["seed"])
        return jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, jnp.float32), decoder_lib.abstract_params(decoder))

    return tuned.Problem(decoder, start, expand, {"seed": np.int32(0), "scale": np.float32(1)})
