"""Several processes on one study, killed at random moments: every point once, the bytes of a quiet run.

SAH_TEST_POINTS, SAH_TEST_KILLS, SAH_TEST_PROCESSES and SAH_TEST_SECONDS (the most between kills) set its
size; docs/studies.md reports one of 200 points.
"""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from sah_jax.studies import claims, results, rows, sidecar

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).parents[2]
POINTS, KILLS, PROCESSES, SECONDS = (
    int(os.environ.get(f"SAH_TEST_{name}", number)) for name, number in (
        ("POINTS", 8), ("KILLS", 3), ("PROCESSES", 2), ("SECONDS", 8)))

CONFIG = f"""
import ml_collections

def get_config():
    return ml_collections.ConfigDict({{
        "models": ("nano",), "dtype": "float32", "tasks": ("nano_math",),
        "seeds": tuple(range({POINTS // 4})),
        "num_selection": 2, "num_test": 2, "selection": "selection", "check": False,
        # Two lanes a step, and a checkpoint after each, so that kills come amid fits.
        "fit_tokens": 384, "checkpoint_every": 1,
        "families": {{"icl": ({{"num_examples": 1}},), "urial": ({{}},), "lora": tuple(
            {{"rank": 1, "bits_per_weight": 2, "learning_rate": rate, "num_examples": 8, "batch_size": 2,
              "max_tokens": 96}} for rate in (5e-3, 1e-3))}}}})
"""


@pytest.fixture
def start(tmp_path):
    """Starts a process that works on the study of a folder."""
    config, started = tmp_path / "config.py", []
    config.write_text(CONFIG)

    def start(workdir):
        started.append(subprocess.Popen(
            [sys.executable, "-m", "sah_jax", "study", f"--config={config}", f"--workdir={workdir}",
             "--noreport"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_a_study_of_killed_processes_is_that_of_one_left_in_peace(start, tmp_path):
    quiet = start(tmp_path / "quiet")
    told = quiet.communicate()[0]
    assert quiet.returncode == 0, told
    rng, workdir = random.Random(7), tmp_path / "work"
    processes = [start(workdir) for _ in range(PROCESSES)]
    for _ in range(KILLS):
        # From before the model is loaded to amid points and verdicts.
        time.sleep(rng.uniform(0.5, SECONDS))
        number = rng.randrange(PROCESSES)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(processes[number].pid, signal.SIGKILL)
        processes[number].wait()
        processes[number] = start(workdir)
        if (workdir / rows.RESULTS_NAME).is_file():
            rows.read_rows(workdir / rows.RESULTS_NAME)  # whole at every moment
    for process in processes:
        told = process.communicate()[0]
        assert process.returncode == 0, told
    found, expected = (rows.read_rows(folder / rows.RESULTS_NAME) for folder in (workdir, tmp_path / "quiet"))
    key = lambda row: (row.point, row.program_sha256, row.adapted_digest, row.performance, row.verified)
    assert sorted(map(key, found)) == sorted(map(key, expected)) and all(row.verified for row in found)
    assert len({row.point for row in found}) == len(found) == POINTS // 4 * 4
    # That is, of fits that were made together.
    lanes = [sidecar.read(workdir / row.program)["lanes"] for row in found if row.experiment_name == "lora"]
    assert lanes == [2] * (POINTS // 4 * 2)
    for row in found:
        program = workdir / row.program
        assert sidecar.file_digest(program.read_bytes()) == row.program_sha256
        responses = program.with_name(sidecar.PREDICTIONS_NAME)
        assert responses.read_bytes() == (tmp_path / "quiet" / responses.relative_to(workdir)).read_bytes()
    # Nothing is left of those that were killed but hidden folders that nobody reads.
    assert not (workdir / results.PENDING_NAME).exists()
    assert not [path for path in (workdir / claims.FOLDER).iterdir() if not path.name.startswith(".")]
    assert {path.name for path in workdir.glob("points/[!.]*")} == {row.point for row in found}
