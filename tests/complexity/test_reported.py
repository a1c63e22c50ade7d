"""Rows that another system reports: read as they are, and wrong ones named."""

import json

import pytest

from sah_jax import errors
from sah_jax.complexity import reported

RECORD = {
    "experiment_name": "online_coding", "dataset_name": "meta-math/MetaMathQA", "model_name": "smollm3",
    "performance": 0.25, "bits": 1000, "seed": 1, "strategy_hparams": {"lr": 1e-4}}


def _write(folder, *records):
    path = folder / "released.jsonl"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


@pytest.mark.parametrize("theirs, ours", [
    ({}, ("online", "gsm8k", 5704)),
    ({"experiment_name": "blora", "dataset_name": "allenai/nllb"}, ("bayesian_bits", "flores", 8376)),
    ({"experiment_name": "full_ft", "dataset_name": "ifeval:/network/x.jsonl"}, ("full", "ifeval", 0)),
    ({"experiment_name": "phase-two", "dataset_name": "esnli"}, ("phase-two", "esnli", 0)),
])
def test_families_and_tasks_have_our_names(tmp_path, theirs, ours):
    (row,) = reported.read_rows(_write(tmp_path, RECORD | theirs))
    assert (row.experiment_name, row.dataset_name, row.script_bits) == ours
    assert (row.bits, row.performance, row.selection_performance) == (1000, 0.25, 0.25)


def test_a_row_says_where_it_is_reported_and_that_no_file_bears_it_out(tmp_path):
    path = _write(tmp_path, RECORD, RECORD)
    path.write_text(f"\n{path.read_text()}")
    rows = reported.read_rows(path)
    assert [row.point for row in rows] == ["released.jsonl:2", "released.jsonl:3"]
    assert all(row.counts and row.reported and not row.verified and not row.program for row in rows)


@pytest.mark.parametrize("change, said", [
    ({"bits": -8}, "'bits' = -8"), ({"bits": 1.5}, "'bits' = 1.5"), ({"bits": True}, "'bits' = True"),
    ({"performance": "high"}, "'performance' = 'high'"), ({"performance": float("nan")}, "nan"),
    ({"bits": 10**400}, "'bits' = 1000"), ({"performance": 10**400}, "'performance' = 1000"),
    ({"performance": -(10**400)}, "'performance' = -1000"), ({"performance": float("inf")}, "inf"),
    ({"strategy_hparams": None}, "'strategy_hparams' = None"), ({"extra": 1}, "the key 'extra'"),
])
def test_what_is_no_such_row_is_named(tmp_path, change, said):
    path = _write(tmp_path, RECORD, RECORD | change)
    with pytest.raises(errors.UserError, match="released.jsonl, line 2: got ") as caught:
        reported.read_rows(path)
    assert said in str(caught.value)


def test_brackets_without_end_are_named(tmp_path):
    path = _write(tmp_path, RECORD)
    path.write_text(path.read_text() + "[" * 100_000)
    with pytest.raises(errors.UserError, match="released.jsonl, line 2: got "):
        reported.read_rows(path)


def test_a_missing_key_a_line_of_something_else_and_no_file_are_named(tmp_path):
    for record, said in (
            ({key: RECORD[key] for key in RECORD if key != "seed"}, "no key 'seed'"), ([1], "a list")):
        with pytest.raises(errors.UserError, match=said):
            reported.read_rows(_write(tmp_path, record))
    with pytest.raises(errors.UserError, match="No such file"):
        reported.read_rows(tmp_path / "none.jsonl")
