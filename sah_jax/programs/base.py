"""The protocol of program families, and the header that every program file begins with."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp

from sah_jax import errors, hosts
from sah_jax.coding import file, integers, tokens
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import flops, sharding
from sah_jax.programs import header
from sah_jax.tasks import base as task_lib
from sah_jax.training import checkpoints as checkpoints_lib

Report = Callable[[str], None]
"""Called with a line of progress; one that is a `training.metrics.Report` hears of losses too."""

Setting = TypeVar("Setting")


class Added(NamedTuple):
    """What fitted numbers add to the frozen base.

    program: the decoder's `program` collection; empty when no weight is touched.
    deltas: what is added to leaves of `params`: a tree of some of its leaves.
    """

    program: dict
    deltas: dict = {}


@dataclasses.dataclass(frozen=True)
class Adapted:
    """An adapted model: everything that a program adds to the frozen base.

    Attributes:
      program, deltas: see `Added`.
      context: tokens that stand before every prompt.
      portable: whether integers and counters alone led to it, so that it is the same on any machine;
        else it was replayed, and needs the numerics profile that it was written under.
      unchanged: whether all of the program's numbers are zero, so that it is the base model.
      widths: where the file gives tensors bit widths, the bits a number of each layer by a tensor's name; 0
        where all its numbers are zero.
    """

    program: dict
    context: tuple[int, ...] = ()
    deltas: dict = dataclasses.field(default_factory=dict)
    portable: bool = False
    unchanged: bool = False
    widths: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)

    def variables(self, base: base_lib.BaseModel) -> dict:
        """Returns what the decoder is applied to, the program too where the model's mesh wants it."""
        mesh, program = base.decoder.mesh, self.program
        if mesh is not None:
            program = sharding.place(program, sharding.shardings(program, mesh))
        return {"params": decoder_lib.with_deltas(base.params, self.deltas), "program": program}

    def digest(self) -> str:
        """Returns the SHA-256 of program variables, deltas and context, in hexadecimal."""
        told = {"program": hosts.fetch(self.program), "context": list(self.context)}
        return base_lib.tree_digest(told | ({"deltas": hosts.fetch(self.deltas)} if self.deltas else {}))

    def then(self, other: "Adapted") -> "Adapted":
        """Returns the model that both programs adapt: contexts one after the other, weights added up."""
        return Adapted(
            decoder_lib.joined_programs(self.program, other.program), self.context + other.context,
            decoder_lib.added_deltas(self.deltas, other.deltas), self.portable and other.portable,
            self.unchanged and other.unchanged, self.widths | other.widths)


@dataclasses.dataclass(frozen=True)
class Accounts:
    """What a program takes besides bits.

    Attributes:
      train_flops: floating-point operations of the fit, see `models.flops.count`.
      decode_flops: those of turning the file into the adapted model.
      reference_bits: the length by the paper's own count where that counts parameters, else 0.
    """

    train_flops: int = 0
    decode_flops: int = 0
    reference_bits: int = 0


class Family(Protocol):
    """A family of programs. θ is what `fit` finds: as small as the family can make it.

    Attributes:
      name: the family's name in configs, rows and program files.
      Setting: a frozen dataclass of the family's settings.
      reads_examples: whether `fit` asks for training examples, so that other ones are another program.
    """

    name: str
    Setting: type
    reads_examples: bool

    def fit(self, setting: Any, base: base_lib.BaseModel, task: task_lib.Task, seed: int,
            report: Report, checkpoints: checkpoints_lib.Plan | None = None) -> Any:
        """Returns θ, fitted to the training split of a task.

        A family that trains here saves checkpoints as planned, and goes on from where there is one.

        Raises:
          UserError: the setting does not suit the model or task, or training diverged.
        """

    def write(self, theta: Any, writer: file.ProgramWriter, base: base_lib.BaseModel,
              report: Report) -> Adapted:
        """Codes θ; returns the adapted model that a reader of the file will get."""

    def read(self, reader: file.ProgramReader, base: base_lib.BaseModel, report: Report) -> Adapted:
        """Decodes the adapted model, reading exactly what `write` wrote.

        Raises:
          UserError: the file cannot be one that `write` wrote for this base.
        """

    def accounts(self, setting: Any, theta: Any, base: base_lib.BaseModel) -> Accounts:
        """Returns what a program of this θ takes besides its bits."""


class Sectioned(Protocol):
    """A family whose files have several sections, see `mixed`: a `Family` but for `write` and `read`."""

    def parse(self, given: Mapping[str, Any]) -> Any:
        """Returns its settings; raises UserError where a config does not suit."""

    def sections(self, theta: Any) -> list[tuple[Family, Any]]:
        """Returns the families of a file's sections, each with its θ."""


