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
from sah_jax.coding import file, integers, ledger, tokens
from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""How many rows may be coded at a time. It is in the file: other sizes round otherwise."""

# A row costs at least so much, or a small file could keep a reader busy for hours.
_LEAST_ROW_BITS = 1


@dataclasses.dataclass(frozen=True)
class Texts:
    """Texts that were written or read.

    Attributes:
      data: the file.
      texts: the tokens of each, without start and end tokens.
      books: the ledger.
    """

    data: bytes
    texts: tuple[tuple[int, ...], ...]
    books: ledger.Ledger


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
    """Codes texts (tokens) into a file.

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
    with writer.field("batches"):
        integers.write_choice(writer, BATCH_SIZES, batch_size)
        family_lib.write_capacity(writer, limit)
        integers.write_count(writer, len(rows))
    batch = _rows(base, adapted, batch_size, limit)
    with writer.field("texts"):
        for first in range(0, len(rows), batch_size):
            some = rows[first : first + batch_size]
            tokens.write_rows(writer, batch, some, [limit] * len(some), first)
            report(f"{first + len(some)}/{len(rows)} rows coded")
    if writer.ledger.ideal_bits < _LEAST_ROW_BITS * len(rows):
        raise errors.UserError(
            f"the {len(rows)} rows of text cost {writer.ledger.ideal_bits:.0f} bits, expected at least "
            f"{_LEAST_ROW_BITS} each; code other texts.")
    codec.write_check(writer, digest(texts))
    return Texts(writer.close(), tuple(map(tuple, texts)), writer.ledger)


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
        count = integers.read_count(reader, "rows of text", 8 * reader.size // _LEAST_ROW_BITS)
    batch, rows = _rows(base, adapted, batch_size, limit), []
    with reader.field("texts"):
        for first in range(0, count, batch_size):
            size = min(batch_size, count - first)
            rows += tokens.read_rows(reader, batch, [limit] * size, first)
            report(f"{len(rows)}/{count} rows decoded")
    texts, begun = [], []
    for row in rows:
        begun += row
        if len(row) < limit:
            texts.append(tuple(begun))
            begun = []
    codec.read_check(reader, digest(texts))
    reader.finish()
    return Texts(data, tuple(texts), reader.ledger)


def digest(texts: Sequence[Sequence[int]]) -> str:
    """Returns the SHA-256 of the tokens of texts, in hexadecimal."""
    return hashlib.sha256(json.dumps([list(map(int, text)) for text in texts]).encode()).hexdigest()


def _rows(base: base_lib.BaseModel, adapted: family_lib.Adapted, batch_size: int, limit: int) -> tokens.Rows:
    return family_lib.language_rows(
        base, adapted.program, batch_size, limit, base.spec.end_tokens[0], tuple(adapted.context))
