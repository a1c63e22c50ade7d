"""`online`: a subset of the training data, coded by the model that learns from it as it is read.

Prequential coding (Dawid 1984; Blier & Ollivier 2018): a batch costs what it costs the model
that has been trained on the batches before it. The reader decodes a batch, trains on it,
decodes the next, and ends with the writer's weights, bit for bit; later epochs go over
the same examples and cost nothing. As in the reference, whole examples are coded, the
loss is on answers, and a low-rank adapter learns (rank 8, alpha 8, Adam).
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import numpy as np
import optax

from sah_jax import errors
from sah_jax.coding import file, integers, tokens
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import sharding
from sah_jax.programs import base as family_lib
from sah_jax.programs import lowrank
from sah_jax.training import examples as examples_lib
from sah_jax.training import step as step_lib

_BATCH_SIZES = (1, 2, 4, 8, 16, 32)
_EPOCHS = range(1, 9)
_RANKS = (1, 2, 4, 8, 16, 32)
_MAX_CUE = 16
_MAX_ALPHA = (1 << 16) - 1

# An example costs at least a byte, or it is not worth coding. This is what keeps a few bytes
# from making a reader work for hours.
_LEAST_EXAMPLE_BYTES = 1

# Where an answer begins in a coded sequence: after the first place where the cue stands (the
# tokens that end every prompt, coded once), or at a position coded with each example.
_BOUNDARIES = ("cue", "position")


@dataclasses.dataclass(frozen=True)
class OnlineSetting:
    """num_examples are coded; `epochs` passes are trained, the first of them while coding."""

    num_examples: int
    learning_rate: float
    epochs: int = 1
    rank: int = 8
    alpha: int = 8
    batch_size: int = 8
    max_tokens: int = 128


@dataclasses.dataclass(frozen=True)
class _Plan:
    """All that the file's header says."""

    num_examples: int
    learning_rate: float
    epochs: int
    rank: int
    alpha: int
    batch_size: int
    max_tokens: int
    seed: int
    cue: tuple[int, ...]  # empty: positions are coded


@dataclasses.dataclass(frozen=True)
class OnlineTheta:
    """The plan, and the examples in the order they are coded and trained on."""

    plan: _Plan
    examples: tuple[examples_lib.TokenExample, ...]


class Online:
    """Prequentially coded training data."""

    name = "online"
    reads_examples = True
    Setting = OnlineSetting

    def fit(self, setting, base, task, seed, report, checkpoints=None) -> OnlineTheta:
        """See `Family.fit`."""
        _check(setting, seed)
        examples = examples_lib.first_fitting(
            base, task, setting.num_examples, setting.max_tokens, seed)
        cue = _shared_cue(examples)
        return OnlineTheta(_Plan(**dataclasses.asdict(setting), seed=seed, cue=cue), tuple(examples))

    def write(self, theta, writer, base, report) -> family_lib.Adapted:
        """See `Family.write`."""
        plan = theta.plan
        _write_plan(writer, plan, base)
        learner = _Learner(plan, base)
        for first in range(0, plan.num_examples, plan.batch_size):
            batch = theta.examples[first : first + plan.batch_size]
            with writer.field("examples"):
                sequences = [[*example.prompt, *example.answer] for example in batch]
                tokens.write_rows(
                    writer, learner.rows(), sequences, [plan.max_tokens] * len(batch),
                    tokens.numbered(first))
            with writer.field("answer positions"):
                for example in batch if not plan.cue else ():
                    integers.write_count(writer, len(example.prompt))
            learner.train(batch)
            report(f"{first + len(batch)}/{plan.num_examples} examples coded and trained on")
        if writer.ledger.ideal_bits < 8 * _LEAST_EXAMPLE_BYTES * plan.num_examples:
            raise errors.UserError(
                f"online's {plan.num_examples} examples cost {writer.ledger.ideal_bits:.0f} bits, expected "
                f"at least {8 * _LEAST_EXAMPLE_BYTES} each; code fewer examples or longer ones.")
        return learner.finish(theta.examples, report)

    def read(self, reader, base, report) -> family_lib.Adapted:
        """See `Family.read`."""
        plan = _read_plan(reader, base)
        learner, examples = _Learner(plan, base), []
        for first in range(0, plan.num_examples, plan.batch_size):
            size = min(plan.batch_size, plan.num_examples - first)
            with reader.field("examples"):
                sequences = tokens.read_rows(
                    reader, learner.rows(), [plan.max_tokens] * size, tokens.numbered(first))
            with reader.field("answer positions"):
                boundaries = [_boundary(reader, plan.cue, sequence) for sequence in sequences]
            batch = [examples_lib.TokenExample(tuple(sequence[:end]), tuple(sequence[end:]))
                     for sequence, end in zip(sequences, boundaries, strict=True)]
            learner.train(batch)
            examples += batch
            report(f"{len(examples)}/{plan.num_examples} examples decoded and trained on")
        return learner.finish(examples, report)


