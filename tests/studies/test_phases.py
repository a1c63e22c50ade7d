"""Studies in two phases: on several hosts, and where a process takes the whole device."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import event_reader
import free_port
import pytest
import rich.console
import study_folder

from sah_jax import cli, hosts
from sah_jax.studies import claims, event_files, phases, results, rows, sidecar, verification

ROOT = pathlib.Path(__file__).parents[2]

CONFIG = """
import ml_collections

def get_config():
    return ml_collections.ConfigDict({{
        "models": ({model!r},), "dtype": "float32", "tasks": ("nano_math",), "seeds": (0,),
        "num_selection": 2, "num_test": 2, "selection": "selection", "check": False,
        "mesh": {mesh!r}, "decode_mesh": {decode_mesh!r}, "families": {families!r}}})
"""
FAMILIES = {"baseline": ({},), "online": (
    {"num_examples": 2, "learning_rate": 0.01, "batch_size": 2, "max_tokens": 96},)}


def _config(folder, model, families, mesh="", decode_mesh=""):
    path = folder / "config.py"
    path.write_text(CONFIG.format(model=str(model), families=families, mesh=mesh, decode_mesh=decode_mesh))
    return path


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The folder of a study on two hosts of one device each, and what each wrote to its console."""
    folder = tmp_path_factory.mktemp("job")
    config = _config(folder, "nano", FAMILIES, "data=2", "tensor=2")
    address = free_port.address(2)
    hosts = [subprocess.Popen(
        [sys.executable, "-m", "sah_jax", "study", f"--config={config}", f"--workdir={folder / str(number)}",
         "--noreport"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1", "SAH_COORDINATOR": address,
             "SAH_NUM_PROCESSES": "2", "SAH_PROCESS_ID": str(number)}) for number in range(2)]
    told = [host.communicate(timeout=900)[0] for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], "\n".join(told)
    return folder, told


@pytest.mark.long
def test_a_job_of_its_own_verifies_what_several_hosts_made(job):
    folder, _ = job
    found = rows.read_rows(folder / "0" / rows.RESULTS_NAME)
    assert [row.experiment_name for row in found] == list(FAMILIES)
    assert all(row.verified for row in found)
    assert not (folder / "0" / results.PENDING_NAME).exists()


@pytest.mark.long
def test_the_first_host_alone_has_files_and_speaks(job):
    folder, (first, second) = job
    assert first.count(", verified\n") == len(FAMILIES) and ", verified\n" not in second
    assert not (folder / "1").exists()
    shown = event_reader.read(folder / "0" / event_files.FOLDER).values()
    assert {one.hparams["family"]: len(one.losses) for one in shown} == {"baseline": 0, "online": 1}
    assert len(list((folder / "0" / event_files.FOLDER).glob("*/*"))) == len(FAMILIES)


@pytest.mark.long
def test_programs_of_several_hosts_say_so(job):
    folder, _ = job
    for row in rows.read_rows(folder / "0" / rows.RESULTS_NAME):
        profile = sidecar.read(folder / "0" / row.program)["profile"]
        assert row.bits == 8 * (folder / "0" / row.program).stat().st_size
        assert (profile["process_count"], profile["device_count"]) == (2, 2)
        assert profile["mesh"] == "data=2,fsdp=1,tensor=1"
        assert profile["decode_mesh"] == "data=1,fsdp=1,tensor=2"


@pytest.fixture
def one_device(monkeypatch):
    """As if a process took the whole device."""
    monkeypatch.setattr(hosts, "one_process_a_device", lambda: True)


def test_where_processes_cannot_share_a_device_points_are_verified_after(one_device, tmp_path, capfd):
    config = _config(
        tmp_path, "nano", {"baseline": ({},), "icl": ({"num_examples": 1}, {"num_examples": 40})})
    work = tmp_path / "work"
    arguments = ["study", f"--config={config}", f"--workdir={work}", "--noreport"]
    assert cli.main([*arguments, "--phase=make"]) == 2
    pending = rows.read_rows(work / results.PENDING_NAME)
    assert [row.experiment_name for row in pending] == ["baseline", "icl"]
    assert not any(row.verified for row in pending) and not (work / rows.RESULTS_NAME).exists()
    made = {path: path.stat().st_mtime_ns for path in work.glob("points/*/*")}
    # The same study again makes nothing again, and verifies what it finds.
    assert cli.main(arguments) == 2
    out, said = capfd.readouterr()
    assert out.count(", verified\n") == 2 and "num_examples is 40" in out
    assert said.count("1 of 3 points failed") == 2 and "some points could not be made" in said
    found = rows.read_rows(work / rows.RESULTS_NAME)
    assert [(row.point, row.verified) for row in found] == [(row.point, True) for row in pending]
    assert {path: path.stat().st_mtime_ns for path in work.glob("points/*/*")} == made
    assert not (work / results.PENDING_NAME).exists()


