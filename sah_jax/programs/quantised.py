"""Families whose θ is arrays of coded numbers: how they are fitted, written and read.

A family of this kind says what arrays there are and what they do to the decoder. Fitting (one setting, or
many as lanes of one compiled step), quantisation, rate-distortion training, coding and reading are here.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from sah_jax import errors
from sah_jax.coding import file
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import header, latents
from sah_jax.tasks import base as task_lib
from sah_jax.training import checkpoints as checkpoints_lib
from sah_jax.training import lanes as lanes_lib
from sah_jax.training import tuned

_WEIGHT_DECAY = 0.01  # of the paper's AdamW
_FINAL_SHARE = 0.05  # of the learning rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Form:
    """What every file of such a family says first.

    bits_per_weight: 2 to 8 for integers that the coder codes in what they need, trained quantised; 16 for
      bfloat16 numbers, trained in float32 and written raw, as the paper counts them.
    """

    bits_per_weight: int = header.coded(header.Choice(latents.BITS), default=8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitting:
    """How θ is fitted; none of it is in the file.

    rate_weight: λ, nats per token of loss that a bit of the file is worth.
    rounding: what training sees in place of rounded values, one of `latents.ROUNDINGS`.
    order: with the seed, of the examples.
    """

    learning_rate: float = header.fitting(header.Positive())
    num_examples: int = header.fitting(header.Positive())
    epochs: int = header.fitting(header.Positive(), default=1)
    batch_size: int = header.fitting(header.Positive(), default=8)
    max_tokens: int = header.fitting(header.Positive(), default=128)
    rate_weight: float = header.fitting(header.NotNegative(), default=0.0)
    rounding: str = header.fitting(header.Choice(latents.ROUNDINGS), default="straight_through")
    order: int = header.fitting(header.NotNegative(), default=0)


@dataclasses.dataclass(frozen=True)
class Theta:
    """What is coded: what the header says, the seed, the numbers, and what else the family has."""

    form: Any
    seed: int
    latents: latents.Latents
    extra: Any = ()


class QuantisedFamily:
    """What such families have in common.

    A family sets `name`, `Form`, `Setting` (of `Form` and `Fitting`) and `RUNTIME`, and defines `shapes`,
    `program` and where needed the others.

    Attributes:
      RUNTIME: the fields of its form that change no shape, each with a value that stands for all of them.
      layered: whether the first axis of arrays counts layers.
      unchanged_at_zero: whether zeros alone leave the base as it is.
      alone: see `FittedTogether`.
    """

    name: str
    reads_examples = True
    Form: type
    Setting: type
    RUNTIME: Mapping[str, Any] = {}
    layered = True
    unchanged_at_zero = True
    alone = False

    def shapes(self, form: Any, decoder: decoder_lib.Decoder) -> dict[str, tuple[int, ...]]:
        """Returns the arrays' shapes by name; where the family is `layered`, the first axis counts layers."""
        raise NotImplementedError

    def program(
        self, values: dict[str, jax.Array], form: Any, knobs: Any, params: dict, decoder: decoder_lib.Decoder
    ) -> family_lib.Added:
        """Returns what values do to the decoder: pure and differentiable.

        `form` has the placeholders of `RUNTIME`; what they stand for is in `knobs`.
        """
        raise NotImplementedError

    def knobs(self, form: Any, seed: int, base: base_lib.BaseModel, extra: Any = ()) -> Any:
        """Returns what `program` hangs on besides, as a tree of arrays."""
        return {}

    def extra(self, setting: Any, base: base_lib.BaseModel, task: task_lib.Task, seed: int) -> Any:
        """Returns what the file holds besides header and numbers, before they are fitted."""
        return ()

    def write_extra(self, writer: file.ProgramWriter, theta: Theta, base: base_lib.BaseModel) -> None:
        """Codes it."""

    def read_extra(
        self, reader: file.ProgramReader, form: Any, seed: int, base: base_lib.BaseModel, report
    ) -> Any:
        """Reads what `write_extra` wrote; raises UserError where it cannot be."""
        return ()

    def kept(self, form: Any, base: base_lib.BaseModel) -> dict[str, Sequence[int] | None]:
        """Returns for each array which rows the file holds; None for all. The rest stays zero."""
        return dict.fromkeys(self.shapes(form, base.decoder))

    def portable(self, theta: Theta) -> bool:
        """Returns whether integers and counters alone lead to the adapted model, see `Adapted.portable`.

        A family says so itself: one whose `program` runs the model, or rounds floats, must not.
        """
        return False

    def check(self, setting: Any, seed: int, base: base_lib.BaseModel) -> None:
        """Raises UserError where a setting does not suit the model."""
        header.check(self.name, setting, seed)

    def together(self, setting: Any) -> Any:
        """See `FittedTogether.together`."""
        return self.static(setting), setting.batch_size, setting.max_tokens

    def fit(self, setting, base, task, seed, report, checkpoints=None) -> Theta:
        """See `Family.fit`."""
        (found,) = self.fit_together([(setting, seed)], base, task, report, checkpoints)
        if isinstance(found, errors.UserError):
            raise found
        return found

    def fit_together(
        self, runs: Sequence[tuple[Any, int]], base: base_lib.BaseModel, task, report,
        checkpoints: checkpoints_lib.Plan | None = None, lanes: int = 0, context: tuple[int, ...] = (),
    ) -> list[Theta | errors.UserError]:
        """See `FittedTogether.fit_together`; `context` stands before every prompt."""
        def prepared(setting, seed):
            self.check(setting, seed, base)
            extra = self.extra(setting, base, task, seed)
            data = lanes_lib.Data.of(base, task, setting, seed, setting.order, context)
            knobs = self._knobs(setting, seed, base, extra)
            return lanes_lib.Run(data, self._tuning(setting, seed, data.steps), knobs), extra

        ready = lanes_lib.attempt(prepared, runs)
        fits = lanes_lib.fit_each(
            problem_of(self, self.static(runs[0][0]), base.decoder), base,
            [one if isinstance(one, errors.UserError) else one[0] for one in ready], report, checkpoints,
            lanes)

        def frozen(run, one, fitted):
            if isinstance(fitted, errors.UserError):
                raise fitted
            form = header.part(run[0], self.Form)
            # A mesh may have padded the vocabulary; the file has the model's own rows.
            shapes = self.shapes(form, base.decoder.clone(vocab_rows=0))
            own = {name: fitted["offset"][name][tuple(map(slice, shape))] for name, shape in shapes.items()}
            return Theta(form, run[1], latents.freeze(fitted | {"offset": own}, form.bits_per_weight), one[1])

        return lanes_lib.attempt(frozen, list(zip(runs, ready, fits, strict=True)))

    def _tuning(self, setting: Any, seed: int, steps: int) -> tuned.Tuning:
        raw = setting.bits_per_weight == latents.RAW_BITS
        return tuned.Tuning(
            np.float32(setting.learning_rate), np.float32(1.0 if raw else _FINAL_SHARE),
            np.float32(_WEIGHT_DECAY if raw else 0.0), np.int32(steps), np.int32(seed))

    def static(self, setting: Any) -> Any:
        """Returns a form that is the same for all settings that share a trace."""
        form = header.part(setting, self.Form)
        bits = latents.RAW_BITS if form.bits_per_weight == latents.RAW_BITS else latents.BITS[0]
        return dataclasses.replace(form, bits_per_weight=bits, **self.RUNTIME)

    def _knobs(
        self, setting: Any, seed: int, base: base_lib.BaseModel, extra: Any
    ) -> tuple[latents.Knobs, Any]:
        return (latents.make_knobs(
            setting.bits_per_weight, setting.rounding, setting.rate_weight, setting.learning_rate),
            self.knobs(header.part(setting, self.Form), seed, base, extra))

    def write(self, theta, writer, base, report) -> family_lib.Adapted:
        """See `Family.write`."""
        with writer.field(f"{self.name} settings"):
            header.write(writer, theta.form, theta.seed, base)
        self.write_extra(writer, theta, base)
        latents.write(
            writer, theta.latents, theta.form.bits_per_weight, self.kept(theta.form, base), self.layered)
        return self._adapted(theta, base)

    def read(self, reader, base, report) -> family_lib.Adapted:
        """See `Family.read`."""
        with reader.field(f"{self.name} settings"):
            form, seed = header.read(reader, self.Form, base)
        extra = self.read_extra(reader, form, seed, base, report)
        found = latents.read(
            reader, self.shapes(form, base.decoder.clone(vocab_rows=0)), form.bits_per_weight,
            self.kept(form, base), self.layered)
        return self._adapted(Theta(form, seed, found, extra), base)

    def _adapted(self, theta: Theta, base: base_lib.BaseModel) -> family_lib.Adapted:
        values, knobs = self._values_of(
            theta.latents, self.knobs(theta.form, theta.seed, base, theta.extra))
        added = self.program(values, theta.form, knobs, base.params, base.decoder)
        return family_lib.Adapted(
            added.program, deltas=added.deltas, portable=self.portable(theta),
            unchanged=self.unchanged_at_zero and theta.latents.all_zero)

    def _values_of(self, found: latents.Latents, knobs: Any) -> tuple[dict[str, Any], Any]:
        """Returns the values that a file means, and what else `program` takes of it."""
        return found.values(), knobs

    def paper_count(self, theta: Theta, base: base_lib.BaseModel) -> int:
        """Returns how many parameters the paper would count; 0 for a family that it does not have."""
        return 0

    def decode_flops(self, theta: Theta, base: base_lib.BaseModel) -> int:
        """Returns the operations of turning the file into the adapted model."""
        return 0

    def accounts(self, setting, theta, base, context: tuple[int, ...] = ()) -> family_lib.Accounts:
        """See `Family.accounts`; `context` stood before every prompt of the fit."""
        problem = problem_of(self, self.static(setting), base.decoder)
        steps = setting.epochs * -(-setting.num_examples // setting.batch_size)
        flops = lanes_lib.step_flops(
            problem, self._knobs(setting, theta.seed, base, theta.extra), setting.batch_size,
            len(context) + setting.max_tokens)
        return family_lib.Accounts(
            train_flops=steps * flops, decode_flops=self.decode_flops(theta, base),
            reference_bits=latents.RAW_BITS * self.paper_count(theta, base))


@functools.lru_cache(maxsize=16)
def problem_of(family: QuantisedFamily, form: Any, decoder: decoder_lib.Decoder) -> tuned.Problem:
    """Returns what is fitted; the same arguments give the same object, and so share its compiled step."""
    raw = form.bits_per_weight == latents.RAW_BITS
    shapes = family.shapes(form, decoder)

    def expand(theta, params, knobs, moment):
        values = theta["offset"] if raw else latents.quantised(theta, knobs[0], *moment)
        added = family.program(values, form, knobs[1], params, decoder)
        return {"params": decoder_lib.with_deltas(params, added.deltas), "program": added.program}

    def penalty(theta, knobs, moment):
        if raw:
            return 0.0
        weight = knobs[0].rate_weight * latents.rate_share(moment.progress)
        return weight * latents.rate_bits(theta, moment.key)

    # The start hangs on these knobs alone.
    example = (latents.make_knobs(latents.BITS[0], latents.ROUNDINGS[0], 0.0, 1e-3), {})
    return tuned.Problem(decoder, lambda knobs: latents.start(shapes, knobs[0]), expand, example, penalty)
