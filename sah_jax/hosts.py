"""Several processes as one job: joining it, and what all of them must agree on.

All processes of a job run the same program over one mesh of all devices, and so come to the same
numbers. The first one alone has the files of a study: what it finds there, it tells the others.
This module does not import JAX until it is needed.
"""

import glob
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from sah_jax import errors

ENVIRONMENT = ("SAH_COORDINATOR", "SAH_NUM_PROCESSES", "SAH_PROCESS_ID")
"""Where `initialize` looks for what it is not given."""

AUTO = "auto"
"""The coordinator that leaves everything to JAX, which knows TPU pods, Slurm and MPI."""


def initialize(
    coordinator: str = "", num_processes: int | None = None, process_id: int | None = None
) -> bool:
    """Joins a job of several processes; must run before JAX starts.

    What is not given is taken from `ENVIRONMENT`. With no coordinator, this process is the whole job.

    Returns whether there is a job that was joined.

    Args:
      coordinator: host:port of the first process, or `AUTO`.
      num_processes: of the job.
      process_id: this one's, from 0.

    Raises:
      UserError: a part is missing, or the job cannot be joined.
    """
    import jax

    given = [os.environ.get(name, "") for name in ENVIRONMENT]
    coordinator = coordinator or given[0]
    if not coordinator:
        if any(given):
            raise errors.UserError(
                f"{' and '.join(ENVIRONMENT[1:])} are set and {ENVIRONMENT[0]} is not, expected all three or "
                "none; set it to host:port of the first process.")
        return False
    try:
        if coordinator == AUTO:
            jax.distributed.initialize()
            return True
        counts = [given if given is not None else int(text)
                  for given, text in zip((num_processes, process_id), given[1:], strict=True)]
        # What the CPU backend has for collectives between processes.
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(coordinator, *counts)
        return True
    except (ValueError, RuntimeError) as error:
        raise errors.UserError(
            f"the job at {coordinator!r} cannot be joined ({' '.join(str(error).split())}), expected a "
            f"coordinator, a number of processes and this one's id; give them, or set "
            f"{', '.join(ENVIRONMENT)}.") from error


def in_job() -> bool:
    """Whether the environment asks for a job of several processes; does not start JAX."""
    return bool(os.environ.get(ENVIRONMENT[0]))


def job_environment(phase: int) -> dict[str, str]:
    """Returns what to set so that the processes that all hosts start next make a job of their own.

    Each phase has the next port: the job before may not have let go of its own yet.
    """
    coordinator = os.environ.get(ENVIRONMENT[0], "")
    host, colon, port = coordinator.rpartition(":")
    if not colon or not port.isdecimal():
        return {}
    return {ENVIRONMENT[0]: f"{host}:{int(port) + phase}"}