@pytest.fixture
def pending(tmp_path, monkeypatch):
    """A study's folder with eight pending points, and the batches in which they are verified."""
    made = [study_folder.write_point(tmp_path, f"p{number}", 4, verified=False) for number in range(8)]
    rows.write_rows(tmp_path / results.PENDING_NAME, made)
    batches = []

    def verify(programs, settle, environment):
        batches.append([program.parent.name for _, program in programs])
        for number, _ in enumerate(programs):
            settle(number, verification.Verdict(True))
        return True

    monkeypatch.setattr(verification, "verify_together", verify)
    return tmp_path, batches


def test_a_worker_alone_verifies_all_at_once(pending):
    workdir, batches = pending
    first, found, tried = phases.verify_pending(workdir, rich.console.Console(quiet=True))
    assert first and batches == [[f"p{number}" for number in range(8)]]
    assert [path.parent.name for path in tried] == batches[0]
    assert all(row.verified for row in found.rows) and len(found.rows) == 8
    assert not claims.look(workdir)


def test_of_four_workers_each_leaves_the_others_their_share(pending):
    workdir, batches = pending
    others = [claims.Claims(workdir) for _ in range(4)]
    for one in others:
        one.join()
    phases.verify_pending(workdir, rich.console.Console(quiet=True))
    assert batches[0] == ["p0", "p1"] and sorted(sum(batches, [])) == [f"p{number}" for number in range(8)]
    for one in others:
        one.close()


def test_what_another_verifies_is_waited_for_and_taken_over_where_it_is_dropped(pending):
    workdir, batches = pending
    other = claims.Claims(workdir)
    other._own = dataclasses.replace(other._own, host="elsewhere")
    assert other.take(["p1", "p2"])
    found = results.Results(workdir, rich.console.Console(quiet=True))

    def end():
        # It settles one of its points, and ends before it has the other.
        row = next(row for row in found.pending if row.point == "p1")
        found.settle(row, verification.Verdict(True))
        other.close()

    later = threading.Timer(1.5, end)
    later.start()
    _, after, tried = phases.verify_pending(workdir, rich.console.Console(quiet=True))
    later.join()
    assert batches == [["p0", "p3", "p4", "p5", "p6", "p7"], ["p2"]]
    assert {row.point for row in after.rows} == {f"p{number}" for number in range(8)} and not after.pending


def test_pending_points_of_another_profile_are_made_again(tmp_path):
    config = _config(tmp_path, "nano", {"baseline": ({},)})
    work = tmp_path / "work"
    arguments = ["study", f"--config={config}", f"--workdir={work}", "--phase=make"]
    assert cli.main(arguments) == 0
    (row,) = rows.read_rows(work / results.PENDING_NAME)
    rows.write_rows(work / results.PENDING_NAME, [dataclasses.replace(row, numerics_digest="0" * 64)])
    assert cli.main(arguments) == 0
    (again,) = rows.read_rows(work / results.PENDING_NAME)
    assert again.numerics_digest == row.numerics_digest


def test_a_pending_point_that_is_refuted_is_a_failure(one_device, tmp_path, capfd):
    config = _config(tmp_path, "nano", {"baseline": ({},)})
    work = tmp_path / "work"
    assert cli.main(["study", f"--config={config}", f"--workdir={work}", "--phase=make"]) == 0
    (row,) = rows.read_rows(work / results.PENDING_NAME)
    record = sidecar.read(work / row.program)
    record["scores"]["performance"] = 0.987
    sidecar.path_for(work / row.program).write_text(json.dumps(record))
    assert cli.main(["verify", str(work)]) == 2
    assert "scores was" in capfd.readouterr().err
    assert [row.verified for row in rows.read_rows(work / rows.RESULTS_NAME)] == [False]
    assert not (work / results.PENDING_NAME).exists()


def test_a_pending_row_that_was_altered_becomes_no_point(one_device, tmp_path, capfd):
    config = _config(tmp_path, "nano", {"baseline": ({},)})
    work = tmp_path / "work"
    assert cli.main(["study", f"--config={config}", f"--workdir={work}", "--phase=make"]) == 0
    (row,) = rows.read_rows(work / results.PENDING_NAME)
    rows.write_rows(work / results.PENDING_NAME, [dataclasses.replace(row, performance=1.0)])
    # What a process that was killed while it wrote has left is no point either.
    (work / "points" / ".nano.left.123").mkdir()
    (work / "points" / ".nano.left.123" / sidecar.PROGRAM_NAME).write_bytes(b"half")
    assert cli.main(["verify", str(work)]) == 2
    assert "1 programs were not verified" in capfd.readouterr().err
    (found,) = rows.read_rows(work / rows.RESULTS_NAME)
    assert not found.verified


PARENT = """
import sys, time
from sah_jax.studies import fresh
given = ["study", "--config=" + sys.argv[1], "--workdir=" + sys.argv[2], "--phase=make"]
with fresh.start(given, {}) as made:
    print(made.pid, flush=True)
    time.sleep(600)
"""


def test_a_process_ends_with_the_one_that_started_it(tmp_path):
    config = _config(tmp_path, "nano", {"icl": tuple({"num_examples": 1} for _ in range(200))})
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, config, tmp_path / "work"], stdout=subprocess.PIPE, text=True,
        cwd=ROOT)
    child = int(parent.stdout.readline())
    deadline = time.monotonic() + 120
    while not (tmp_path / "work").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _runs(child)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return "Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
