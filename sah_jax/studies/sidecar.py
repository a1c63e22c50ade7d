"""The sidecar of a program file: what it was made with, for checking, never for decoding.

It lies beside `program.sah` as `program.json` and is not counted: in the same environment a
reader needs the base model and the file only. A file of texts has one too.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from sah_jax import coding, errors

PROGRAM_NAME = "program.sah"
PREDICTIONS_NAME = "predictions.jsonl"
"""The model's responses to the test items, see `sah_jax.tasks.predictions`."""

SAMPLES = "samples"
"""Of a sidecar: the first test items, with the responses that are the first of the predictions."""

TEXTS = "texts"
"""In place of a family's name, that of a file of texts."""

_FILE_SHAPE = {
    "family": str, "bits": int, "ideal_bits": float, "program_sha256": str, "ledger": list,
    "base": {"name": str, "source": str, "digest": str, "dtype": str},
    "profile": {"NPROC": str, "XLA_FLAGS": str},
}
_TEXTS_SHAPE = _FILE_SHAPE | {"tokens_digest": str, "adapted_digest": str}
_PROGRAM_SHAPE = _FILE_SHAPE | {
    "adapted_digest": str, "portable": bool, "unchanged": bool, "setting": dict, "seed": int,
    "scores": {
        "task": str, "task_digest": str, "data": dict, "num_test": int, "performance": float,
        "performance_stderr": float, "predictions_sha256": str,
        "selection_split": str, "num_selection": int, "selection_performance": float,
        "selection_stderr": float,
    },
}
_ACCOUNTS_SHAPE = {
    "wall_time_s": float, "train_flops": int, "decode_flops": int, "query_flops": int, "reference_bits": int}
_ENTRY_SHAPE = {"field": str, "bits": int, "ideal_bits": float}
_PART_SHAPE = {"name": str, "bits": int, "ideal_bits": float}
_TOKEN_SHAPE = {"token_id": int, "text": str}

# What `coding.ledger.VIEWS` and `programs.widths` say, for readers that must not start JAX.
VIEWS = ("field", "tensor", "layer", "example", "token")
WIDTHS = (0, 2, 4, 8, 16, 32)
MAX_VIEW_PARTS = 2000
"""Longer views stay out of sidecar and page: at some 100 bytes a part they would be larger than
most programs, and no one reads them. `sah inspect --model --by` makes any of them from the file."""


def path_for(program: pathlib.Path) -> pathlib.Path:
    """Returns where a program file's sidecar lies."""
    return program.with_suffix(".json")


def file_digest(data: bytes) -> str:
    """Returns the SHA-256 of a program file, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_program(path: pathlib.Path) -> bytes:
    """Reads a program file.

    Raises:
      UserError: it cannot be read, or is no file of a program's size.
    """
    try:
        if path.exists() and not (path.is_file() and path.stat().st_size <= coding.MAX_FILE_BYTES):
            raise errors.UserError(
                f"{path}: is not a file of at most {coding.MAX_FILE_BYTES} bytes; give a program file.")
        return path.read_bytes()
    except OSError as error:
        raise errors.UserError(
            f"{path}: cannot be read ({error.strerror}), expected a program file; "
            "correct the path.") from error


def read(program: pathlib.Path) -> dict[str, Any] | None:
    """Reads the sidecar of a program file, or returns None where there is none.

    Raises:
      UserError: it is damaged, or it belongs to other bytes than the program's.
    """
    path = path_for(program)
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _check_shape(record, _TEXTS_SHAPE if record["family"] == TEXTS else _PROGRAM_SHAPE)
        for entry in record["ledger"]:
            _check_shape(entry, _ENTRY_SHAPE)
        _check_views(record)
        _check_optional(record)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise errors.UserError(
            f"{path}: is not a sidecar ({error!r}); remove it or run the point again.") from error
    if (got := file_digest(read_program(program))) != record["program_sha256"]:
        raise errors.UserError(
            f"{program}: has the digest {got[:12]}, its sidecar expects {record['program_sha256'][:12]}: "
            "the file was truncated or altered; copy it again or run the point again.")
    return record


def check_predictions(program: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Checks that the predictions beside a program are those that were scored, and its samples the first.

    What the samples say of the items, a prompt and an answer, only who has the task can check.

    Args:
      program: the program file.
      record: its sidecar.

    Raises:
      UserError: the predictions are not there or others, or a sample shows another response.
    """
    path = program.with_name(PREDICTIONS_NAME)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise errors.UserError(
            f"{path}: cannot be read ({error.strerror}), expected the predictions of {program.name}; run the "
            "point again.") from error
    if file_digest(content) != record["scores"]["predictions_sha256"]:
        raise errors.UserError(
            f"{path}: is not what {program.name} predicted when it was scored; restore it or run the point "
            "again.")
    lines = content.decode(errors="replace").split("\n")
    try:
        # An older sidecar has none.
        for line, sample in zip(lines[:-1], samples := record.get(SAMPLES, []), strict=False):
            if json.loads(line)["response"] != sample["response"]:
                raise ValueError(f"its response is {sample['response']!r:.80}")
        if len(samples) >= len(lines):
            raise ValueError(f"there are {len(lines) - 1} predictions")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise errors.UserError(
            f"{path_for(program)}: has a sample that is not the prediction of its item ({error}), expected "
            f"the first lines of {path.name}; restore it or run the point again.") from error