class _Learner:
    """The adapter that learns from the examples; the same on both sides."""

    def __init__(self, plan: _Plan, base: base_lib.BaseModel):
        self._plan, self._base = plan, base
        factors = lowrank.start(base.decoder, plan.rank, plan.seed)
        self._step, optimizer, self._placed = _make_step(
            base.decoder, plan.learning_rate, plan.alpha / plan.rank, plan.rank, plan.batch_size)
        state = step_lib.FitState(factors, optimizer.init(factors))
        self._state = sharding.place(state, self._placed.state) if self._placed else state
        self._losses = []

    def program(self) -> dict:
        return lowrank.expand(self._state.theta, self._plan.alpha / self._plan.rank)

    def rows(self) -> tokens.Rows:
        """What codes the next batch: the base with the adapter as it is now."""
        plan = self._plan
        return family_lib.language_rows(
            self._base, self.program(), plan.batch_size, plan.max_tokens, self._base.spec.end_tokens[0])

    def train(self, batch: Sequence[examples_lib.TokenExample]) -> None:
        shaped = examples_lib.batch_of(self._base, batch, self._plan.batch_size, self._plan.max_tokens)
        if self._placed:
            shaped = sharding.place(shaped, self._placed.batch)
        self._state, loss = self._step(self._state, self._base.params, shaped)
        self._losses.append(loss)

    def finish(self, examples: Sequence[examples_lib.TokenExample], report) -> family_lib.Adapted:
        """Trains the epochs after the first, each in its own seeded order."""
        plan = self._plan
        for epoch in range(1, plan.epochs):
            order = np.random.default_rng((plan.seed, epoch)).permutation(len(examples))
            for first in range(0, len(order), plan.batch_size):
                self.train([examples[index] for index in order[first : first + plan.batch_size]])
            report(f"epoch {epoch + 1}/{plan.epochs} trained")
        if not np.all(np.isfinite([float(loss) for loss in self._losses])):
            raise errors.UserError(
                f"the training loss of online with learning rate {plan.learning_rate} is not finite, "
                "expected a finite number; lower the learning rate.")
        return family_lib.Adapted(self.program())


@functools.lru_cache(maxsize=8)
def _make_step(decoder: decoder_lib.Decoder, learning_rate: float, scale: float, rank: int, rows: int):
    """Returns the jitted step, its optimizer and places; the same arguments share one compilation."""
    optimizer = optax.adam(learning_rate)
    expand = lambda theta, params: {"params": params, "program": lowrank.expand(theta, scale)}
    factors = jax.eval_shape(lambda: lowrank.start(decoder, rank, 0))
    state = step_lib.FitState(factors, jax.eval_shape(optimizer.init, factors))
    placed = step_lib.places(decoder, state, rows)
    return step_lib.make_step(decoder, optimizer, expand, placed), optimizer, placed


