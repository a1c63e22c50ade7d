"""Compiles one step in a process of its own, so that its memory and time can be measured.

`python -m sah_jax.planning.worker REQUEST` prints one line of JSON: a dictionary with "error", or
what `compile_step` returns. See `sah_jax.planning.plan`, which starts it.
"""

import dataclasses
import json
import pathlib
import re
import sys
import time
from typing import Any

import jax

from sah_jax import errors
from sah_jax.models import hf_config, sharding
from sah_jax.planning import collectives, steps, topologies

# How the compiler says that a program needs more memory than a chip has.
_TOO_LARGE = re.compile(r"RESOURCE_EXHAUSTED|[Ee]xceeded hbm capacity|out of memory", re.IGNORECASE)


def compile_step(request: dict[str, Any]) -> dict[str, Any]:
    """Compiles a step and returns what there is to know of it.

    Args:
      request: `config` (path of a config.json), `topology`, `step`, `setting` (of `steps.Setting`)
        and `mesh` (its sizes, or None for the one that suits).

    Returns:
      A dictionary of `mesh`, `flops` and `needed_flops` (over all devices), `argument_bytes`, and of
      either `refused` (why the compiler did not take it, and `too_large`, whether that was
      for memory) or the rest of the fields of `plan.Plan` that are measured.

    Raises:
      UserError: the config, the topology or the mesh is not one that can be had.
    """
    spec = hf_config.read(pathlib.Path(request["config"]))
    topology, setting = topologies.parse(request["topology"]), steps.Setting(**request["setting"])
    devices = topologies.devices(topology)
    sizes = request["mesh"] or steps.choose_mesh(request["step"], spec, topology.chips, setting)
    mesh = sharding.make_mesh(**sizes, devices=devices)
    described = steps.describe(request["step"], spec, mesh, setting)
    traced = steps.trace(request["step"], described)
    result = {"mesh": dict(mesh.shape), "flops": traced.flops, "needed_flops": traced.needed_flops,
              "argument_bytes": described.argument_bytes}
    began = time.perf_counter()
    lowered = traced.traced.lower(lowering_platforms=("cpu" if topology.chip is None else "tpu",))
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        result |= {"refused": _sentence(error), "too_large": bool(_TOO_LARGE.search(str(error)))}
    else:
        result |= _memory(compiled.memory_analysis()) | _collectives(compiled, topology.chips)
    return result | {
        "compile_seconds": time.perf_counter() - began, "cpu_seconds": time.process_time(),
        "host_bytes": _peak_bytes()}


def _peak_bytes() -> int:
    """Returns the most memory that this process held; `ru_maxrss` would begin with its parent's."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def _memory(stats: Any) -> dict[str, int]:
    return {
        "argument_bytes": stats.argument_size_in_bytes,
        "temporary_bytes": stats.temp_size_in_bytes,
        # What the donated arguments do not make room for.
        "output_bytes": stats.output_size_in_bytes - stats.alias_size_in_bytes,
        "code_bytes": stats.generated_code_size_in_bytes,
        "peak_bytes": stats.peak_memory_in_bytes,
    }


def _collectives(compiled: Any, devices: int) -> dict[str, Any]:
    try:
        text = compiled.as_text()
    except jax.errors.JaxRuntimeError as error:
        return {"collectives": None, "unreadable": _sentence(error)}
    found = collectives.of_text(text, devices)
    return {"collectives": [dataclasses.asdict(one) for one in found], "unreadable": ""}


def _sentence(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300]


def main(arguments: list[str]) -> None:
    """Reads the request and prints the result."""
    try:
        result = compile_step(json.loads(arguments[0]))
    except errors.UserError as error:
        result = {"error": str(error)}
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
