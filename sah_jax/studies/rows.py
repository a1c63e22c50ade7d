"""The rows of a study: one JSON line a point, a superset of the reference's schema.

Invariant: a `Row` that exists has every field, each of its type and within its range, so
nothing after this file has to ask again.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sah_jax import errors

RESULTS_NAME = "results.jsonl"
"""The file of a study's rows."""

# Test: the rule the reference used. Selection: a held-out split of the training source.
SELECTION_SPLITS = ("selection", "test")


@dataclasses.dataclass(frozen=True)
class Row:
    """One point: a program file, how long it is, and how well the model does with it.

    Attributes:
      experiment_name: the family of the program, such as "icl" or "lora".
      dataset_name: the task.
      model_name: the base model the program is for.
      performance: the score on the test split.
      bits: the length of the program, 8 times the size of its file.
      seed: the seed of the run.
      strategy_hparams: the setting that was run.
      point: names the point; no two rows of a study share it.
      program: the program file, relative to the study's folder.
      program_sha256: the digest of that file.
      ideal_bits: -log2 of the probabilities before they became integers; the floor that integers
        put under improbable tokens can make a file a little shorter.
      script_bits: the length of the script that runs programs of this family.
      verified: whether a fresh process rebuilt the adapted model from the file alone and
        scored it again to the same score.
      performance_stderr: the standard error of `performance`.
      num_scored: how many test items `performance` is a mean of.
      selection_split: the split that hyper-parameters and frontier points are chosen on.
      selection_performance: the score on that split.
      selection_stderr: its standard error.
      selection_num_scored: how many items it is a mean of.
      numerics_digest: names the numerics profile the file was written under.
      adapted_digest: names the weights and prompts that the decoded file gives.
      base_digest: names the base model's weights.
      task_digest: names the task with the data that it was scored on, see `tasks.base.digest`.
      wall_time_s: how long the point took, in seconds; of points fitted together, its share.
      train_flops: floating-point operations of the fit, see `models.flops.count`.
      decode_flops: those of turning the file into the adapted model.
      query_flops: those of a test item of mean length: the model over context, prompt and answer.
      reference_bits: the program's length by the paper's own count where that counts parameters, else 0.
      portable: whether the file decodes on any machine; else it needs the numerics profile.
      unchanged: whether all its numbers are zero, so that it is the base model.
    """

    experiment_name: str
    dataset_name: str
    model_name: str
    performance: float
    bits: int
    seed: int
    strategy_hparams: dict[str, Any]
    point: str
    program: str
    program_sha256: str
    ideal_bits: float
    script_bits: int
    verified: bool
    performance_stderr: float
    num_scored: int
    selection_split: str
    selection_performance: float
    selection_stderr: float
    selection_num_scored: int
    numerics_digest: str
    adapted_digest: str
    base_digest: str
    task_digest: str
    wall_time_s: float
    train_flops: int
    decode_flops: int
    query_flops: int
    reference_bits: int
    portable: bool
    unchanged: bool

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            expected, accepts = _KINDS[field.name]
            if not accepts(value):
                raise errors.UserError(
                    f"The key {field.name!r} of a row is {value!r}, expected {expected}; "
                    "correct the value or run the point again.")

    @property
    def counts(self) -> bool:
        """Whether a frontier may hold it."""
        return self.verified

    @property
    def reported(self) -> bool:
        """Whether another system says so, without a program file."""
        return False

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Row":
        """Builds a row from a decoded JSON object.

        Raises:
          UserError: if a key is missing, unknown, or holds what it should not.
        """
        if not isinstance(record, Mapping):
            raise errors.UserError(
                f"A row is a {type(record).__name__}, expected a JSON object; "
                "remove the line or run the point again.")
        names = [field.name for field in dataclasses.fields(cls)]
        if missing := [name for name in names if name not in record]:
            raise errors.UserError(
                f"A row lacks the key {missing[0]!r}, expected every key of the schema; "
                "add the key or run the point again.")
        if unknown := sorted(record.keys() - set(names)):
            raise errors.UserError(
                f"A row has the key {unknown[0]!r}, expected only keys of the schema; "
                "remove the key or read the file with the version that wrote it.")
        return cls(**{
            field.name: _as_float(record[field.name]) if field.type is float
            else record[field.name] for field in dataclasses.fields(cls)})

    def to_json(self) -> dict[str, Any]:
        """Returns the row as an object that `from_json` reads back unchanged."""
        return dataclasses.asdict(self)