def one_process_a_device() -> bool:
    """Whether a process that runs JAX here takes all of a device, so that no second one can.

    TPUs are locked by the process that opens them, and JAX takes most of a GPU's memory at once.
    Does not start JAX.
    """
    platforms = os.environ.get("JAX_PLATFORMS", "").split(",")
    if platforms[0]:
        return platforms[0] != "cpu"
    gpu = importlib.metadata.entry_points(group="jax_plugins") and (
        os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/kfd"))
    return bool(importlib.util.find_spec("libtpu") and _tpu_chips() or gpu)


def device_shares(number: int) -> list[dict[str, str]]:
    """Returns, for each of so many processes on this machine, what to set so that it has devices of its own.

    GPUs are shared out evenly, by CUDA's list of visible ones; of TPU chips each process gets one. Where
    processes can share a device, or there is one process alone, nothing is set. Does not start JAX.

    Raises:
      UserError: there are not as many devices, or how to share them out is not known.
    """
    if number == 1 or not one_process_a_device():
        return [{} for _ in range(number)]
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = given.split(",") if given else list(map(str, range(len(glob.glob("/dev/nvidia[0-9]*")))))
    chips = [] if gpus else _tpu_chips()
    devices = len(gpus) or len(chips)
    if devices < number:
        raise errors.UserError(
            f"got {number} processes and {devices} devices to share out, expected one for each; "
            "start fewer processes, or set JAX_PLATFORMS=cpu.")
    if gpus:
        each = len(gpus) // number
        return [{"CUDA_VISIBLE_DEVICES": ",".join(gpus[each * index : each * (index + 1)])}
                for index in range(number)]
    return [{"TPU_VISIBLE_CHIPS": str(index), "TPU_PROCESS_BOUNDS": "1,1,1",
             "TPU_CHIPS_PER_PROCESS_BOUNDS": "1,1,1"} for index in range(number)]


def _tpu_chips() -> list[str]:
    return glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*")


def _alone() -> bool:
    """Whether this process is the whole job; does not start JAX where it is."""
    if "jax" not in sys.modules:
        return True
    import jax

    return not jax.distributed.is_initialized() or jax.process_count() == 1


def is_first() -> bool:
    """Whether this process is the one that has the files; does not start JAX where it is alone."""
    if _alone():
        return True
    import jax

    return jax.process_index() == 0


def fetch(tree: Any) -> Any:
    """Returns a tree of arrays as numpy arrays, whole on every process, wherever they lie.

    In a job all processes must call it with the same tree.
    """
    import jax
    import numpy as np

    if _alone():
        return jax.device_get(tree)
    from jax.experimental import multihost_utils

    def whole(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
            leaf = multihost_utils.process_allgather(leaf, tiled=True)
        return np.asarray(leaf)

    return jax.tree.map(whole, tree)


def from_first(call: Callable[[], Any]) -> Any:
    """Returns, on all processes, what `call` returns on the first, where alone it is called.

    Args:
      call: returns what JSON can hold. In a job all processes must come here.

    Raises:
      UserError: on all processes, where `call` raised it.
    """
    if _alone():
        return call()
    said, failure = {}, None
    if is_first():
        try:
            said = {"value": call()}
        except Exception as error:  # whatever it is, the others must not wait for it
            failure, said = error, {"error": str(error)}
    said = json.loads(_broadcast(json.dumps(said).encode()))
    if "error" in said:
        raise failure or errors.UserError(said["error"])
    return said["value"]


def same_on_all(call: Callable[[], Any]) -> None:
    """Calls on every process of a job what must come to the same, before they compute together.

    Args:
      call: returns what JSON can hold; computes on no device. In a job all processes must come here.

    Raises:
      UserError: on all processes, where `call` raised it on one, or returned something else there.
    """
    import numpy as np

    if _alone():
        return
    from jax.experimental import multihost_utils

    try:
        said = {"value": call()}
    except errors.UserError as error:
        said = {"error": str(error)}
    data = np.frombuffer(json.dumps(said, sort_keys=True).encode(), np.uint8)
    sizes = np.asarray(multihost_utils.process_allgather(np.int32(len(data))))
    padded = np.asarray(multihost_utils.process_allgather(np.pad(data, (0, int(sizes.max()) - len(data)))))
    found = [json.loads(row[:size].astype(np.uint8).tobytes())
             for row, size in zip(padded, sizes, strict=True)]
    for number, one in enumerate(found):
        if "error" in one:
            raise errors.UserError(f"process {number} of {len(found)}: {one['error']}")
        if one != found[0]:
            raise errors.UserError(
                f"process {number} of {len(found)} has {one['value']}, process 0 {found[0]['value']}, "
                "expected the same; give all hosts the same files and package.")


def _broadcast(data: bytes) -> bytes:
    """Returns the first process's bytes on all."""
    import numpy as np
    from jax.experimental import multihost_utils

    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(data))))
    buffer = np.zeros(size, np.uint8)
    if is_first():
        buffer[:] = np.frombuffer(data, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(buffer)).astype(np.uint8).tobytes()
