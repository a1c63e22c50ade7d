"""`sah study`: which points it makes, and processes that it starts."""

import dataclasses
import sys

import event_reader
import pytest
import row_template
import wandb

from sah_jax import cli, errors
from sah_jax.cli import studies, study
from sah_jax.studies import claims, event_files, launchers, results, rows, status

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
    shown = event_reader.read(tmp_path / "work" / event_files.FOLDER).values()
    assert sorted((one.hparams["model"], one.hparams["family"]) for one in shown) == made


def test_metrics_are_turned_off(arguments, tmp_path):
    assert cli.main([*arguments, "--phase=make", "--only=nano nano_math baseline", "--nometrics"]) == 0
    assert _pending(tmp_path) == [("nano", "baseline")]
    assert not (tmp_path / "work" / event_files.FOLDER).exists()


@pytest.mark.parametrize("flags", [[], ["--launcher=local:2"]])
def test_wandb_that_is_not_here_is_refused_before_anything_is_made(
        arguments, tmp_path, flags, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert cli.main([*arguments, *flags, "--wandb=lengths", "--noreport"]) == 2
    assert "pip install 'sah_jax[wandb]'" in capfd.readouterr().err
    assert not list((tmp_path / "work").glob("points/*")) and not list((tmp_path / "work").glob("logs/*"))


def test_metrics_go_to_wandb_where_it_is_asked_for(arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    wandb.teardown()
    flags = ["--phase=make", "--only=nano nano_math", "--wandb=lengths", "--nometrics"]
    assert cli.main([*arguments, *flags]) == 2  # one of three points fails
    wandb.teardown()
    assert len(list(tmp_path.glob("work/wandb/offline-run-*/*.wandb"))) == 3
    assert not (tmp_path / "work" / event_files.FOLDER).exists()


@pytest.mark.parametrize("failures, said", [
    ([], ""), (["2 of 6 points failed, the first: it diverged"],
               "2 of 6 points failed, the first: it diverged; "),
    (["it diverged", "another"], "2 failures, the first: it diverged; ")])
def test_failures_are_told_also_where_the_report_fails(
        arguments, tmp_path, monkeypatch, capsys, failures, said):
    def make(values, workdir, console, told):
        told += failures
        rows.write_rows(workdir / rows.RESULTS_NAME, [])
        return True

    def full(*_, **__):
        raise errors.UserError("report.html: the disk is full.")

    (tmp_path / "work").mkdir()
    monkeypatch.setattr(study, "_make", make)
    monkeypatch.setattr(studies, "write_report", full)
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err == (
        f"sah study: {said}the report was not written: report.html: the disk is full.\n")
    assert cli.main([*arguments, "--noreport"]) == (2 if failures else 0)


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Watches a study of four points of which one is made, and lets time pass: a second a look."""
    rows.write_rows(tmp_path / rows.RESULTS_NAME, [dataclasses.replace(row_template.TEMPLATE, point="a")])
    status.write(tmp_path, {}, 4)
    looks, read = [], status.read

    def watch(happens):
        def look(workdir):
            looks.append(happens(len(looks), read(workdir)))
            assert len(looks) < 1000
            return looks[-1]

        monkeypatch.setattr(status, "read", look)
        monkeypatch.setattr(studies.time, "monotonic", lambda: len(looks))
        monkeypatch.setattr(studies.time, "sleep", lambda _: None)
        assert cli.main(["status", str(tmp_path), "--watch"]) == 0
        return len(looks)

    return watch


WORKING = {"b": claims.Claim("host", 1, "1", "", 60.0)}


@pytest.mark.parametrize("happens, looks, idle", [
    (lambda look, found: found, 61, True),
    # Somebody works, then nobody; a row comes, then none.
    (lambda look, found: dataclasses.replace(found, working=WORKING if look < 100 else {}), 161, True),
    (lambda look, found: dataclasses.replace(found, verified=1 + (look >= 40)), 101, True),
    (lambda look, found: dataclasses.replace(found, verified=1 + 3 * (look >= 40)), 41, False),
    (lambda look, found: dataclasses.replace(found, total=0), 1, False)])
def test_watching_ends(watched, happens, looks, idle, capsys):
    assert abs(watched(happens) - looks) <= 1
    assert ("Nobody has worked on it for 60 seconds" in capsys.readouterr().out) == idle


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
    # Each point once, whichever process made it, and without a word to anybody else.
    shown = event_reader.read(tmp_path / "work" / event_files.FOLDER).values()
    assert sorted(one.final.get("bits", 0) for one in shown) == [0, *sorted(row.bits for row in found)]
    assert len(list((tmp_path / "work" / event_files.FOLDER).glob("*/*"))) == 3
    assert not (tmp_path / "work" / "wandb").exists()
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
