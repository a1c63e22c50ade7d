"""What a family's settings may be, and how those that the reader needs are coded: declared once.

A field of a settings dataclass says its rule: `rank: int = coded(Choice((1, 2, 4)))`. From the
rules come the checks of a config, the bits of a file's header, and what a reader accepts.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from sah_jax import errors
from sah_jax.coding import file, integers
from sah_jax.models import base as base_lib

Form = TypeVar("Form")

_MOST_LAYERS = 4096  # of any model

SEED_BITS = 8
SEEDS = 1 << SEED_BITS
"""A fit's seed is one of so many, because a file holds it."""


class Rule(Protocol):
    """What values a setting can have. `expected` says it in words."""

    expected: str

    def holds(self, value: Any) -> bool:
        """Whether a value of the right type is one of them."""


class Code(Rule, Protocol):
    """A rule whose values can be written to a file."""

    def write(self, writer: file.ProgramWriter, value: Any, base: base_lib.BaseModel) -> None:
        """Codes a value that the rule holds for."""

    def read(self, reader: file.ProgramReader, what: str, base: base_lib.BaseModel) -> Any:
        """Reads what `write` wrote; raises UserError where it cannot be."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of a few values, all equally likely."""

    options: Sequence[Any]

    @property
    def expected(self) -> str:
        return f"one of {', '.join(map(str, self.options))}"

    def holds(self, value):
        return value in self.options

    def write(self, writer, value, base):
        integers.write_choice(writer, self.options, value)

    def read(self, reader, what, base):
        return integers.read_choice(reader, self.options)


@dataclasses.dataclass(frozen=True)
class Count:
    """An integer from `least` to `most`, by a universal code."""

    least: int
    most: int

    @property
    def expected(self) -> str:
        return f"{self.least} to {self.most}"

    def holds(self, value):
        return self.least <= value <= self.most

    def write(self, writer, value, base):
        integers.write_count(writer, value - self.least)

    def read(self, reader, what, base):
        return self.least + integers.read_count(reader, f"more {what}", self.most - self.least)


class Decimal:
    """A positive number of at most two digits."""

    expected = "m * 10**-e with 1 <= m <= 99 and 0 <= e < 16"

    def holds(self, value):
        try:
            integers.write_decimal(file.ProgramWriter(), value)
        except ValueError:
            return False
        return True

    def write(self, writer, value, base):
        integers.write_decimal(writer, value)

    def read(self, reader, what, base):
        return integers.read_decimal(reader)


@dataclasses.dataclass(frozen=True)
class Subset:
    """Some of a list of names, as "all" or "q,v"; all of them cost a bit, others a bit more for each name."""

    names: Sequence[str]

    @property
    def expected(self) -> str:
        return f'"all", or some of {",".join(self.names)}'

    def holds(self, value):
        return value == "all" or bool(self.of(value)) and set(value.split(",")) <= set(self.names)

    def of(self, value: str) -> tuple[str, ...]:
        """Returns the names that a value stands for, in the list's order."""
        given = value.split(",")
        return tuple(name for name in self.names if value == "all" or name in given)

    def write(self, writer, value, base):
        chosen = self.of(value)
        integers.write_bits(writer, len(chosen) < len(self.names), 1)
        for name in self.names if len(chosen) < len(self.names) else ():
            integers.write_bits(writer, name in chosen, 1)

    def read(self, reader, what, base):
        if not integers.read_bits(reader, 1):
            return "all"
        chosen = [name for name in self.names if integers.read_bits(reader, 1)]
        if not chosen or len(chosen) == len(self.names):
            raise reader.invalid(f"it claims {len(chosen)} {what}, which are coded otherwise")
        return ",".join(chosen)


