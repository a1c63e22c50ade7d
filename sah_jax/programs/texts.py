"""A file of texts: what `sah codelength --emit` writes, coded under a base model or a program.

It is no program (it adapts nothing), but the same stream behind the same header. Texts that
are longer than a row go on in the next one: a row ends with the end token, or is full. So
where each text ends follows from the rows, and only their number is coded. A check of the
tokens is always there, because no sidecar comes with the file.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence

from sah_jax import errors
from sah_jax.coding import file, integers, tokens
from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""How many rows may be coded at a time. It is in the file: other sizes round otherwise."""

# A row costs at least so much, or a small file could keep a reader busy for hours.
_LEAST_ROW_BITS = 1


@dataclasses.dataclass(frozen=True)
class Texts(codec.CodedFile):
    """Texts that were written or read.

    Attributes:
      texts: the tokens of each, without start and end tokens.
    """

    texts: tuple[tuple[int, ...], ...]


def row_limit(
    base: base_lib.BaseModel, adapted: family_lib.Adapted, texts: Sequence[Sequence[int]]
) -> int:
    """Returns how many tokens a row of these texts holds at most, its end included.

    Raises:
      UserError: the program's context leaves no room.
    """
    longest = max(map(len, texts), default=0) + 1
    return min(_room(base, adapted), family_lib.capacity(longest))


def _room(base: base_lib.BaseModel, adapted: family_lib.Adapted) -> int:
    room = base.spec.max_positions - len(adapted.context)
    if room < 2:
        raise errors.UserError(
            f"the program's context has {len(adapted.context)} tokens of the model's "
            f"{base.spec.max_positions} positions, expected room for a text; use a shorter program.")
    return room


def split(text: Sequence[int], limit: int) -> list[list[int]]:
    """Returns the rows of a text: full ones, and one that leaves room for the end token."""
    return [list(text[first : first + limit]) for first in range(0, len(text) + 1, limit)]


def write(
    texts: Sequence[Sequence[int]], base: base_lib.BaseModel, adapted: family_lib.Adapted, batch_size: int,
    report: family_lib.Report = codec.silent,
) -> Texts:
    """Codes texts (tokens) into a file, at most `batch_size` rows at a time.

    Raises:
      UserError: the batch size is not one of `BATCH_SIZES`, there is no text, or the texts are
        too predictable to be held against the size of their file.
    """
    if batch_size not in BATCH_SIZES or not texts:
        raise errors.UserError(
            f"got {len(texts)} texts in batches of {batch_size}, expected at least one in batches of "
            f"{', '.join(map(str, BATCH_SIZES))}.")
    limit = row_limit(base, adapted, texts)
    writer = file.ProgramWriter()
    codec.write_header(writer, codec.TEXTS_CODE, codec.CHECKED)
    rows = [row for text in texts for row in split(text, limit)]
    batch_size = next(size for size in BATCH_SIZES if size >= min(batch_size, len(rows)))
    with writer.field("batches"):
        integers.write_choice(writer, BATCH_SIZES, batch_size)
        family_lib.write_capacity(writer, limit)
        integers.write_count(writer, len(rows))
    batch, number = _rows(base, adapted, batch_size, limit), _Numbering(limit)
    with writer.field("texts"):
        for first in range(0, len(rows), batch_size):
            some = rows[first : first + batch_size]
            tokens.write_rows(writer, batch, some, [limit] * len(some), number)
            report(f"{first + len(some)}/{len(rows)} rows coded")
    codec.write_check(writer, digest(texts))
    data = writer.close()
    if len(rows) > _most_rows(len(data)):
        raise errors.UserError(
            f"the {len(rows)} rows of text take a file of {8 * len(data)} bits, expected at least "
            f"{_LEAST_ROW_BITS} each; leave some out, or price them without a file (--fast).")
    return Texts(data, writer.ledger, tuple(map(tuple, texts)))


def read(
    data: bytes, base: base_lib.BaseModel, adapted: family_lib.Adapted, name: str = "file",
    report: family_lib.Report = codec.silent,
) -> Texts:
    """Decodes what `write` wrote under the same base model and program.

    Raises:
      UserError: the bytes are no whole file of texts, or are one under another model.
    """
    limit = _room(base, adapted)
    reader = file.ProgramReader(data, name)
    code, version = codec.read_header(reader)
    if code != codec.TEXTS_CODE or version != codec.CHECKED:
        raise errors.UserError(
            f"{name}: holds no texts, expected a file that sah codelength --emit wrote; sah inspect shows "
            "programs.")
    with reader.field("batches"):
        batch_size = integers.read_choice(reader, BATCH_SIZES)
        limit = min(limit, family_lib.read_capacity(reader, base))
        count = integers.read_count(reader, "rows of text", _most_rows(reader.size))
    batch, number, rows = _rows(base, adapted, batch_size, limit), _Numbering(limit), []
    with reader.field("texts"):
        for first in range(0, count, batch_size):
            size = min(batch_size, count - first)
            rows += tokens.read_rows(reader, batch, [limit] * size, number)
            report(f"{len(rows)}/{count} rows decoded")
    texts, begun = [], []
    for row in rows:
        begun += row
        if len(row) < limit:
            texts.append(tuple(begun))
            begun = []
    codec.read_check(reader, digest(texts))
    reader.finish()
    return Texts(data, reader.ledger, tuple(texts))


class _Numbering:
    """For the ledger, which text each row belongs to and where in it the row begins."""

    def __init__(self, limit: int):
        self._limit, self._text, self._offset = limit, 0, 0

    def __call__(self, rows: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
        found = []
        for row in rows:
            found.append((self._text, self._offset))
            self._offset += len(row)
            if len(row) < self._limit:
                self._text, self._offset = self._text + 1, 0
        return found


def _most_rows(num_bytes: int) -> int:
    """Returns how many rows a file of this size can hold."""
    return 8 * num_bytes // _LEAST_ROW_BITS


def digest(texts: Sequence[Sequence[int]]) -> str:
    """Returns the SHA-256 of the tokens of texts, in hexadecimal."""
    return hashlib.sha256(json.dumps([list(map(int, text)) for text in texts]).encode()).hexdigest()


def _rows(base: base_lib.BaseModel, adapted: family_lib.Adapted, batch_size: int, limit: int) -> tokens.Rows:
    return tokens.read_context(family_lib.language_rows(
        base, adapted, batch_size, limit, base.spec.end_tokens[0]))
