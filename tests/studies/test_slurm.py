"""`sah study --launcher=slurm:N` on a real Slurm of one node."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
import slurm_cluster

from sah_jax import errors, numerics
from sah_jax.studies import claims, launchers, rows, sidecar

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(slurm_cluster.why_not()), reason=slurm_cluster.why_not() or "it runs")]

ROOT = pathlib.Path(__file__).parents[2]

CONFIG = """
import os

import ml_collections

def get_config():
    return ml_collections.ConfigDict({
        "models": ("nano",), "dtype": "float32", "tasks": ("nano_math",), "seeds": SEEDS,
        "num_selection": 2, "num_test": 2, "selection": "selection", "check": False,
        "families": {"baseline": ({},), "icl": ({"num_examples": 1},), "urial": ({},)}})
"""
POINTS = 6

PROFILE = "import json; from sah_jax import numerics; print(json.dumps(numerics.profile('float32')))"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster that runs two jobs at once; gives the environment of its users."""
    with slurm_cluster.start(tmp_path_factory.mktemp("slurm"), cpus=2) as environment:
        yield environment


@pytest.fixture
def jobs(cluster, tmp_path, monkeypatch):
    """Starts jobs of a Python program in place of `sah`."""
    monkeypatch.setattr(launchers, "_LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(launchers, "_FILES_S", 2.0)

    def start(number, code, options=None, **environment):
        for name, value in (cluster | environment).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(launchers, "_command", lambda arguments: [sys.executable, "-c", code, *arguments])
        return launchers.start("slurm", number, ["study"], tmp_path / "work", options or {})

    yield start
    subprocess.run(["scancel", "--me"], env=cluster, check=True)


@pytest.fixture
def study(cluster, tmp_path):
    """Starts `sah study` on the small grid, through the queue."""
    config, started = tmp_path / "config.py", []

    def start(workdir, *flags, seeds="(0, 1)", **environment):
        config.write_text(CONFIG.replace("SEEDS", seeds))
        started.append(subprocess.Popen(
            [sys.executable, "-m", "sah_jax", "study", f"--config={config}", f"--workdir={workdir}", *flags],
            cwd=ROOT, env=cluster | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # Where the tests run in the background, they ignore it, and so would what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
    subprocess.run(["scancel", "--me"], env=cluster, check=True)


def _queue(cluster):
    return subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%i %T"], env=cluster, stdout=subprocess.PIPE, text=True,
        check=True).stdout.split("\n")[:-1]


def _end(processes):
    """Waits for jobs; returns what is told of those that did not end with code 0."""
    _wait(lambda: not processes.running())
    return processes.failures((0,))


def _wait(done, seconds=300.0):
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.2)
    return found


def _assert_whole(workdir, points):
    """Every point is there once, and verified, with the file of its row."""
    found = rows.read_rows(workdir / rows.RESULTS_NAME)
    assert len({row.point for row in found}) == len(found) == points
    assert all(row.verified for row in found)
    for row in found:
        assert sidecar.file_digest((workdir / row.program).read_bytes()) == row.program_sha256
    assert {path.name for path in workdir.glob("points/[!.]*")} == {row.point for row in found}


def test_jobs_are_counted_until_they_end(jobs, tmp_path):
    processes = jobs(2, "import sys; print(sys.argv[1:])")
    assert processes.running() == 2
    assert _end(processes) == []
    logs = list((tmp_path / "work" / launchers.LOGS_FOLDER).glob("*.out"))
    assert len(logs) == 2 and all("['study']" in log.read_text() for log in logs)


def test_a_code_that_is_not_expected_is_told_with_the_log(jobs):
    processes = jobs(1, f"raise SystemExit({errors.EXIT_CODE})")
    (told,) = _end(processes)
    assert processes.failures((0, errors.EXIT_CODE)) == []
    assert re.match(rf"job \d+ ended with code {errors.EXIT_CODE}, see ", told)
    assert pathlib.Path(told.split(" see ")[1]).is_file()


def test_cancelled_jobs_have_ended_and_say_so_also_those_that_never_ran(jobs, cluster):
    processes = jobs(3, "import time; time.sleep(600)")
    _wait(lambda: sum("RUNNING" in line for line in _queue(cluster)) == 2)
    assert processes.running() == 3
    subprocess.run(processes.stop().split(), env=cluster, check=True)
    told = _end(processes)
    assert len(told) == 3 and all("ended as CANCELLED" in one for one in told)
    assert sum("see " in one for one in told) == 2


def test_a_job_whose_time_is_over_begins_again(jobs, cluster, tmp_path):
    mark = tmp_path / "ran"
    processes = jobs(1, f"""
import pathlib, signal, time
mark = pathlib.Path({str(mark)!r})
if not mark.exists():
    mark.touch()
    time.sleep(600)
# What Slurm sends to all, it must survive until submitit has put the job back.
raise SystemExit(signal.getsignal(signal.SIGUSR2) != signal.SIG_IGN)
""", {"timeout_min": 5})
    _wait(mark.exists)
    (job,) = processes.states
    # What Slurm sends 90 seconds before the end. It then waits two minutes until it starts the second run,
    # which must not be in the second in which it withdrew the first one's rights.
    subprocess.run(["scancel", "--signal=USR2", job], env=cluster, check=True)
    _wait(lambda: f"{job} PENDING" in _queue(cluster) and slurm_cluster.is_idle(cluster))
    assert processes.running() == 1
    subprocess.run(["scontrol", "update", f"job={job}", "starttime=now+3"], env=cluster, check=True)
    assert _end(processes) == []


@pytest.mark.parametrize("export", ["ALL", "NONE"])
def test_a_job_has_the_numerics_of_whoever_started_it(jobs, tmp_path, export):
    out, cache = tmp_path / "environment.json", "JAX_COMPILATION_CACHE_DIR"
    chosen = {"NPROC": "2", "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2", "JAX_ENABLE_X64": "True"}
    # A cache that the user chose is the job's too; one for this processor is not for another.
    for folder in (str(tmp_path), numerics.compilation_cache(chosen)[cache]):
        processes = jobs(
            1, f"import json, os; json.dump(dict(os.environ), open({str(out)!r}, 'w'))", SBATCH_EXPORT=export,
            **chosen, **{cache: folder})
        assert _end(processes) == []
        found = json.loads(out.read_text())
        assert {name: found[name] for name in chosen} == chosen
        assert found.get(cache) == (folder if folder == str(tmp_path) else None)


@pytest.mark.parametrize("options", [
    {"partition": "none"}, {"slurm_none": 1}, {"none": 1}, {"timeout_min": "soon"}, {"slurm_time": "soon"}])
def test_options_that_cannot_be_are_refused(jobs, options):
    with pytest.raises(errors.UserError, match="Slurm did not take the jobs .*correct --launcher_options"):
        jobs(1, "", options)


def test_a_study_runs_to_its_end_through_the_queue(study, cluster, tmp_path):
    # Two cores are not what is pinned; a colourful output is one that a page can be shown on.
    environment = {"NPROC": "2", "JAX_PLATFORMS": "cpu"}
    workdir = tmp_path / "work"
    process = study(workdir, "--launcher=slurm:2", FORCE_COLOR="1", **environment)
    out, err = process.communicate()
    assert process.returncode == 0, err
    _assert_whole(workdir, POINTS)
    # The page was shown from the beginning to the end, and then the report.
    shown = [int(number) for number in re.findall(r"(\d+) of \w+ points", out)]
    assert shown == sorted(shown) and shown[0] < POINTS == shown[-1] and len(shown) > 2
    assert "At work" in out and (workdir / "report" / "report.html").is_file()
    assert "sacct" not in err
    here = json.loads(subprocess.run(
        [sys.executable, "-c", PROFILE], cwd=ROOT, env=cluster | environment, stdout=subprocess.PIPE,
        check=True).stdout)
    for program in workdir.glob("points/*/program.sah"):
        assert sidecar.read(program)["profile"] == here


def test_a_job_that_breaks_down_is_told_with_its_log_and_another_does_its_work(study, tmp_path):
    workdir = tmp_path / "work"
    process = study(workdir, "--launcher=slurm:2", "--only=icl")
    held = _wait(lambda: claims.look(workdir))
    os.kill(next(iter(held.values())).process, signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == errors.EXIT_CODE
    (job, log), = re.findall(r"job (\d+_\d) ended with code -9, see (\S+)", err)
    assert pathlib.Path(log).name.startswith(job) and pathlib.Path(log).is_file()
    _assert_whole(workdir, 2)


def test_an_interrupted_study_leaves_its_jobs_at_work_and_says_how_to_end_them(study, cluster, tmp_path):
    workdir = tmp_path / "work"
    process = study(workdir, "--launcher=slurm:1", "--only=baseline")
    before = _wait(lambda: [line for line in _queue(cluster) if "RUNNING" in line])
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130 and not err
    (job,) = [line.split()[0] for line in before]
    assert f"sah status {workdir} --watch" in out and f"scancel {job} cancels" in out
    assert _queue(cluster) == before
    _wait(lambda: not _queue(cluster))
    _assert_whole(workdir, 2)


def test_a_config_that_cannot_be_starts_no_job(study, cluster, tmp_path):
    process = study(tmp_path / "work", "--launcher=slurm:1", "--config.dtype=bad")
    _, err = process.communicate()
    assert process.returncode == errors.EXIT_CODE and "'dtype' is 'bad'" in err
    assert not _queue(cluster) and not (tmp_path / "work").exists()


def test_a_study_that_no_job_could_start_did_not_go_well(study, tmp_path):
    # As where a machine lacks what the one that starts the job has.
    seeds = "1 if 'SLURM_JOB_ID' in os.environ else (0,)"
    process = study(tmp_path / "work", "--launcher=slurm:1", seeds=seeds)
    _, err = process.communicate()
    assert process.returncode == errors.EXIT_CODE
    (log,) = re.findall(r"ended with code 2, see (\S+)", err)
    assert "config key 'seeds'" in pathlib.Path(log).read_text()
