"""Plans: what a step of a model takes on a slice, and the smallest slice it fits.

Each compilation runs in a process of its own (`sah_jax.planning.worker`); this process starts no
devices. Nothing has run on a TPU: a plan says that the compiler accepts a step and how it lays out
memory, and bounds the time from below by what chips can do at the most.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from jax.sharding import AbstractMesh

from sah_jax import errors
from sah_jax.models import hf_config, sharding, sources
from sah_jax.planning import steps, topologies

MARGIN = 0.05
"""The part of a chip's memory that is left free: the runtime's own, and what programs leave between."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """One step, compiled for one topology; all bytes and seconds of one chip.

    Attributes:
      model: the name of the model's folder or file.
      topology, step, setting, mesh: what was compiled; see `steps`.
      refused: why the compiler did not take it; '' if it did, else what follows up to
        `peak_bytes` is 0, but for the arguments.
      too_large: whether it was refused for needing more memory than there is.
      argument_bytes: weights, what is fitted, optimizer, cache and batch.
      temporary_bytes: activations, gathered weights and what else lives during the step.
      output_bytes: results that do not take the place of arguments.
      code_bytes: the program itself.
      peak_bytes: the most at one time, as the compiler says.
      flops: of matrix products, a chip's share.
      needed_flops: without those that are computed again.
      collectives: what a chip sends, see `collectives.Collective`; None where the compiled text
        cannot be printed.
      unreadable: why it cannot.
      compile_seconds: of the clock on the wall.
      cpu_seconds: of the processor, tracing included.
      host_bytes: the most memory that the compiling process held.
    """

    model: str
    topology: str
    step: str
    setting: dict[str, Any]
    mesh: dict[str, int]
    flops: float
    needed_flops: float
    argument_bytes: int
    compile_seconds: float
    cpu_seconds: float
    host_bytes: int
    temporary_bytes: int = 0
    output_bytes: int = 0
    code_bytes: int = 0
    peak_bytes: int = 0
    collectives: list[dict[str, Any]] | None = None
    unreadable: str = ""
    refused: str = ""
    too_large: bool = False

    @property
    def chip(self) -> topologies.Chip | None:
        """What a chip can do; None for simulated devices."""
        return topologies.parse(self.topology).chip

    @property
    def total_bytes(self) -> int:
        """What has to fit a chip's memory."""
        return max(self.peak_bytes,
                   self.argument_bytes + self.temporary_bytes + self.output_bytes + self.code_bytes)

    @property
    def fits(self) -> bool | None:
        """Whether it fits with the margin; None for simulated devices and where it is not known."""
        if self.too_large:
            return False
        if self.chip is None or self.refused:
            return None
        return self.total_bytes <= budget_bytes(self.chip)

    @property
    def sent_bytes(self) -> int | None:
        """What a chip sends to others; None where it is not known."""
        return None if self.collectives is None else sum(one["sent_bytes"] for one in self.collectives)

    def bounds(self) -> dict[str, float]:
        """Returns the least seconds that products, other chips and reading the arguments once take.

        They would overlap at the best, so a step takes at least the largest. What is sent is
        left out where it is not known.
        """
        if self.chip is None or self.refused:
            return {}
        bounds = {"compute": self.flops / self.chip.flops,
                  "memory": self.argument_bytes / self.chip.hbm_bandwidth}
        if self.sent_bytes is not None:
            bounds["interconnect"] = self.sent_bytes / self.chip.ici_bandwidth
        return bounds

    @property
    def mfu_bound(self) -> float | None:
        """The most that model FLOPs utilisation can be (Chowdhery et al. 2022, PaLM, appendix B)."""
        bounds = self.bounds()
        return self.needed_flops / self.chip.flops / max(bounds.values()) if bounds else None

    def to_json(self) -> dict[str, Any]:
        """Returns all fields and what follows from them, for machines."""
        return dataclasses.asdict(self) | {
            "total_bytes": self.total_bytes, "fits": self.fits, "sent_bytes": self.sent_bytes,
            "bounds_seconds": self.bounds(), "mfu_bound": self.mfu_bound, "margin": MARGIN,
            "hbm_bytes": self.chip.hbm_bytes if self.chip else None}


