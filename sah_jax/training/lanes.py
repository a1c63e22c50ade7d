"""Fitting one setting, or several as lanes of one compiled step, each on examples of its own."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax import errors, hosts
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import flops, sharding
from sah_jax.tasks import base as task_lib
from sah_jax.training import checkpoints as checkpoints_lib
from sah_jax.training import examples as examples_lib
from sah_jax.training import fit as fit_lib
from sah_jax.training import metrics, tuned
from sah_jax.training import step as step_lib


@dataclasses.dataclass(frozen=True)
class Data:
    """What one setting is fitted to.

    Attributes:
      examples: the training examples.
      orders: for each epoch, in what order.
      rows, max_tokens: the shape of a batch.
    """

    examples: Sequence[examples_lib.TokenExample]
    orders: Sequence[np.ndarray]
    rows: int
    max_tokens: int

    @classmethod
    def of(
        cls, base: base_lib.BaseModel, task: task_lib.Task, setting: Any, seed: int, order: int = 0,
        context: tuple[int, ...] = (),
    ) -> "Data":
        """Returns the first examples of a task's training split, shuffled anew for each epoch.

        Args:
          base: the model.
          task: the task.
          setting: has num_examples, epochs, batch_size and max_tokens.
          seed: of examples and order.
          order: another one gives other orders of the same examples.
          context: tokens before every prompt, by which rows are longer.

        Raises:
          UserError: rows would be longer than the model has positions, or see `examples.first_fitting`.
        """
        if (longest := len(context) + setting.max_tokens) > base.spec.max_positions:
            raise errors.UserError(
                f"rows of {len(context)} tokens of context and max_tokens {setting.max_tokens} are {longest} "
                f"long, expected at most the {base.spec.max_positions} positions of {base.name}; lower "
                "max_tokens.")
        examples = examples_lib.first_fitting(base, task, setting.num_examples, setting.max_tokens, seed)
        examples = [dataclasses.replace(one, prompt=context + one.prompt) for one in examples]
        rng = np.random.default_rng((seed, order) if order else seed)
        orders = [rng.permutation(len(examples)) for _ in range(setting.epochs)]
        return cls(examples, orders, setting.batch_size, len(context) + setting.max_tokens)

    @property
    def steps(self) -> int:
        """How many batches there are."""
        return len(self.orders) * -(-len(self.examples) // self.rows)

    def batches(self, base: base_lib.BaseModel, places: step_lib.Batch | None = None) -> Iterator:
        """Yields them in turn."""
        return examples_lib.batches(base, self.examples, self.rows, self.max_tokens, self.orders, places)


def fit(
    problem: tuned.Problem, base: base_lib.BaseModel, data: Sequence[Data], tunings: Sequence[tuned.Tuning],
    knobs: Sequence[Any], report: Callable[[str], None], checkpoints: checkpoints_lib.Plan | None = None,
    lanes: int = 0,
) -> tuple[Any, np.ndarray]:
    """Fits θ for each of some settings of one problem.

    Args:
      problem: what is fitted.
      base: the model.
      data, tunings, knobs: of each setting; batches of one shape.
      report: called with a line now and then.
      checkpoints: where to save and to go on from.
      lanes: how many the compiled step has; those beyond the settings repeat the last one, so that what
        comes out for a setting does not hang on how many there are beside it. 0 for as many as settings.

    Returns:
      θ with a first axis for the settings, and the losses [steps, settings]: of steps that a setting
      does not have, they mean nothing.

    Raises:
      UserError: no setting's loss is finite, or a checkpoint cannot be used.
    """
    count, lanes = len(data), max(lanes, len(data))
    rows, total = data[0].rows, max(one.steps for one in data)
    if lanes == 1:
        step = tuned.make_step(problem, rows)
        batches = data[0].batches(base, step.placed and step.placed.batch)
        theta, losses = _run(step, base, batches, total, tunings[0], knobs[0], report, checkpoints)
        return jax.tree.map(lambda leaf: leaf[None], theta), losses[:, None]
    padded = lambda some: [*some, *[some[-1]] * (lanes - count)]
    step = tuned.make_step(problem, rows, lanes)
    batches = _stacked([one.batches(base) for one in padded(data)], base, data[0])
    if step.placed:
        batches = (sharding.place(batch, step.placed.batch) for batch in batches)
    theta, losses = _run(
        step, base, batches, total, tuned.stack(padded(tunings)), tuned.stack(padded(knobs)), report,
        checkpoints)
    # Also where it went on after the last step, and has no losses.
    return jax.tree.map(lambda leaf: leaf[:count], theta), losses.reshape(len(losses), lanes)[:, :count]


def _run(step: tuned.Step, base, batches, total, tuning, knobs, report, checkpoints):
    run = lambda state, params, batch: step.run(state, params, batch, tuning, knobs)
    return fit_lib.fit(run, step.start(knobs), base.params, batches, total, report, checkpoints)


def _stacked(lanes: list[Iterator], base: base_lib.BaseModel, data: Data) -> Iterator[step_lib.Batch]:
    """Yields the lanes' batches as one; a lane that has no more gets empty ones."""
    empty = examples_lib.batch_of(base, [], data.rows, data.max_tokens)
    for batches in itertools.zip_longest(*lanes, fillvalue=empty):
        yield step_lib.Batch(*(np.stack(arrays) for arrays in zip(*batches, strict=True)))