def _check_views(record: Mapping[str, Any]) -> None:
    """Raises as `_check_shape` does unless the views are views; older sidecars have none."""
    views = record.get("views", {})
    if not isinstance(views, dict) or not views.keys() <= set(VIEWS):
        raise ValueError(f"views is {views!r:.80}")
    for parts in views.values():
        for part in parts:
            tokens = {key: kind for key, kind in _TOKEN_SHAPE.items() if key in part}
            _check_shape(part, _PART_SHAPE | tokens)


def _check_optional(record: Mapping[str, Any]) -> None:
    """Raises as `_check_shape` does unless parameters, widths and accounts are such; older ones have none."""
    num_params = record["base"].get("num_params", 1)
    if type(num_params) is not int or num_params < 1:
        raise ValueError(f"num_params is {num_params!r}")
    widths = record.get("widths", {})
    if not isinstance(widths, dict) or not all(isinstance(own, list) for own in widths.values()):
        raise ValueError(f"widths is {widths!r:.80}")
    if wrong := [one for own in widths.values() for one in own if type(one) is not int or one not in WIDTHS]:
        raise ValueError(f"a width is {wrong[0]!r}")
    if 0 in (layers := set(map(len, widths.values()))) or len(layers) > 1:
        raise ValueError(f"widths are of {sorted(layers)} layers")
    if "accounts" in record:
        _check_shape(record["accounts"], _ACCOUNTS_SHAPE)
        if more := sorted(record["accounts"].keys() - _ACCOUNTS_SHAPE):
            raise ValueError(f"accounts has {more[0]}")


def _check_shape(record: Any, shape: Mapping[str, Any]) -> None:
    """Raises KeyError, TypeError or ValueError unless a record has the keys and types of a shape."""
    for key, kind in shape.items():
        if isinstance(kind, dict):
            _check_shape(record[key], kind)
        elif not isinstance(record[key], kind):
            raise ValueError(f"{key} is {record[key]!r}")


def write_folder(
    folder: pathlib.Path, data: bytes, record: Mapping[str, Any], predictions: str = ""
) -> None:
    """Writes a program file, its sidecar and its predictions as a new folder, whole or not at all.

    Raises:
      UserError: it cannot be written, for instance on a full disk; nothing is left behind.
    """
    part = folder.with_name(f".{folder.name}.{os.getpid()}")
    for left in folder.parent.glob(f".{folder.name}.*"):
        remove(left)  # of a process that was killed
    try:
        part.mkdir(parents=True, exist_ok=True)
        write_synced(part / PROGRAM_NAME, data)
        text = json.dumps(record, indent=1, allow_nan=False)
        write_synced(path_for(part / PROGRAM_NAME), text.encode())
        write_synced(part / PREDICTIONS_NAME, predictions.encode())
        remove(folder)
        os.replace(part, folder)
    except OSError as error:
        remove(part)
        raise errors.UserError(
            f"{folder}: cannot be written ({error.strerror}); "
            "make room or choose another workdir.") from error


def write_synced(path: pathlib.Path, data: bytes) -> None:
    """Writes a file through to the disk."""
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def remove(folder: pathlib.Path) -> None:
    """Removes the folder of a point, as `write_folder` makes them."""
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
