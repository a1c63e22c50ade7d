"""Slices of TPUs by name, what their chips can do, and devices that describe them.

A name is a generation and the shape of a slice, such as `v5e:4x4`; `cpu:8` is eight simulated
devices of this machine, for which there are no facts. Importing this module does not start JAX.
"""

import dataclasses
import importlib.util
import math
import re

from sah_jax import errors


@dataclasses.dataclass(frozen=True)
class Chip:
    """What one chip can do, as its maker documents it.

    Attributes:
      hbm_bytes: high-bandwidth memory.
      flops: bfloat16 floating-point operations a second, at most.
      hbm_bandwidth: bytes a second.
      ici_bandwidth: bytes a second in one direction, over all links to other chips together.
      link: where the numbers are documented.
    """

    hbm_bytes: int
    flops: float
    hbm_bandwidth: float
    ici_bandwidth: float
    link: str


# A page gives HBM in "GB" or "GiB" by its age; the smaller is taken. ICI is given as 1600, 4800
# and 3200 Gbit/s, or as twice that for both directions together.
CHIPS = {
    "v5e": Chip(16 * 10**9, 197e12, 819e9, 200e9, "https://docs.cloud.google.com/tpu/docs/v5e"),
    "v5p": Chip(95 * 10**9, 459e12, 2765e9, 600e9, "https://docs.cloud.google.com/tpu/docs/v5p"),
    "v6e": Chip(32 * 10**9, 918e12, 1600e9, 400e9, "https://docs.cloud.google.com/tpu/docs/v6e"),
}

_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
SLICES = {
    "v5e": _FLAT,
    "v5p": ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8"),
    "v6e": _FLAT,
}
"""The slices of each generation, smallest first, that one can have and that libtpu describes."""

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
"""What a process that plans needs before it imports JAX.

libtpu would otherwise ask a TPU's metadata server, and refuse to load beside another process.
"""


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice of TPUs, or simulated devices.

    Attributes:
      name: such as "v5e:4x4" or "cpu:8".
      chips: how many; each is one device.
      chip: what one can do; None for simulated devices.
    """

    name: str
    chips: int
    chip: Chip | None

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a process needs to describe these devices."""
        return ENVIRONMENT | ({} if self.chip else {"JAX_NUM_CPU_DEVICES": str(self.chips)})


def parse(name: str) -> Topology:
    """Returns the topology of a name.

    Raises:
      UserError: there is none of that name.
    """
    generation, _, shape = name.partition(":")
    if generation == "cpu" and re.fullmatch(r"[1-9]\d{0,3}", shape):
        return Topology(name, int(shape), None)
    if generation not in SLICES:
        raise errors.UserError(
            f"the topology is {name!r}, expected GENERATION:SHAPE with a generation of "
            f"{', '.join(SLICES)}; take one such as v5e:4x4.")
    if shape not in SLICES[generation]:
        raise errors.UserError(
            f"the topology is {name!r}, expected one of "
            f"{', '.join(f'{generation}:{known}' for known in SLICES[generation])}; take one of these.")
    return Topology(name, math.prod(map(int, shape.split("x"))), CHIPS[generation])


def ascending(generation: str) -> list[Topology]:
    """Returns the slices of a generation, smallest first.

    Raises:
      UserError: there is no such generation.
    """
    if generation not in SLICES:
        raise errors.UserError(
            f"the generation is {generation!r}, expected one of {', '.join(SLICES)}; take one of these.")
    return [parse(f"{generation}:{shape}") for shape in SLICES[generation]]


def check_compiler(topology: Topology) -> None:
    """Checks that this Python can compile for a topology.

    Raises:
      UserError: libtpu, the compiler for TPUs, is not installed.
    """
    if topology.chip is not None and importlib.util.find_spec("libtpu") is None:
        raise errors.UserError(
            f"{topology.name}: libtpu, which compiles for TPUs (also on a machine without one), is not "
            "installed; run pip install '.[tpu]' in this package's repository, or simulate devices with "
            "--device-count.")


def devices(topology: Topology) -> list:
    """Returns the topology's devices, described or simulated; starts JAX.

    Raises:
      UserError: libtpu is missing or refuses the name, or JAX started with other devices.
    """
    check_compiler(topology)
    import jax
    from jax.experimental import topologies

    if topology.chip is None:
        found = jax.devices("cpu")
        if len(found) < topology.chips:
            raise errors.UserError(
                f"{topology.name}: JAX has {len(found)} CPU devices; set JAX_NUM_CPU_DEVICES="
                f"{topology.chips} before it starts.")
        return found[: topology.chips]
    try:
        described = topologies.get_topology_desc(platform="tpu", topology_name=topology.name)
    except RuntimeError as error:
        raise errors.UserError(
            f"{topology.name}: libtpu cannot describe it ({str(error).splitlines()[0]}); install the "
            "pinned version with pip install '.[tpu]'.") from error
    return list(described.devices)
