"""A study end to end: rows, verification, and what a kill leaves."""

import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import rich.console

from sah_jax import errors
from sah_jax.reports import report
from sah_jax.studies import grid, point, rows, runner, sidecar, verification

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = {
    "models": ("nano",), "dtype": "float32", "tasks": ("nano_math",),
    "families": {"baseline": ({},), "icl": ({"num_examples": 1},)},
    "seeds": (0,), "num_selection": 4, "num_test": 4, "selection": "selection", "check": True,
}


def _run(workdir, **changes) -> tuple[list[rows.Row], str]:
    out = io.StringIO()
    console = rich.console.Console(file=out, width=200)
    return runner.run(grid.parse_config({**CONFIG, **changes}), workdir, console), out.getvalue()


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("study")
    _run(folder)
    return folder


def _snapshot(folder: pathlib.Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_row_is_verified_and_borne_out_by_its_files(workdir):
    found = rows.read_rows(workdir / rows.RESULTS_NAME)
    assert [row.experiment_name for row in found] == ["baseline", "icl"]
    for row in found:
        data = (workdir / row.program).read_bytes()
        record = sidecar.read(workdir / row.program)
        assert row.verified
        assert row.bits == 8 * len(data) == sum(entry["bits"] for entry in record["ledger"])
        assert row.program_sha256 == sidecar.file_digest(data)
        assert row.num_scored == row.selection_num_scored == 4
        assert row.strategy_hparams == record["setting"]
    report.write_report(workdir)


def test_running_again_touches_nothing(workdir):
    before = _snapshot(workdir / "points")
    again, _ = _run(workdir)
    assert len(again) == 2
    assert _snapshot(workdir / "points") == before


def test_an_unfinished_point_is_made_again_to_the_same_bytes(workdir, tmp_path):
    found = rows.read_rows(workdir / rows.RESULTS_NAME)
    before = {row.point: (workdir / row.program).read_bytes() for row in found}
    # As after a kill between the folder and the row.
    rows.write_rows(workdir / rows.RESULTS_NAME, found[:1])
    again, _ = _run(workdir)
    assert {row.point: (workdir / row.program).read_bytes() for row in again} == before
    assert all(row.verified for row in again)


def test_a_failing_point_is_told_and_the_others_are_made(tmp_path):
    families = {"icl": ({"num_examples": 40},), "baseline": ({},)}
    with pytest.raises(errors.UserError, match="1 of 2 points failed.*num_examples is 40"):
        _run(tmp_path, families=families)
    assert [row.experiment_name for row in rows.read_rows(tmp_path / rows.RESULTS_NAME)] == ["baseline"]


def test_verification_refutes_what_the_file_does_not_do(workdir, tmp_path):
    row = rows.read_rows(workdir / rows.RESULTS_NAME)[1]
    data, record = (workdir / row.program).read_bytes(), sidecar.read(workdir / row.program)
    responses = (workdir / row.program).with_name(sidecar.PREDICTIONS_NAME).read_text()
    lies = {
        "adapted_digest": {**record, "adapted_digest": "0" * 64},
        "scores": {**record, "scores": {**record["scores"], "performance": 0.987}},
        "scores ": {**record, "scores": {**record["scores"], "selection_performance": 0.987}},
        "bits": {**record, "bits": record["bits"] + 8},
        "base_digest": {**record, "base": {**record["base"], "digest": "0" * 64}},
    }
    for key, lie in lies.items():
        sidecar.write_folder(tmp_path / key, data, lie, responses)
        verdict = verification.verify("nano", tmp_path / key / sidecar.PROGRAM_NAME)
        assert not verdict.verified and key.strip() in verdict.reason


def test_an_unverified_point_is_a_row_but_a_failure(tmp_path, monkeypatch):
    asked = []

    def verify(programs, settle, environment):
        for number, (model, program) in enumerate(programs):
            asked.append(model or sidecar.read(program)["base"]["source"])
            settle(number, verification.Verdict(False, "it differs"))

    monkeypatch.setattr(verification, "verify_together", verify)
    with pytest.raises(errors.UserError, match="was not verified: it differs"):
        _run(tmp_path, families={"baseline": ({},)}, models=("nano/../nano",))
    # By what finds it anywhere, not by what it was called here.
    assert asked == ["nano"]
    assert [row.verified for row in rows.read_rows(tmp_path / rows.RESULTS_NAME)] == [False]
    # Such a point is not finished: the next run makes it again.
    monkeypatch.undo()
    again, _ = _run(tmp_path, families={"baseline": ({},)})
    assert [row.verified for row in again] == [True]


def test_divergence_leaves_no_row_and_no_folder(tmp_path, monkeypatch):
    def diverge(*arguments, **options):
        raise errors.UserError("the training loss is nan at step 3 of 4, expected a finite number.")

    monkeypatch.setattr(point.codec, "write", diverge)
    with pytest.raises(errors.UserError, match="loss is nan"):
        _run(tmp_path, families={"baseline": ({},)})
    assert not (tmp_path / rows.RESULTS_NAME).exists()
    assert list((tmp_path / "points").iterdir()) == []


def test_killed_studies_are_finished_by_the_same_command(tmp_path, workdir):
    config = tmp_path / "config.py"
    config.write_text(
        "import ml_collections\n\ndef get_config():\n"
        f"    return ml_collections.ConfigDict({CONFIG!r})\n")
    command = [sys.executable, "-m", "sah_jax", "study", f"--config={config}",
               f"--workdir={tmp_path / 'work'}", "--noreport"]
    results = tmp_path / "work" / rows.RESULTS_NAME
    for _ in range(2):
        killed = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=ROOT)
        finished = len(results.read_text().splitlines()) if results.exists() else 0
        deadline = time.monotonic() + 120
        # Once in the middle of the first point, once right after a point was finished.
        while time.monotonic() < deadline and killed.poll() is None:
            if any((tmp_path / "work").glob("points/*/program.sah")) if not finished else (
                    len(results.read_text().splitlines()) > finished):
                break
            time.sleep(0.05)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        if results.exists():
            [json.loads(line) for line in results.read_text().splitlines()]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    # The same bytes as an undisturbed run, and every point once.
    disturbed, undisturbed = rows.read_rows(results), rows.read_rows(workdir / rows.RESULTS_NAME)
    key = lambda row: (row.point, row.program_sha256, row.performance, row.verified)
    assert sorted(map(key, disturbed)) == sorted(map(key, undisturbed))
