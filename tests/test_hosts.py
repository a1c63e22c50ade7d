"""Jobs of several processes: joining one, and what all of its processes get from the first."""

import fnmatch

import jax
import numpy as np
import pytest

from sah_jax import errors, hosts


def test_no_coordinator_is_a_job_of_one(monkeypatch):
    for name in hosts.ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    hosts.initialize()
    assert jax.process_count() == 1


def test_half_a_job_is_an_error(monkeypatch):
    monkeypatch.setenv("SAH_COORDINATOR", "localhost:1")
    monkeypatch.delenv("SAH_NUM_PROCESSES", raising=False)
    with pytest.raises(errors.UserError, match="'localhost:1' cannot be joined .* SAH_NUM_PROCESSES"):
        hosts.initialize()


def test_a_job_without_a_coordinator_is_an_error(monkeypatch):
    monkeypatch.delenv("SAH_COORDINATOR", raising=False)
    monkeypatch.setenv("SAH_PROCESS_ID", "1")
    with pytest.raises(errors.UserError, match="SAH_COORDINATOR is not, expected all three or none"):
        hosts.initialize()


def test_a_coordinator_of_auto_leaves_it_to_jax(monkeypatch):
    given = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *arguments: given.append(arguments))
    monkeypatch.setenv("SAH_COORDINATOR", "auto")
    assert hosts.initialize() and given == [()]


def test_alone_everything_is_ones_own():
    def complain():
        raise errors.UserError("no.")

    kept = object()
    assert hosts.is_first() and hosts.from_first(lambda: kept) is kept
    with pytest.raises(errors.UserError, match=r"^no\.$"):
        hosts.from_first(complain)
    got = hosts.fetch({"a": jax.numpy.arange(3)})
    assert isinstance(got["a"], np.ndarray) and got["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("coordinator, phase, expected", [
    ("host:8000", 0, "host:8000"), ("host:8000", 1, "host:8001"), ("[::1]:80", 2, "[::1]:82"),
    ("auto", 1, None), ("", 1, None)])
def test_each_phase_has_a_port_of_its_own(monkeypatch, coordinator, phase, expected):
    monkeypatch.setenv("SAH_COORDINATOR", coordinator)
    assert hosts.in_job() == bool(coordinator)
    assert hosts.job_environment(phase) == ({"SAH_COORDINATOR": expected} if expected else {})


@pytest.mark.parametrize("platforms, expected", [("cpu", False), ("tpu", True), ("cuda,cpu", True)])
def test_platforms_that_the_caller_chose_count(monkeypatch, platforms, expected):
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    assert hosts.one_process_a_device() == expected


@pytest.mark.parametrize("libtpu, plugin, devices, expected", [
    (True, False, ["/dev/accel0"], True), (True, False, ["/dev/vfio/0"], True),
    # Installed to make plans with, on a machine without the chips.
    (True, False, [], False), (False, False, ["/dev/accel0", "/dev/nvidiactl"], False),
    (False, True, ["/dev/nvidiactl"], True), (False, True, ["/dev/kfd"], True), (False, True, [], False)])
def test_devices_that_are_there_and_can_be_used_count(monkeypatch, libtpu, plugin, devices, expected):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(hosts.importlib.util, "find_spec", lambda name: libtpu and name == "libtpu" or None)
    monkeypatch.setattr(hosts.importlib.metadata, "entry_points", lambda group: ["cuda"] if plugin else [])
    monkeypatch.setattr(hosts.glob, "glob", lambda pattern: [
        device for device in devices if fnmatch.fnmatch(device, pattern)])
    monkeypatch.setattr(hosts.os.path, "exists", lambda path: path in devices)
    assert hosts.one_process_a_device() == expected


@pytest.fixture
def devices(monkeypatch):
    """Sets what devices the machine has."""
    def devices(*paths, visible=None):
        monkeypatch.setenv("JAX_PLATFORMS", "tpu" if "/dev/accel0" in paths else "cuda")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        monkeypatch.setattr(hosts.glob, "glob", lambda pattern: fnmatch.filter(paths, pattern))
    return devices


GPUS = [f"/dev/nvidia{number}" for number in range(5)]


@pytest.mark.parametrize("number, visible, expected", [
    (2, None, ["0,1", "2,3"]), (5, None, ["0", "1", "2", "3", "4"]),
    # By what this process itself may see.
    (2, "3,1,GPU-a", ["3", "1"])])
def test_processes_of_one_machine_share_its_gpus_out(devices, number, visible, expected):
    devices(*GPUS, "/dev/nvidiactl", visible=visible)
    assert hosts.device_shares(number) == [{"CUDA_VISIBLE_DEVICES": one} for one in expected]


def test_of_tpu_chips_each_process_gets_one(devices):
    devices("/dev/accel0", "/dev/accel1")
    assert [one["TPU_VISIBLE_CHIPS"] for one in hosts.device_shares(2)] == ["0", "1"]


def test_nothing_is_shared_out_where_there_is_nothing_to_share(devices, monkeypatch):
    devices(*GPUS)
    assert hosts.device_shares(1) == [{}]
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert hosts.device_shares(7) == [{}] * 7


def test_more_processes_than_devices_are_refused(devices):
    devices(*GPUS)
    with pytest.raises(errors.UserError, match="6 processes and 5 devices"):
        hosts.device_shares(6)
