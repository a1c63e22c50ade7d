"""The rows of a file, each with the place it stands at, whatever the file's format.

The suffix says the format, and .gz may follow it: .jsonl, .json (one array), .csv with a header, .tsv
without one, .parquet; anything else is text, a row a line. Texts are UTF-8, and only a line feed
ends a line: characters such as U+2028 stand inside sentences.
"""

import csv
import dataclasses
import gzip
import json
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any

from sah_jax import errors


@dataclasses.dataclass(frozen=True)
class Record:
    """A row as it is stored.

    Attributes:
      where: FILE:LINE, or FILE, row NUMBER, both from 1, for error messages.
      values: a dictionary, a list of columns (.tsv), or a line (text).
    """

    where: str
    values: Any


def read(path: pathlib.Path, suffix: str = "") -> Iterator[Record]:
    """Yields the rows of a file.

    Args:
      path: of the file.
      suffix: that says the format; default: the file's own.

    Raises:
      UserError: the file cannot be read, or a row is malformed; naming file and line.
    """
    suffix = suffix or next((one for one in reversed(path.suffixes) if one != ".gz"), "")
    try:
        yield from _READERS.get(suffix, _text)(path)
    except (OSError, EOFError, zlib.error) as error:
        raise errors.UserError(
            f"{path}: cannot be read to its end ({error}), expected a whole file; copy it again.") from error


def _lines(path: pathlib.Path) -> Iterator[tuple[str, str]]:
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}:{number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise errors.UserError(
                    f"{where}: got a byte 0x{line[error.start]:02x} that is not UTF-8 at byte "
                    f"{error.start + 1} of the line, expected UTF-8; convert the file.") from error
            yield where, text.removesuffix("\n").removesuffix("\r")


def _text(path: pathlib.Path) -> Iterator[Record]:
    for where, line in _lines(path):
        yield Record(where, line)


def _tsv(path: pathlib.Path) -> Iterator[Record]:
    for where, line in _lines(path):
        yield Record(where, line.split("\t"))


def _jsonl(path: pathlib.Path) -> Iterator[Record]:
    for where, line in _lines(path):
        if line.strip():
            yield Record(where, _object(where, _parsed(where, line)))


def _json(path: pathlib.Path) -> Iterator[Record]:
    rows = _parsed(str(path), "\n".join(line for _, line in _lines(path)))
    if not isinstance(rows, list):
        raise errors.UserError(
            f"{path}: got a JSON {type(rows).__name__}, expected an array of objects; for one object a line, "
            "call the file .jsonl.")
    for number, row in enumerate(rows, 1):
        where = f"{path}, row {number}"
        yield Record(where, _object(where, row))


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise errors.UserError(f"{where}: is not JSON ({error}); correct it.") from error


def _object(where: str, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise errors.UserError(
            f"{where}: got a JSON {type(row).__name__}, expected an object; correct the row.")
    return row


def _csv(path: pathlib.Path) -> Iterator[Record]:
    # Ends of lines are put back for the fields in quotes that hold some.
    reader = csv.DictReader((line + "\n" for _, line in _lines(path)), strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise errors.UserError(
                f"{path}:{reader.reader.line_num}: is not CSV ({error}); correct the row.") from error
        if row is None:
            return
        where = f"{path}:{reader.line_num}"
        if None in row or None in row.values():
            got = len(row) - (None in row) - list(row.values()).count(None) + len(row.get(None, ()))
            raise errors.UserError(
                f"{where}: got {got} columns, expected the header's {len(reader.fieldnames)}; correct the "
                "row.")
        yield Record(where, row)


def _parquet(path: pathlib.Path) -> Iterator[Record]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield Record(f"{path}, row {number}", row)
    except pyarrow.ArrowException as error:
        raise errors.UserError(
            f"{path}: is not a Parquet file that can be read ({error}); copy it again.") from error


_READERS = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".tsv": _tsv, ".parquet": _parquet}