def from_json(record: dict[str, Any]) -> Plan:
    """Returns the plan that `Plan.to_json` gave."""
    return Plan(**{field.name: record[field.name] for field in dataclasses.fields(Plan)})


def budget_bytes(chip: topologies.Chip) -> float:
    """Returns how much of a chip's memory a step may take."""
    return chip.hbm_bytes * (1 - MARGIN)


def find_config(model: str) -> pathlib.Path:
    """Returns the config.json of a model: a folder, the file itself, or a shipped model's name.

    Raises:
      UserError: there is no such file.
    """
    path = pathlib.Path(model)
    return path.resolve() if path.is_file() else sources.find(model, weights=False).folder / "config.json"


def model_name(config: pathlib.Path) -> str:
    """Returns the name of a config.json's folder, or of a file of another name."""
    return config.parent.name if config.name == "config.json" else config.name.partition(".")[0]


def make(
    config: pathlib.Path, topology: topologies.Topology, step: str, setting: steps.Setting,
    mesh: dict[str, int] | None = None,
) -> Plan:
    """Compiles a step in a fresh process.

    Args:
      config: path of a config.json.
      topology: what it is compiled for.
      step: one of `steps.STEPS`.
      setting: how large it is.
      mesh: sizes for `sharding.make_mesh`; what suits the step if None.

    Raises:
      UserError: the model, topology or mesh cannot be had, or the process ended early.
    """
    topologies.check_compiler(topology)
    request = {"config": str(config), "topology": topology.name, "step": step,
               "setting": dataclasses.asdict(setting), "mesh": mesh}
    # What was compiled before would take no time, and say nothing about memory.
    environment = os.environ | topology.environment | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    done = subprocess.run(
        [sys.executable, "-m", "sah_jax.planning.worker", json.dumps(request)],
        capture_output=True, text=True, check=False, env=environment)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise errors.UserError(
            f"compiling {step} for {topology.name} ended with code {done.returncode} "
            f"({(done.stderr.strip().splitlines() or ['no message'])[-1][:200]}); "
            "where it was killed, give the machine more memory.")
    result = json.loads(lines[-1])
    if "error" in result:
        raise errors.UserError(result["error"])
    share = {name: result.pop(name) / topology.chips for name in ("flops", "needed_flops")}
    return Plan(
        model=model_name(config), topology=topology.name, step=step, setting=dataclasses.asdict(setting),
        **share, **result)


def sharding_table(
    config: pathlib.Path, step: str, mesh: dict[str, int], setting: steps.Setting
) -> list[sharding.Row]:
    """Returns where each leaf of a step's arguments lives on a mesh of these sizes."""
    described = steps.describe(
        step, hf_config.read(config), AbstractMesh(tuple(mesh.values()), tuple(mesh)), setting)
    return sharding.table(steps.named_arguments(step, described))


def smallest(
    config: pathlib.Path, generation: str, step: str, setting: steps.Setting,
    make_one: Callable[..., Plan] = make, report: Callable[[str], None] = lambda line: None,
) -> Plan | None:
    """Returns the plan of the smallest slice of a generation that a step fits; None if it fits none.

    A slice is compiled only where its arguments leave room, and where the temporaries of the slice
    before it, divided by how many more chips there are, would fit: they do not shrink faster.

    Args:
      config, step, setting: see `make`.
      generation: one of `topologies.SLICES`.
      make_one: what compiles; the default is `make`.
      report: called with a line on each slice that is passed over.
    """
    spec = hf_config.read(config)
    before = None
    for topology in topologies.ascending(generation):
        try:
            sizes = steps.choose_mesh(step, spec, topology.chips, setting)
        except errors.UserError as error:
            report(f"{topology.name}: passed over, {error}")
            continue
        mesh = AbstractMesh(tuple(sizes.values()), tuple(sizes))
        least = steps.describe(step, spec, mesh, setting).argument_bytes
        if before is not None and before.temporary_bytes:
            least += before.temporary_bytes * topologies.parse(before.topology).chips // topology.chips
        if least > budget_bytes(topology.chip):
            report(f"{topology.name}: passed over, it needs at least {least / 2**30:.1f} GiB a chip")
            continue
        before = make_one(config, topology, step, setting)
        if before.fits:
            return before
        report(f"{topology.name}: {before.refused or f'needs {before.total_bytes / 2**30:.1f} GiB a chip'}")
    return None