def _check(setting: OnlineSetting, seed: int) -> None:
    allowed = {"batch_size": _BATCH_SIZES, "epochs": _EPOCHS, "rank": _RANKS,
               "num_examples": range(1, 1 << 32), "max_tokens": range(1, 1 << 16),
               "alpha": range(1, _MAX_ALPHA + 1)}
    for name, values in allowed.items():
        if getattr(setting, name) not in values:
            raise errors.UserError(
                f"online's setting {name} is {getattr(setting, name)}, expected one of {values}; "
                "correct the config.")
    if not 0 <= seed < 1 << 8:
        raise errors.UserError(f"online's seed is {seed}, expected 0 to 255; correct the config.")
    try:
        integers.write_decimal(file.ProgramWriter(), setting.learning_rate)
    except ValueError as error:
        raise errors.UserError(f"online's learning_rate {error}; correct the config.") from error


def _shared_cue(examples: Sequence[examples_lib.TokenExample]) -> tuple[int, ...]:
    """Returns the tokens that end every prompt and stand nowhere before, or ()."""
    first = examples[0].prompt
    for length in range(1, _MAX_CUE + 1):
        cue = first[-length:]
        if all(_find(cue, example.prompt + example.answer) == len(example.prompt) for example in examples):
            return cue
    return ()


def _find(cue: Sequence[int], sequence: Sequence[int]) -> int:
    """Returns the position after the first place where the cue stands, or 0."""
    ends = range(len(cue), len(sequence) + 1)
    return next((end for end in ends if tuple(sequence[end - len(cue) : end]) == tuple(cue)), 0)


def _boundary(reader: file.ProgramReader, cue: tuple[int, ...], sequence: list[int]) -> int:
    if not cue:
        return integers.read_count(reader, "prompt tokens", len(sequence))
    return _find(cue, sequence)


def _write_plan(writer: file.ProgramWriter, plan: _Plan, base: base_lib.BaseModel) -> None:
    with writer.field("online settings"):
        integers.write_count(writer, plan.num_examples)
        integers.write_decimal(writer, plan.learning_rate)
        integers.write_choice(writer, _EPOCHS, plan.epochs)
        integers.write_choice(writer, _RANKS, plan.rank)
        integers.write_count(writer, plan.alpha)
        integers.write_choice(writer, _BATCH_SIZES, plan.batch_size)
        integers.write_count(writer, plan.max_tokens)
        integers.write_bits(writer, plan.seed, 8)
    with writer.field("answer cue"):
        integers.write_choice(writer, _BOUNDARIES, "cue" if plan.cue else "position")
        if plan.cue:
            integers.write_choice(writer, range(1, _MAX_CUE + 1), len(plan.cue))
            rows = family_lib.language_rows(base, {}, 1, _MAX_CUE, tokens.NO_END)
            tokens.write_rows(writer, rows, [plan.cue], [len(plan.cue)])


def _read_plan(reader: file.ProgramReader, base: base_lib.BaseModel) -> _Plan:
    with reader.field("online settings"):
        plan = dict(
            num_examples=integers.read_count(
                reader, "examples", reader.size // _LEAST_EXAMPLE_BYTES),
            learning_rate=integers.read_decimal(reader),
            epochs=integers.read_choice(reader, _EPOCHS),
            rank=integers.read_choice(reader, _RANKS),
            alpha=integers.read_count(reader, "as alpha", _MAX_ALPHA),
            batch_size=integers.read_choice(reader, _BATCH_SIZES),
            max_tokens=integers.read_count(reader, "tokens an example", base.spec.max_positions),
            seed=integers.read_bits(reader, 8))
    if not plan["num_examples"] or not plan["max_tokens"]:
        raise reader.invalid("it claims no examples or examples of no tokens")
    with reader.field("answer cue"):
        cue = ()
        if integers.read_choice(reader, _BOUNDARIES) == "cue":
            length = integers.read_choice(reader, range(1, _MAX_CUE + 1))
            rows = family_lib.language_rows(base, {}, 1, _MAX_CUE, tokens.NO_END)
            cue = tuple(tokens.read_rows(reader, rows, [length])[0])
    return _Plan(**plan, cue=cue)