class Layers:
    """Some of the model's layers, as "all", "0,3" or "1-3"; coded as a `Subset` of them."""

    expected = '"all", or layers of the model such as "0,3" or "1-3"'

    def holds(self, value):
        try:
            return bool(_layers(value)) or value == "all"
        except ValueError:
            return False

    def of(self, value: str, base: base_lib.BaseModel) -> tuple[int, ...]:
        """Returns the numbers of the layers that a value stands for.

        Raises:
          UserError: the model has fewer layers.
        """
        count = base.spec.layers
        chosen = range(count) if value == "all" else _layers(value)
        if max(chosen) >= count:
            raise errors.UserError(
                f"the setting layers is {value!r}, {base.name} has the layers 0 to {count - 1}; correct the "
                "config.")
        return tuple(chosen)

    def _subset(self, base) -> Subset:
        return Subset([str(layer) for layer in range(base.spec.layers)])

    def write(self, writer, value, base):
        chosen = self.of(value, base)
        self._subset(base).write(writer, ",".join(map(str, chosen)), base)

    def read(self, reader, what, base):
        return self._subset(base).read(reader, what, base)


def _layers(value: str) -> list[int]:
    """Returns the numbers in "0,3" or "1-3", none for "all"; raises ValueError for anything else."""
    chosen = set()
    for part in value.split(",") if value != "all" else ():
        first, dash, last = part.partition("-")
        ends = int(first), int(last if dash else first)
        if ends[1] >= _MOST_LAYERS:
            raise ValueError(f"{ends[1]} is the number of no layer")
        chosen |= set(range(ends[0], ends[1] + 1))
    return sorted(chosen)


class Positive:
    """A finite number above 0; no code, for what only a fit needs."""

    expected = "a finite number above 0"

    def holds(self, value):
        return 0 < value < math.inf


class NotNegative:
    """A finite number of at least 0; no code."""

    expected = "a finite number of at least 0"

    def holds(self, value):
        return 0 <= value < math.inf


class Anything:
    """Any value of the right type; no code."""

    expected = "anything"

    def holds(self, value):
        return True


_RULE = "rule"


def coded(code: Code, **options: Any) -> Any:
    """Returns a dataclass field that the file holds; `options` are those of `dataclasses.field`."""
    return dataclasses.field(metadata={_RULE: code}, **options)


def fitting(rule: Rule, **options: Any) -> Any:
    """Returns a dataclass field that only a fit needs."""
    return dataclasses.field(metadata={_RULE: rule}, **options)


def check(name: str, setting: Any, seed: int = 0) -> None:
    """Checks a family's setting, where its fields have rules, and a seed.

    Raises:
      UserError: a value is none that its rule holds for.
    """
    for field in dataclasses.fields(setting):
        rule, value = field.metadata.get(_RULE), getattr(setting, field.name)
        if rule is not None and not rule.holds(value):
            raise errors.UserError(
                f"{name}'s setting {field.name} is {value}, expected {rule.expected}; correct the config.")
    if not 0 <= seed < SEEDS:
        raise errors.UserError(f"{name}'s seed is {seed}, expected 0 to {SEEDS - 1}; correct the config.")


def part(setting: Any, form: type[Form]) -> Form:
    """Returns the fields of a setting that `form`, one of its base classes, has."""
    return form(**{field.name: getattr(setting, field.name) for field in dataclasses.fields(form)})


def write(writer: file.ProgramWriter, form: Any, seed: int, base: base_lib.BaseModel) -> None:
    """Codes a dataclass of coded fields, in their order, and the seed."""
    for field in dataclasses.fields(form):
        field.metadata[_RULE].write(writer, getattr(form, field.name), base)
    integers.write_bits(writer, seed, SEED_BITS)


def read(reader: file.ProgramReader, form: type[Form], base: base_lib.BaseModel) -> tuple[Form, int]:
    """Reads what `write` wrote.

    Raises:
      UserError: a value is out of its bounds.
    """
    values = {field.name: field.metadata[_RULE].read(reader, field.name, base)
              for field in dataclasses.fields(form)}
    return form(**values), integers.read_bits(reader, SEED_BITS)
