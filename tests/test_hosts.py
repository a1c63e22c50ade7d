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
