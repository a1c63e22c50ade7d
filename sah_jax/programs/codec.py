"""A whole program: θ to the bytes of a file and those bytes to an adapted model.

A file is a header of one byte and sections: each is a family's, and says after it whether another
one follows. Every section is coded under the frozen base; what they add, they add together.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from sah_jax import errors
from sah_jax.coding import arithmetic, file, integers
from sah_jax.coding import ledger as ledger_lib
from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import registry

PLAIN, CHECKED = 2, 4
"""Format versions: the latter ends in a check of what the file decodes to. Version 1 held one section, and
the check of 3 did not cover the base."""

TEXTS_CODE = 31
"""In place of a family's code, that of a file of texts: see `sah_jax.programs.texts`."""

CHECK_BITS = 32

# Versions and family codes that a header can hold; one byte in all.
_VERSIONS = range(1, 9)
_CODES = range(32)

# Whether a section follows, after each: most files hold one, so that no costs a tenth of a bit.
_MORE_TABLE = np.array([0, arithmetic.TOTAL - arithmetic.TOTAL // 16, arithmetic.TOTAL], np.int64)
_MOST_SECTIONS = 8


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
      family: its family's name; of several sections, their names with + between them.
      adapted: the model it turns the base into.
    """

    family: str
    adapted: family_lib.Adapted


Section = tuple[family_lib.Family, Any]
"""A family and its θ."""


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
    sections = family.sections(theta) if hasattr(family, "sections") else [(family, theta)]
    return write_sections(sections, base, report, check=check)


def write_sections(
    sections: Sequence[Section], base: base_lib.BaseModel, report: family_lib.Report = silent, *,
    check: bool = False,
) -> Program:
    """Turns several families' θ into one program file; see `write`."""
    if not 0 < len(sections) <= _MOST_SECTIONS:
        raise ValueError(f"{len(sections)} sections, expected 1 to {_MOST_SECTIONS}")
    writer, parts = file.ProgramWriter(), []
    for number, (family, theta) in enumerate(sections):
        code = registry.names().index(family.name)
        if number:
            _write_code(writer, code)
        else:
            write_header(writer, code, CHECKED if check else PLAIN)
        parts.append(family.write(theta, writer, base, report))
        with writer.field("sections"):
            writer.put_table(_MORE_TABLE, [number + 1 < len(sections)])
    adapted = functools.reduce(family_lib.Adapted.then, parts)
    if check:
        write_check(writer, _seal(adapted, base))
    return Program(writer.close(), writer.ledger, "+".join(one.name for one, _ in sections), adapted)


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
    families, parts = [], []
    while True:
        families.append(_family(reader, code))
        parts.append(families[-1].read(reader, base, report))
        with reader.field("sections"):
            if not reader.take_table(_MORE_TABLE, 1)[0]:
                break
        if len(parts) == _MOST_SECTIONS:
            raise reader.invalid(f"it claims more than {_MOST_SECTIONS} sections")
        code = _read_code(reader)
    adapted = functools.reduce(family_lib.Adapted.then, parts)
    if version == CHECKED:
        read_check(reader, _seal(adapted, base))
    reader.finish()
    return Program(data, reader.ledger, "+".join(family.name for family in families), adapted)


def _family(reader: file.ProgramReader, code: int) -> family_lib.Family:
    known = len(registry.names())
    if code >= known:
        raise reader.invalid(f"its family code is {code}, this reader knows 0 to {known - 1}")
    return registry.get_family(registry.names()[code])


def holds_texts(data: bytes) -> bool:
    """Whether a file says that it holds texts (see `programs.texts`) and not a program."""
    return read_header(file.ProgramReader(data))[0] == TEXTS_CODE


def write_header(writer: file.ProgramWriter, code: int, version: int) -> None:
    """Codes the one byte that every file begins with."""
    with writer.field("version"):
        integers.write_choice(writer, _VERSIONS, version)
    _write_code(writer, code)


def read_header(reader: file.ProgramReader) -> tuple[int, int]:
    """Returns the family's code and the version.

    Raises:
      UserError: the version is none that this reader knows.
    """
    with reader.field("version"):
        version = integers.read_choice(reader, _VERSIONS)
    if version not in (PLAIN, CHECKED):
        raise reader.invalid(f"its format version is {version}, this reader knows {PLAIN} and {CHECKED}")
    return _read_code(reader), version


def _write_code(writer: file.ProgramWriter, code: int) -> None:
    with writer.field("family"):
        integers.write_choice(writer, _CODES, code)


def _read_code(reader: file.ProgramReader) -> int:
    with reader.field("family"):
        return integers.read_choice(reader, _CODES)


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


def _seal(adapted: family_lib.Adapted, base: base_lib.BaseModel) -> str:
    """Returns the SHA-256, in hexadecimal, of the adapted model: what is added to the base, and the base."""
    return hashlib.sha256(f"{base.digest} {adapted.digest()}".encode()).hexdigest()


def _check(digest: str) -> int:
    return int(digest, 16) >> (256 - CHECK_BITS)
