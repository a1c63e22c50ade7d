"""`sah study`: which points it makes, and processes that it starts."""

import pytest

from sah_jax import cli
from sah_jax.cli import study
from sah_jax.studies import launchers, results, rows, status

CONFIG = """
import ml_collections

def get_config():
    return ml_collections.ConfigDict({
        "models": ("nano", "nano-chat"), "dtype": "float32", "tasks": ("nano_math",), "seeds": (0,),
        "num_selection": 2, "num_test": 2, "selection": "selection", "check": False,
        "families": {"baseline": ({},), "icl": ({"num_examples": 1}, {"num_examples": 40})}})
"""


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "config.py").write_text(CONFIG)
    return ["study", f"--config={tmp_path / 'config.py'}", f"--workdir={tmp_path / 'work'}"]


def _pending(tmp_path):
    return [(row.model_name, row.experiment_name) for row in rows.read_rows(
        tmp_path / "work" / results.PENDING_NAME)]


@pytest.mark.parametrize("only, made", [
    ("baseline", [("nano", "baseline"), ("nano-chat", "baseline")]),
    ("nano-chat nano_math baseline", [("nano-chat", "baseline")]),
    ("num_examples=1)", [("nano", "icl"), ("nano-chat", "icl")])])
def test_only_what_is_named_is_made(arguments, tmp_path, only, made):
    assert cli.main([*arguments, "--phase=make", f"--only={only}"]) == 0
    assert _pending(tmp_path) == made
    assert status.read(tmp_path / "work").total == 6


@pytest.mark.parametrize("flag", ["--list", "--dry_run"])
def test_only_what_would_be_made_is_listed(arguments, flag, capsys):
    assert cli.main([*arguments, flag, "--only=nano-chat nano_math icl"]) == 0
    out = capsys.readouterr().out
    assert "nano-chat" in out and "icl" in out and "baseline" not in out and " nano " not in out
    assert ("num_examples=40" in out) == (flag == "--dry_run")


def test_processes_that_are_started_make_a_study_and_its_report(arguments, tmp_path, capfd):
    assert cli.main([*arguments, "--launcher=local:2", "--only=nano nano_math"]) == 2
    out, said = capfd.readouterr()
    # A point that failed in one process is told by the one that started it.
    assert "num_examples is 40" in said and said.count("sah study:") == 1
    found = rows.read_rows(tmp_path / "work" / rows.RESULTS_NAME)
    assert sorted(row.experiment_name for row in found) == ["baseline", "icl"]
    assert all(row.verified for row in found) and "2 of 6 points verified" in out
    assert len(list((tmp_path / "work" / launchers.LOGS_FOLDER).iterdir())) == 2
    assert (tmp_path / "work" / "report" / "report.html").is_file()
    assert cli.main(["status", str(tmp_path / "work")]) == 0
    assert "num_examples is 40" in capfd.readouterr().out


def test_the_launcher_is_not_passed_on():
    given = ["--config=a", "--launcher", "local:2", "--lease=9", "--launcher_options=a=1", "-launcher=b"]
    assert study._without(given, ("launcher", "launcher_options")) == ["--config=a", "--lease=9"]


def test_a_study_is_listed_and_nothing_is_made(arguments, tmp_path, capfd):
    assert cli.main([*arguments, "--phase=make", "--only=baseline"]) == 0
    made = sorted((tmp_path / "work").rglob("*"))
    capfd.readouterr()
    assert cli.main([*arguments, "--list"]) == 0
    listed = capfd.readouterr().out
    assert cli.main([*arguments, "--dry_run"]) == 0
    every = capfd.readouterr().out
    # Two models of three points, of which the baselines are pending.
    assert "icl(num_examples=1)" in every and "icl(num_examples=1)" not in listed
    totals = [line.split()[:3] for line in listed.splitlines() if line.split()[:1] == ["6"]]
    assert totals == [["6", "0", "2"]]
    assert sorted((tmp_path / "work").rglob("*")) == made
    # Of no folder at all, and of models that are not here.
    assert cli.main([arguments[0], arguments[1], "--list"]) == 0
    assert cli.main(["study", "--config=configs/paper/main.py:gsm8k", "--list"]) == 0
    assert "198" in capfd.readouterr().out
