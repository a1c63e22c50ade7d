"""A whole program: θ to the bytes of a file and those bytes to an adapted model."""

import dataclasses
from typing import Any

from sah_jax.coding import file, integers, ledger
from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import registry

FORMAT_VERSION = 1

# Versions and family codes that a header can hold; one byte in all.
_VERSIONS = range(1, 17)
_FAMILY_CODES = range(16)


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that was written or read.

    Attributes:
      family: its family's name.
      data: the file.
      adapted: the model it turns the base into.
      ledger: where each bit of the file went.
      ideal_bits: the length without rounding of probabilities and of the end.
      books: the ledger for other views than by field.
    """

    family: str
    data: bytes
    adapted: family_lib.Adapted
    ledger: tuple[ledger.Entry, ...]
    ideal_bits: float
    books: ledger.Ledger

    @property
    def bits(self) -> int:
        """The program's length."""
        return 8 * len(self.data)

    def view(self, by: str) -> list[ledger.Part]:
        """Returns the parts of the file by one of `ledger.VIEWS`; their bits sum to its length."""
        return self.books.view(by, len(self.data))


def silent(line: str) -> None:
    """A `Report` that says nothing."""


def write(
    family: family_lib.Family, theta: Any, base: base_lib.BaseModel, report: family_lib.Report = silent
) -> Program:
    """Turns θ into a program file."""
    writer = file.ProgramWriter()
    with writer.field("version"):
        integers.write_choice(writer, _VERSIONS, FORMAT_VERSION)
    with writer.field("family"):
        integers.write_choice(writer, _FAMILY_CODES, registry.names().index(family.name))
    adapted = family.write(theta, writer, base, report)
    data = writer.close()
    return Program(family.name, data, adapted, tuple(writer.ledger.entries(len(data))),
                   writer.ledger.ideal_bits, writer.ledger)


def read(
    data: bytes, base: base_lib.BaseModel, name: str = "program", report: family_lib.Report = silent
) -> Program:
    """Turns the bytes of a program file into the adapted model.

    Raises:
      UserError: the bytes are not a whole program for this base model.
    """
    reader = file.ProgramReader(data, name)
    with reader.field("version"):
        version = integers.read_choice(reader, _VERSIONS)
        if version != FORMAT_VERSION:
            raise reader.invalid(f"its format version is {version}, this reader knows {FORMAT_VERSION}")
    with reader.field("family"):
        code = integers.read_choice(reader, _FAMILY_CODES)
        known = len(registry.names())
        if code >= known:
            raise reader.invalid(f"its family code is {code}, this reader knows 0 to {known - 1}")
    family = registry.get_family(registry.names()[code])
    adapted = family.read(reader, base, report)
    reader.finish()
    return Program(family.name, data, adapted, tuple(reader.ledger.entries(len(data))),
                   reader.ledger.ideal_bits, reader.ledger)
