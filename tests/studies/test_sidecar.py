"""The sidecar: found, checked, and written whole or not at all."""

import errno
import json
import pathlib

import pytest

from sah_jax import errors
from sah_jax.coding import ledger
from sah_jax.programs import widths as widths_lib
from sah_jax.studies import sidecar
from sah_jax.tasks import predictions

DATA = b"a program"
RECORD = {
    "family": "baseline", "bits": 72, "ideal_bits": 70.5, "ledger": [], "adapted_digest": "ab",
    "program_sha256": sidecar.file_digest(DATA), "portable": True, "unchanged": False, "setting": {},
    "seed": 0,
    "base": {"name": "nano", "source": "nano", "digest": "cd", "dtype": "float32"},
    "profile": {"NPROC": "1", "XLA_FLAGS": ""},
    "scores": {
        "task": "nano_math", "task_digest": "ef", "data": {},
        "num_test": 2, "performance": 0.5, "performance_stderr": 0.1,
        "selection_split": "selection", "num_selection": 2, "selection_performance": 0.5,
        "selection_stderr": 0.1, "predictions_sha256": "01"},
}


@pytest.fixture
def program(tmp_path) -> pathlib.Path:
    sidecar.write_folder(tmp_path / "point", DATA, RECORD)
    return tmp_path / "point" / sidecar.PROGRAM_NAME


def test_what_was_written_is_read(program):
    assert sidecar.read_program(program) == DATA
    assert sidecar.read(program) == RECORD


def test_a_program_may_have_no_sidecar(program):
    sidecar.path_for(program).unlink()
    assert sidecar.read(program) is None


ACCOUNTS = {"wall_time_s": 1.5, "train_flops": 2, "decode_flops": 3, "query_flops": 4, "reference_bits": 5}


@pytest.mark.parametrize("accounts, wrong", [
    (ACCOUNTS, ""), ([], "indices"), ({}, "wall_time_s"),
    (ACCOUNTS | {"train_flops": "2"}, "train_flops is '2'"), (ACCOUNTS | {"bits": 8}, "accounts has bits")])
def test_accounts_are_all_there_and_nothing_else(program, accounts, wrong):
    sidecar.path_for(program).write_text(json.dumps(RECORD | {"accounts": accounts}))
    if wrong:
        with pytest.raises(errors.UserError, match=f"is not a sidecar .*{wrong}"):
            sidecar.read(program)
    else:
        assert sidecar.read(program)["accounts"] == accounts


def _responses(folder, *shown):
    """Writes a program that answered three items, whose sidecar shows some responses."""
    text = predictions.write(["a\u2028b", "c", "d"])
    record = {**RECORD, "samples": [{"prompt": "", "answer": "", "response": one} for one in shown],
              "scores": {**RECORD["scores"], "predictions_sha256": sidecar.file_digest(text.encode())}}
    sidecar.write_folder(folder, DATA, record, text)
    return folder / sidecar.PROGRAM_NAME, record


@pytest.mark.parametrize("shown", [(), ("a\u2028b",), ("a\u2028b", "c", "d")])
def test_samples_are_the_first_predictions(tmp_path, shown):
    sidecar.check_predictions(*_responses(tmp_path / "p", *shown))


@pytest.mark.parametrize("shown", [("x",), ("a\u2028b", "d"), ("a\u2028b", "c", "d", "e")])
def test_samples_of_other_responses_are_named(tmp_path, shown):
    with pytest.raises(errors.UserError, match="p/program.json: has a sample that is not the prediction"):
        sidecar.check_predictions(*_responses(tmp_path / "p", *shown))


@pytest.mark.parametrize("samples", [1, "text", None, [1], [{}]])
def test_what_is_no_sample_is_named(tmp_path, samples):
    program, record = _responses(tmp_path / "p")
    with pytest.raises(errors.UserError, match="has a sample that is not"):
        sidecar.check_predictions(program, {**record, "samples": samples})


