"""Launchers: so many processes as asked for, their ends told, and wrong orders named."""

import sys
import time

import pytest

from sah_jax import errors, hosts
from sah_jax.studies import launchers


@pytest.mark.parametrize("text, expected", [
    ("local", ("local", 1)), ("local:3", ("local", 3)), ("slurm:16", ("slurm", 16))])
def test_a_launcher_is_a_place_and_a_number(text, expected):
    assert launchers.parse(text) == expected


@pytest.mark.parametrize("text", ["", "pod:1", "local:0", "local:x", "local:-1", "slurm:10000"])
def test_another_is_refused(text):
    with pytest.raises(errors.UserError, match="expected local:N or slurm:N"):
        launchers.parse(text)


def test_options_are_numbers_or_texts():
    assert launchers.parse_options("partition=gpu,timeout_min=60") == {"partition": "gpu", "timeout_min": 60}
    assert launchers.parse_options("") == {}
    # An account's name may look like a number; a size need not be whole.
    assert launchers.parse_options("slurm_account=007,mem_gb=1.5,slurm_exclusive=True,slurm_qos=1.5.0") == {
        "slurm_account": "007", "mem_gb": 1.5, "slurm_exclusive": True, "slurm_qos": "1.5.0"}
    for text in ("partition", "=1", "a=1,,b=2"):
        with pytest.raises(errors.UserError, match="expected NAME=VALUE"):
            launchers.parse_options(text)


@pytest.fixture
def local(tmp_path, monkeypatch):
    """Starts local processes of a program in place of `sah`."""
    started = []

    def start(number, code):
        monkeypatch.setattr(launchers, "_command", lambda arguments: [sys.executable, "-c", code, *arguments])
        started.append(launchers.start("local", number, ["study"], tmp_path, {}))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def _wait(processes):
    deadline = time.monotonic() + 60
    while processes.running() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_processes_are_counted_until_they_end(local, tmp_path):
    processes = local(3, "import sys; print(sys.argv[1:]); sys.stdin.read()")
    _wait(processes)
    # Their input is empty, so they have ended; each wrote to a file of its own.
    assert processes.running() == 0 and processes.failures((0,)) == []
    logs = list((tmp_path / launchers.LOGS_FOLDER).iterdir())
    assert len(logs) == 3 and {log.read_text() for log in logs} == {"['study']\n"}


def test_each_process_has_devices_of_its_own(local, tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "device_shares", lambda number: [
        {"CUDA_VISIBLE_DEVICES": str(index)} for index in range(number)])
    _wait(local(2, "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], 'PATH' in os.environ)"))
    logs = list((tmp_path / launchers.LOGS_FOLDER).iterdir())
    assert sorted(log.read_text() for log in logs) == ["0 True\n", "1 True\n"]


def test_any_code_that_is_not_expected_is_told(local):
    processes = local(2, "raise SystemExit(3)")
    _wait(processes)
    assert processes.failures((0, 3)) == []
    told = processes.failures((0, errors.EXIT_CODE))
    assert len(told) == 2 and "ended with code 3, see " in told[0]


def test_stopped_processes_have_ended(local):
    processes = local(2, "import time; time.sleep(600)")
    assert processes.running() == 2
    assert processes.stop() == ""  # there are no others
    assert processes.running() == 0


def test_local_processes_take_no_options(tmp_path):
    with pytest.raises(errors.UserError, match="'partition', which local processes do not take"):
        launchers.start("local", 1, [], tmp_path, {"partition": "gpu"})


def test_where_there_is_no_slurm_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.UserError, match='did not take the jobs .*"srun".* use --launcher=local:N'):
        launchers.start("slurm", 1, [], tmp_path, {})
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(errors.UserError, match=r"needs the package submitit.*sah_jax\[slurm\]"):
        launchers.start("slurm", 1, [], tmp_path, {})