class Run(NamedTuple):
    """One setting, ready to be fitted: see `fit`."""

    data: Data
    tuning: tuned.Tuning
    knobs: Any


def attempt(make: Callable[..., Any], arguments: Sequence[tuple]) -> list[Any]:
    """Returns what `make` gives for each of some arguments, or the UserError that it raises."""
    found = []
    for one in arguments:
        try:
            found.append(make(*one))
        except errors.UserError as error:
            found.append(error)
    return found


def fit_each(
    problem: tuned.Problem, base: base_lib.BaseModel, runs: Sequence[Run | errors.UserError],
    report: Callable[[str], None], checkpoints: checkpoints_lib.Plan | None = None, lanes: int = 0,
) -> list[Any]:
    """Fits settings together; what is wrong with one does not harm the others.

    Args:
      problem, base, checkpoints, lanes: see `fit`.
      runs: what to fit; where a setting could not be made ready, why.
      report: as there; of losses, a run's lane is its place among the runs.

    Returns:
      For each run θ, fetched, or the UserError that says why there is none.
    """
    ready = [run for run in runs if isinstance(run, Run)]
    if not ready:
        return list(runs)
    places = [(place, run.data.steps) for place, run in enumerate(runs) if isinstance(run, Run)]
    told = metrics.of_lanes(report, places)
    try:
        theta, losses = fit(problem, base, *zip(*ready, strict=True), told, checkpoints, lanes)
    except errors.UserError as error:
        return [error if isinstance(run, Run) else run for run in runs]
    theta = hosts.fetch(theta)
    # Of a fit that went on, those of the steps since.
    first = max(run.data.steps for run in ready) - len(losses)
    lanes_of = iter(range(len(ready)))

    def own(run):
        if not isinstance(run, Run):
            raise run
        lane, steps = next(lanes_of), run.data.steps
        fit_lib.check_finite(losses[: max(steps - first, 0), lane], steps, first)
        found = jax.tree.map(lambda leaf: leaf[lane], theta)
        if not all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(found)):
            raise errors.UserError(
                f"a fitted number is not finite after step {steps} of {steps}, expected finite ones; lower "
                "the learning rate.")
        return found

    return attempt(own, [(run,) for run in runs])


def step_flops(problem: tuned.Problem, knobs: Any, rows: int, max_tokens: int) -> int:
    """Returns the operations of one step of a problem, see `flops.count`."""
    params = decoder_lib.abstract_params(problem.decoder)
    batch = step_lib.Batch(*(
        jax.ShapeDtypeStruct((rows, 1 + max_tokens), dtype) for dtype in (jnp.int32, jnp.float32)))
    tuning = tuned.Tuning(*(jnp.float32(0),) * 3, *(jnp.int32(1),) * 2)
    state = jax.eval_shape(problem.state, knobs)
    run = tuned.make_step(problem, rows).run
    return flops.count(run.trace(state, params, batch, tuning, knobs).jaxpr)