def test_predictions_that_are_not_there_or_others_are_named(tmp_path):
    program, record = _responses(tmp_path / "p")
    path = program.with_name(sidecar.PREDICTIONS_NAME)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(errors.UserError, match="is not what program.sah predicted"):
        sidecar.check_predictions(program, record)
    path.unlink()
    with pytest.raises(errors.UserError, match="cannot be read"):
        sidecar.check_predictions(program, record)


def test_views_are_optional_and_those_of_the_ledger(program):
    parts = [{"name": "family", "bits": 8, "ideal_bits": 7.5},
             {"name": "prompt, token 0", "bits": 64, "ideal_bits": 63.0, "token_id": 5, "text": ""}]
    record = {**RECORD, "views": {"token": parts}}
    sidecar.write_folder(program.parent, DATA, record)
    assert sidecar.read(program) == record
    assert sidecar.VIEWS == ledger.VIEWS


def _with(widths, num_params):
    return {**RECORD, "widths": widths, "base": {**RECORD["base"], "num_params": num_params}}


def test_widths_and_parameters_are_optional(program):
    record = _with({"q/a": [0, 2, 32], "q/b": [4, 8, 16]}, 1_181_056)
    sidecar.path_for(program).write_text(json.dumps(record))
    assert sidecar.read(program) == record
    assert sidecar.WIDTHS == (0, *widths_lib.WIDTHS)


@pytest.mark.parametrize("widths, num_params", [
    ({}, 0), ({}, -1), ({}, 1.0), ({}, "1"), ({}, None), ({}, True), ([], 1), (None, 1), ({"a": 2}, 1),
    ({"a": []}, 1), ({"a": [3]}, 1), ({"a": [64]}, 1), ({"a": [2.0]}, 1), ({"a": ["2"]}, 1),
    ({"a": [False]}, 1), ({"a": [2, 2], "b": [2]}, 1)])
def test_damaged_widths_and_parameters_are_named(program, widths, num_params):
    sidecar.path_for(program).write_text(json.dumps(_with(widths, num_params)))
    with pytest.raises(errors.UserError, match="is not a sidecar"):
        sidecar.read(program)


_TOKEN = {"name": "a", "bits": 1, "ideal_bits": 1.0, "token_id": 1, "text": "x"}


@pytest.mark.parametrize("views", [
    [], "token", {"colour": []}, {"token": 3}, {"token": ["a"]}, {"token": [[]]},
    *({"token": [{**_TOKEN, **change}]} for change in (
        {"name": 3}, {"bits": 1.5}, {"ideal_bits": "1"}, {"token_id": "1"}, {"text": None})),
    {"layer": [{"name": "a", "bits": 1}]}])
def test_damaged_views_are_named(program, views):
    sidecar.path_for(program).write_text(json.dumps({**RECORD, "views": views}))
    with pytest.raises(errors.UserError, match="is not a sidecar"):
        sidecar.read(program)


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"!", b"A program", b""])
def test_truncated_and_altered_files_are_named(program, data):
    program.write_bytes(data)
    with pytest.raises(errors.UserError, match="truncated or altered"):
        sidecar.read(program)


@pytest.mark.parametrize("text", [
    "", "{", "[]", '{"family": 1}', json.dumps({**RECORD, "profile": {}}),
    json.dumps({**RECORD, "scores": {}}), json.dumps({**RECORD, "ledger": [{"bits": 3}]})])
def test_damaged_sidecars_are_named(program, text):
    sidecar.path_for(program).write_text(text)
    with pytest.raises(errors.UserError, match="is not a sidecar"):
        sidecar.read(program)


def test_missing_program_is_named(tmp_path):
    with pytest.raises(errors.UserError, match="cannot be read"):
        sidecar.read_program(tmp_path / "nothing.sah")


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(path, data):
        path.write_bytes(data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sidecar, "write_synced", full)
    with pytest.raises(errors.UserError, match="No space left on device"):
        sidecar.write_folder(tmp_path / "point", DATA, RECORD)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_whole(program):
    other = {**RECORD, "program_sha256": sidecar.file_digest(b"other")}
    sidecar.write_folder(program.parent, b"other", other)
    assert sidecar.read(program) == other
    assert {path.name for path in program.parent.iterdir()} == {
        "program.sah", "program.json", "predictions.jsonl"}
