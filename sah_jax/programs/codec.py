"""A whole program: θ to the bytes of a file and those bytes to an adapted model."""

import dataclasses
import functools
from typing import Any

from sah_jax import errors
from sah_jax.coding import file, integers
from sah_jax.coding import ledger as ledger_lib
from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import registry

PLAIN, CHECKED = 1, 2
"""Format versions: the latter ends in a check of what the file decodes to."""

TEXTS_CODE = 15
"""In place of a family's code, that of a file of texts: see `sah_jax.programs.texts`."""

CHECK_BITS = 32

# Versions and family codes that a header can hold; one byte in all.
_VERSIONS = range(1, 17)
_CODES = range(16)


@dataclasses.dataclass(frozen=True)
class CodedFile:
    """A file that was written or read.

    Attributes:
      data: its bytes.
      books: where each bit went.
    """

    data: bytes
    books: ledger_lib.Ledger

    @property
    def bits(self) -> int:
        """The file's length."""
        return 8 * len(self.data)

    @functools.cached_property
    def ledger(self) -> tuple[ledger_lib.Entry, ...]:
        """Where each bit of the file went, by field."""
        return tuple(self.books.entries(len(self.data)))

    @functools.cached_property
    def ideal_bits(self) -> float:
        """The length without rounding of probabilities and of the end."""
        return self.books.ideal_bits

    def view(self, by: str) -> list[ledger_lib.Part]:
        """Returns the parts of the file by one of `ledger.VIEWS`; their bits sum to its length."""
        return self.books.view(by, len(self.data))


@dataclasses.dataclass(frozen=True)
class Program(CodedFile):
    """A program that was written or read.

    Attributes:
      family: its family's name.
      adapted: the model it turns the base into.
    """

    family: str
    adapted: family_lib.Adapted


def silent(line: str) -> None:
    """A `Report` that says nothing."""


def write(
    family: family_lib.Family, theta: Any, base: base_lib.BaseModel, report: family_lib.Report = silent,
    *, check: bool = False,
) -> Program:
    """Turns θ into a program file.

    With `check`, 32 more bits let a reader that has no sidecar tell a file that was altered, or
    that it decodes under another base model or numerics profile.
    """
    writer = file.ProgramWriter()
    write_header(writer, registry.names().index(family.name), CHECKED if check else PLAIN)
    adapted = family.write(theta, writer, base, report)
    if check:
        write_check(writer, adapted.digest())
    return Program(writer.close(), writer.ledger, family.name, adapted)


def read(
    data: bytes, base: base_lib.BaseModel, name: str = "program", report: family_lib.Report = silent
) -> Program:
    """Turns the bytes of a program file into the adapted model.

    Raises:
      UserError: the bytes are not a whole program for this base model.
    """
    reader = file.ProgramReader(data, name)
    code, version = read_header(reader)
    if code == TEXTS_CODE:
        raise errors.UserError(f"{name}: holds texts, expected a program; sah decode prints texts.")
    known = len(registry.names())
    if code >= known:
        raise reader.invalid(f"its family code is {code}, this reader knows 0 to {known - 1}")
    family = registry.get_family(registry.names()[code])
    adapted = family.read(reader, base, report)
    if version == CHECKED:
        read_check(reader, adapted.digest())
    reader.finish()
    return Program(data, reader.ledger, family.name, adapted)


def holds_texts(data: bytes) -> bool:
    """Whether a file says that it holds texts (see `programs.texts`) and not a program."""
    return read_header(file.ProgramReader(data))[0] == TEXTS_CODE


def write_header(writer: file.ProgramWriter, code: int, version: int) -> None:
    """Codes the one byte that every file begins with."""
    with writer.field("version"):
        integers.write_choice(writer, _VERSIONS, version)
    with writer.field("family"):
        integers.write_choice(writer, _CODES, code)


def read_header(reader: file.ProgramReader) -> tuple[int, int]:
    """Returns the family's code and the version.

    Raises:
      UserError: the version is none that this reader knows.
    """
    with reader.field("version"):
        version = integers.read_choice(reader, _VERSIONS)
    if version not in (PLAIN, CHECKED):
        raise reader.invalid(f"its format version is {version}, this reader knows {PLAIN} and {CHECKED}")
    with reader.field("family"):
        return integers.read_choice(reader, _CODES), version


def write_check(writer: file.ProgramWriter, digest: str) -> None:
    """Codes the first bits of a SHA-256 of what was written."""
    with writer.field("check"):
        integers.write_bits(writer, _check(digest), CHECK_BITS)


def read_check(reader: file.ProgramReader, digest: str) -> None:
    """Compares the SHA-256 of what was read.

    Raises:
      UserError: it is not what was written.
    """
    with reader.field("check"):
        if integers.read_bits(reader, CHECK_BITS) != _check(digest):
            raise reader.invalid("it decodes to something else than was written")


def _check(digest: str) -> int:
    return int(digest, 16) >> (256 - CHECK_BITS)