def read_rows(path: str | os.PathLike[str]) -> list[Row]:
    """Reads the rows of a JSON lines file, in the file's order.

    Raises:
      UserError: if the file cannot be read, a line is not a row, or two rows name the same
        point; the sentence names the file, the line and the key.
    """
    path = pathlib.Path(path)
    try:
        # Not splitlines: that also splits at characters which JSON allows inside a string.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UserError(
            f"{path}: got {_reason(error)}, expected a readable file of rows; "
            "run the study first or correct the path.") from error
    rows, line_of_point = [], {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = Row.from_json(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise errors.UserError(
                f"{path}, line {number}: got text that is not JSON ({error}), expected one JSON "
                "object; remove the line and resume the study.") from error
        except errors.UserError as error:
            raise errors.UserError(f"{path}, line {number}: {error}") from error
        if row.point in line_of_point:
            raise errors.UserError(
                f"{path}, line {number}: got the point {row.point!r} of line "
                f"{line_of_point[row.point]} again, expected one row a point; remove one of them.")
        line_of_point[row.point] = number
        rows.append(row)
    return rows


def write_rows(path: str | os.PathLike[str], rows: Sequence[Row]) -> None:
    """Replaces the file by the given rows; a reader sees the old file or the new, never a part.

    Raises:
      UserError: if the rows cannot be written; the file that stood there is unharmed.
    """
    # Before any file exists: a setting that is not JSON must not leave a temporary behind.
    replace_text(path, "".join(f"{_encode(row)}\n" for row in rows))


def replace_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces a file; a reader sees the old one or the new, never a part.

    Raises:
      UserError: if it cannot be written; the file that stood there is unharmed.
    """
    path = pathlib.Path(path)
    # The same folder, because a rename is atomic only within one file system; not tempfile,
    # whose files only their owner can read.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise errors.UserError(
            f"{path}: got {_reason(error)} while writing {len(text)} characters, expected a writable "
            "folder with free space; make room or choose another folder.") from error
    finally:
        # Ctrl-C comes here as well; after a successful rename there is nothing to remove. Where it cannot be
        # looked for, it could not be written.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _encode(row: Row) -> str:
    try:
        return json.dumps(row.to_json(), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise errors.UserError(
            f"The settings of point {row.point!r} cannot be written as JSON ({error}), expected "
            "numbers, strings, lists and objects; change the key 'strategy_hparams'.") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _as_float(value: Any) -> Any:
    # JSON does not tell 1 from 1.0, so a whole number that a float holds exactly will do.
    return float(value) if _is_int(value) and abs(value) < 2**53 else value


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_int(value) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _is_size(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_hex(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]+", value) is not None


def _is_inner_path(value: Any) -> bool:
    # A row must not make a report read, or publish the digest of, a file outside the study.
    if not _is_name(value):
        return False
    pure = pathlib.PurePosixPath(value)
    return not pure.is_absolute() and ".." not in pure.parts


_NAME = ("a string that is not empty", _is_name)
_COUNT = ("an integer of at least 0", _is_count)
_NUMBER = ("a finite number", _is_number)
_SIZE = ("a finite number of at least 0", _is_size)
_TRUTH = ("true or false", lambda value: isinstance(value, bool))
_HEX = ("lower-case hexadecimal digits", _is_hex)

_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "experiment_name": _NAME,
    "dataset_name": _NAME,
    "model_name": _NAME,
    "performance": _NUMBER,
    "bits": _COUNT,
    "seed": ("an integer", _is_int),
    "strategy_hparams": ("an object", lambda value: isinstance(value, dict)),
    "point": _NAME,
    "program": ("a path within the study's folder", _is_inner_path),
    "program_sha256": (
        "64 lower-case hexadecimal digits", lambda value: _is_hex(value) and len(value) == 64),
    "ideal_bits": _SIZE,
    "script_bits": _COUNT,
    "verified": _TRUTH,
    "performance_stderr": _SIZE,
    "num_scored": _COUNT,
    "selection_split": (
        " or ".join(map(repr, SELECTION_SPLITS)), lambda value: value in SELECTION_SPLITS),
    "selection_performance": _NUMBER,
    "selection_stderr": _SIZE,
    "selection_num_scored": _COUNT,
    "numerics_digest": _HEX,
    "adapted_digest": _HEX,
    "base_digest": _HEX,
    "task_digest": _HEX,
    "wall_time_s": _SIZE,
    "train_flops": _COUNT,
    "decode_flops": _COUNT,
    "query_flops": _COUNT,
    "reference_bits": _COUNT,
    "portable": _TRUTH,
    "unchanged": _TRUTH,
}
