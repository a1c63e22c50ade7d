"""A row that exists is whole, and results.jsonl is replaced whole or not at all."""

import dataclasses
import errno
import json
import os
import stat

import pytest

from sah_jax import errors
from sah_jax.studies import rows as rows_lib

RECORD = {
    "experiment_name": "icl", "dataset_name": "arithmetic", "model_name": "nano",
    "performance": 0.25, "bits": 808, "seed": 1, "strategy_hparams": {"examples": 2, "lr": 1e-4},
    "point": "icl-2", "program": "points/icl-2/program.sah", "program_sha256": "0f" * 32,
    "ideal_bits": 801.7, "script_bits": 3704, "verified": True, "performance_stderr": 0.02,
    "num_scored": 400, "selection_split": "selection", "selection_performance": 0.26,
    "selection_stderr": 0.03, "selection_num_scored": 200, "numerics_digest": "ab",
    "adapted_digest": "cd", "base_digest": "ef", "task_digest": "12", "wall_time_s": 12.5,
    "train_flops": 10, "decode_flops": 0, "query_flops": 7, "reference_bits": 0, "portable": True,
    "unchanged": False,
}


def _row(**changes) -> rows_lib.Row:
    return rows_lib.Row.from_json(RECORD | changes)


def test_json_round_trip_is_exact():
    row = _row(performance=0.1 + 0.2, performance_stderr=1e-300)
    assert rows_lib.Row.from_json(json.loads(json.dumps(row.to_json()))) == row
    assert row.to_json().keys() == RECORD.keys()


def test_a_whole_number_is_a_float():
    assert _row(performance=1) == _row(performance=1.0)
    assert isinstance(_row(performance=1).performance, float)


@pytest.mark.parametrize("key", RECORD)
def test_a_missing_key_is_named(key):
    record = {name: value for name, value in RECORD.items() if name != key}
    with pytest.raises(errors.UserError, match=f"lacks the key '{key}'"):
        rows_lib.Row.from_json(record)


@pytest.mark.parametrize("key", RECORD)
def test_a_mistyped_key_is_named(key):
    with pytest.raises(errors.UserError, match=f"'{key}'.*expected"):
        _row(**{key: None})


def test_an_unknown_key_is_named():
    with pytest.raises(errors.UserError, match="'perfomance'"):
        _row(perfomance=0.5)


@pytest.mark.parametrize(("key", "value"), [
    ("bits", True), ("bits", 8.0), ("bits", -8), ("verified", 1), ("seed", False),
    ("performance", float("nan")), ("performance_stderr", -0.1), ("wall_time_s", float("inf")),
    ("ideal_bits", 10**400), ("selection_split", "train"), ("program_sha256", "0f" * 31),
    ("adapted_digest", ""), ("base_digest", "XYZ"), ("point", ""), ("program", "/etc/passwd"),
    ("program", "points/../../secret"), ("strategy_hparams", [])])
def test_a_value_out_of_range_is_refused(key, value):
    with pytest.raises(errors.UserError, match=f"'{key}'"):
        _row(**{key: value})


def test_a_row_cannot_be_built_wrong_either():
    with pytest.raises(errors.UserError, match="'bits'"):
        dataclasses.replace(_row(), bits=-1)


def test_rows_are_read_back_in_order(tmp_path):
    path = tmp_path / "results.jsonl"
    # A line separator inside a name is text, not the end of a line.
    rows = [_row(point="b", model_name="na\u2028no"), _row(point="a"), _row(point="c")]
    rows_lib.write_rows(path, rows)
    assert rows_lib.read_rows(path) == rows
    assert len(path.read_text().splitlines()) == 3
    path.write_text("".join(json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in rows))
    assert rows_lib.read_rows(path) == rows


@pytest.mark.parametrize(("line", "message"), [
    ("{", "not JSON"), ("[]", "a list"), ("1", "an? int"), ("9" * 5000, "not JSON"),
    (json.dumps(RECORD | {"point": "x", "bits": "808"}), "'bits'"),
    (json.dumps(RECORD | {"point": "first"}), "'first' of line 1 again")])
def test_a_bad_line_is_named_by_file_and_number(tmp_path, line, message):
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(RECORD | {"point": "first"}) + "\n\n" + line + "\n")
    with pytest.raises(errors.UserError, match=message) as caught:
        rows_lib.read_rows(path)
    assert f"{path}, line 3: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_an_unreadable_file_is_named(tmp_path, content):
    path = tmp_path / "results.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.UserError, match="results.jsonl: got"):
        rows_lib.read_rows(path)


def _disk_full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _interrupted(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize(("failure", "expected"), [
    (_disk_full, errors.UserError), (_interrupted, KeyboardInterrupt)])
def test_a_failed_write_leaves_the_old_file_alone(
        tmp_path, monkeypatch, function, failure, expected):
    path = tmp_path / "results.jsonl"
    rows_lib.write_rows(path, [_row()])
    before = path.read_bytes()
    monkeypatch.setattr(os, function, failure)
    with pytest.raises(expected):
        rows_lib.write_rows(path, [_row(), _row(point="second")])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", _disk_full)
    with pytest.raises(errors.UserError, match="results.jsonl: got No space left on device"):
        rows_lib.write_rows(tmp_path / "results.jsonl", [_row()])


def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(tmp_path, monkeypatch):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    # Of such a file system it cannot even be asked that a file go away.
    monkeypatch.setattr("builtins.open", read_only)
    monkeypatch.setattr(rows_lib.pathlib.Path, "unlink", read_only)
    with pytest.raises(errors.UserError, match="results.jsonl: got Read-only file system"):
        rows_lib.write_rows(tmp_path / "results.jsonl", [_row()])


def test_brackets_without_end_are_named(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text("[" * 100_000)
    with pytest.raises(errors.UserError, match="results.jsonl, line 1: got text that is not JSON"):
        rows_lib.read_rows(path)


def test_settings_that_are_not_json_are_refused(tmp_path):
    with pytest.raises(errors.UserError, match="'icl-2'.*strategy_hparams"):
        rows_lib.write_rows(tmp_path / "results.jsonl", [_row(strategy_hparams={"f": print})])
    assert not list(tmp_path.iterdir())


def test_others_can_read_the_results(tmp_path):
    plain, results = tmp_path / "plain", tmp_path / "results.jsonl"
    plain.touch()
    rows_lib.write_rows(results, [_row()])
    assert stat.S_IMODE(results.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