class FittedTogether(Family, Protocol):
    """A family that fits several settings as one batch, in one compiled step.

    Attributes:
      alone: whether a study fits each setting by itself all the same, because of the memory that it takes.
    """

    alone: bool

    def together(self, setting: Any) -> Any:
        """Returns what settings have in common that can be fitted together; hashable."""

    def fit_together(
        self, runs: Sequence[tuple[Any, int]], base: base_lib.BaseModel, task: task_lib.Task, report: Report,
        checkpoints: checkpoints_lib.Plan | None = None, lanes: int = 0,
    ) -> list[Any]:
        """Returns for each (setting, seed) what `fit` does up to rounding, or the UserError it would raise.

        Args:
          runs: alike by `together`.
          base, task, report, checkpoints: as in `fit`.
          lanes: how many the compiled step has, at least as many as runs; 0 for as many.
        """


def parse_setting(family: Family, given: Mapping[str, Any]) -> Any:
    """Turns a config's dictionary into the family's `Setting`, strictly.

    Raises:
      UserError: a key is unknown or missing, or a value has another type or is none that its rule holds for.
    """
    if hasattr(family, "parse"):
        return family.parse(given)
    fields = {field.name: field for field in dataclasses.fields(family.Setting)}
    if unknown := sorted(given.keys() - fields.keys()):
        raise errors.UserError(
            f"setting {unknown[0]!r} is not one of {family.name}'s ({', '.join(fields) or 'none'}); "
            "correct the config.")
    required = {n for n, f in fields.items() if f.default is dataclasses.MISSING}
    if missing := sorted(required - given.keys()):
        raise errors.UserError(f"{family.name} needs the setting {missing[0]!r}; add it to the config.")
    values = {}
    for name, value in given.items():
        want = fields[name].type
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if want is float and number:
            value = float(value)
        if type(value) is not want:
            raise errors.UserError(
                f"{family.name}'s setting {name} is {value!r}, expected {want.__name__}; "
                "correct the config.")
        values[name] = value
    setting = family.Setting(**values)
    header.check(family.name, setting)
    return setting


def language_rows(
    base: base_lib.BaseModel, adapted: Adapted, rows: int, positions: int, end_token: int, *,
    temperature: float = 1.0,
) -> tokens.Rows:
    """Returns what codes token sequences under the (adapted) base model.

    Args:
      base: the base model.
      adapted: what it is adapted by; its context stands before what is coded.
      rows, positions, end_token: see `tokens.Rows`.
      temperature: what logits are divided by.

    Raises:
      UserError: the model's mesh is none to code on.
    """
    sharding.check_codelength(base.decoder.mesh)
    return tokens.Rows(
        predict=_predict(base.decoder, temperature),
        make_cache=lambda batch, slots: decoder_lib.init_cache(base.spec, batch, slots, base.decoder.dtype),
        variables=adapted.variables(base),
        rows=rows, positions=positions, start_token=base.spec.start_token, end_token=end_token,
        context=adapted.context)


@functools.lru_cache(maxsize=16)
def _predict(decoder: decoder_lib.Decoder, temperature: float) -> tokens.Predict:
    step = base_lib.cached_step(decoder)
    if temperature == 1:
        return step

    def tempered(variables, cache, tokens_B, position):
        cache, logits_BV = step(variables, cache, tokens_B, position)
        return cache, logits_BV / temperature

    return tempered


def forward_flops(base: base_lib.BaseModel, program: dict, num_tokens: int) -> int:
    """Returns the operations of running the model over a sequence, its logits included."""
    tokens = jax.ShapeDtypeStruct((1, num_tokens), jnp.int32)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), program)
    variables = {"params": decoder_lib.abstract_params(base.decoder), "program": shapes}
    return flops.count(jax.make_jaxpr(base.decoder.apply)(variables, tokens))


_LOG_CAPACITIES = range(4, 20)


def capacity(positions: int) -> int:
    """Returns the power of two, at least 16, that holds `positions` tokens."""
    return 1 << max(_LOG_CAPACITIES[0], (positions - 1).bit_length())


def write_capacity(writer: file.ProgramWriter, positions: int) -> int:
    """Codes `capacity(positions)` and returns it."""
    size = capacity(positions)
    integers.write_choice(writer, _LOG_CAPACITIES, size.bit_length() - 1)
    return size


def read_capacity(reader: file.ProgramReader, base: base_lib.BaseModel) -> int:
    """Reads what `write_capacity` wrote, at most twice the model's positions."""
    size = 1 << integers.read_choice(reader, _LOG_CAPACITIES)
    if size >= 2 * max(base.spec.max_positions, 1 << _LOG_CAPACITIES[0]):
        raise reader.invalid(
            f"it claims sequences of {size} tokens, the model has {base.spec.max_positions} positions")
    return size
