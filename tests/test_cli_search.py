"""`sah search`: programs of a study, as many as the budget says, and no more the second time."""

import subprocess
import sys

import event_reader
import pytest

from sah_jax import cli
from sah_jax.studies import event_files, rows, status

CONFIG = """
import ml_collections

def get_config():
    return ml_collections.ConfigDict({
        "models": ("nano",), "dtype": "float32", "tasks": ("nano_math",), "seeds": (0,),
        "num_selection": 4, "num_test": 2, "selection": "selection", "check": False,
        "families": {"baseline": ({},), "icl": tuple({"num_examples": number} for number in (1, 2, 3, 40))}})
"""


@pytest.fixture
def arguments(tmp_path):
    (tmp_path / "config.py").write_text(CONFIG)
    return ["search", f"--config={tmp_path / 'config.py'}", f"--workdir={tmp_path / 'work'}", "--noreport"]


def test_a_search_makes_as_many_programs_as_its_budget_says(arguments, tmp_path, capfd):
    assert cli.main([*arguments, "--runs=3", "--targets=0.5,1.1"]) == 0
    found = rows.read_rows(tmp_path / "work" / rows.RESULTS_NAME)
    # One of each family first.
    assert [row.experiment_name for row in found] == ["baseline", "icl", "icl"]
    assert all(row.verified for row in found)
    shown = event_reader.read(tmp_path / "work" / event_files.FOLDER).values()
    assert sorted(one.final["bits"] for one in shown if one.final) == sorted(row.bits for row in found)
    out = capfd.readouterr().out
    assert "3 programs made" in out and "score 1.10: not reached" in out and "Frontier" in out
    # What is there counts; a longer search goes on, and a point that fails does not end it.
    assert cli.main([*arguments, "--runs=3"]) == 0
    assert len(rows.read_rows(tmp_path / "work" / rows.RESULTS_NAME)) == 3
    capfd.readouterr()
    assert cli.main([*arguments, "--runs=9", "--targets=1.1"]) == 0
    assert "num_examples is 40" in capfd.readouterr().out


def test_points_of_another_config_do_not_count(arguments, tmp_path, capfd):
    given = [*arguments, "--runs=1", "--targets=0.5"]
    assert cli.main(given) == 0
    (tmp_path / "config.py").write_text(CONFIG.replace('"num_test": 2', '"num_test": 3'))
    assert cli.main(given) == 0
    found = rows.read_rows(tmp_path / "work" / rows.RESULTS_NAME)
    assert [row.num_scored for row in found] == [2, 3]
    assert capfd.readouterr().out.count("1 programs made") == 2


def test_what_is_wrong_is_named(arguments, tmp_path, capfd):
    assert cli.main([*arguments, "--targets=high"]) == 2
    assert "--targets is ['high'], expected numbers" in capfd.readouterr().err
    (tmp_path / "config.py").write_text(CONFIG.replace('("nano_math",)', '("nano_math", "nano_follow")'))
    assert cli.main(arguments) == 2
    assert "1 models and 2 tasks, expected one of each" in capfd.readouterr().err


ALONE = """
import sys
from jax._src import xla_bridge
from sah_jax import cli, hosts
hosts.one_process_a_device = lambda: True
code = cli.main(sys.argv[1:])
assert not xla_bridge.backends_are_initialized()
raise SystemExit(code)
"""


def test_where_a_process_takes_the_device_the_search_leaves_it_to_others(arguments, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *arguments, "--runs=2", "--batch=1", "--nometrics"],
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows.read_rows(tmp_path / "work" / rows.RESULTS_NAME)
    assert len(found) == 2 and all(row.verified for row in found)
    assert "2 programs made" in done.stdout
    assert status.read(tmp_path / "work").total == 2
    # What is asked of the search is asked of them.
    assert not (tmp_path / "work" / event_files.FOLDER).exists()


def test_a_search_is_no_job_of_several_processes(arguments, monkeypatch, capfd):
    monkeypatch.setenv("SAH_COORDINATOR", "auto")
    assert cli.main(arguments) == 2
    assert "expected a search to be one process" in capfd.readouterr().err
