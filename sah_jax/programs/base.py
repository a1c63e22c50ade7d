"""The protocol of program families, and the header that every program file begins with."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from sah_jax import errors, hosts
from sah_jax.coding import file, integers, tokens
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import sharding
from sah_jax.tasks import base as task_lib
from sah_jax.training import checkpoints as checkpoints_lib

Report = Callable[[str], None]
"""Called with a line of progress."""

Setting = TypeVar("Setting")


@dataclasses.dataclass(frozen=True)
class Adapted:
    """An adapted model: everything that a program adds to the frozen base.

    Attributes:
      program: the decoder's `program` collection; empty when no weight is touched.
      context: tokens that stand before every prompt.
    """

    program: dict
    context: tuple[int, ...] = ()

    def variables(self, base: base_lib.BaseModel) -> dict:
        """Returns what the decoder is applied to, the program too where the model's mesh wants it."""
        mesh, program = base.decoder.mesh, self.program
        if mesh is not None:
            program = sharding.place(program, sharding.shardings(program, mesh))
        return {"params": base.params, "program": program}

    def digest(self) -> str:
        """Returns the SHA-256 of the program variables and the context, in hexadecimal."""
        return base_lib.tree_digest({"program": hosts.fetch(self.program), "context": list(self.context)})


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


def parse_setting(family: Family, given: Mapping[str, Any]) -> Any:
    """Turns a config's dictionary into the family's `Setting`, strictly.

    Raises:
      UserError: a key is unknown or missing, or a value has another type.
    """
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
    return family.Setting(**values)


def language_rows(
    base: base_lib.BaseModel, program: dict, rows: int, positions: int, end_token: int,
    context: tuple[int, ...] = (),
) -> tokens.Rows:
    """Returns what codes token sequences under the (adapted) base model.

    Raises:
      UserError: the model's mesh is none to code on.
    """
    sharding.check_codelength(base.decoder.mesh)
    return tokens.Rows(
        predict=base_lib.cached_step(base.decoder),
        make_cache=lambda batch, slots: decoder_lib.init_cache(base.spec, batch, slots, base.decoder.dtype),
        variables=Adapted(program).variables(base),
        rows=rows, positions=positions, start_token=base.spec.start_token, end_token=end_token,
        context=context)


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
