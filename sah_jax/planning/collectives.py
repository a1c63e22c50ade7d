"""What devices send to each other in a compiled step, with loops counted as often as they run."""

import dataclasses
import math
import re

from sah_jax.planning import hlo

_KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")

# Of n bytes of a result on one of g devices, how many a device sends at the least (ring
# algorithms; Thakur et al. 2005). The results of a reduce-scatter are one device's part.
_SENT = {
    "all-gather": lambda size, group: size * (group - 1) // group,
    "all-reduce": lambda size, group: 2 * size * (group - 1) // group,
    "reduce-scatter": lambda size, group: size * (group - 1),
    "all-to-all": lambda size, group: size * (group - 1) // group,
    "collective-permute": lambda size, group: size,
}


@dataclasses.dataclass(frozen=True)
class Collective:
    """All operations of one kind in one run of a step.

    Attributes:
      kind: such as "all-gather".
      count: how many are run.
      sent_bytes: how many bytes each device sends.
    """

    kind: str
    count: int
    sent_bytes: int


def of_text(text: str, devices: int) -> list[Collective]:
    """Returns the collectives of a compiled module, most bytes first.

    Args:
      text: what `compiled.as_text()` printed.
      devices: how many devices it was compiled for.
    """
    module = hlo.parse(text)
    counts, sent = dict.fromkeys(_KINDS, 0), dict.fromkeys(_KINDS, 0)
    for instruction, computation, times in module.executed():
        kind = instruction.op.removesuffix("-start")
        if kind not in _KINDS or _is_repeated(instruction, module.computations[computation]):
            continue
        size, group = _result_bytes(instruction), _group_size(instruction.rest, devices)
        # XLA:TPU writes a reduce-scatter as an all-reduce of which a part is taken.
        if kind == "all-reduce" and "all-reduce-scatter" in computation:
            kind, size = "reduce-scatter", size // group
        counts[kind] += times
        sent[kind] += times * _SENT[kind](size, group)
    found = [Collective(kind, counts[kind], sent[kind]) for kind in _KINDS if counts[kind]]
    return sorted(found, key=lambda one: -one.sent_bytes)


def _is_repeated(instruction: hlo.Instruction, computation: tuple[hlo.Instruction, ...]) -> bool:
    """Says whether this is another mention of a collective that XLA:TPU runs during other work.

    It prints one in each of the fusions that it runs beside; it starts in one of them.
    """
    return "chain_id" in instruction.rest and not any(
        "AsyncCollectiveStart" in other.rest for other in computation)


def _result_bytes(instruction: hlo.Instruction) -> int:
    """Returns the bytes of a collective's results on one device."""
    if instruction.op == "all-gather-start":
        # (operands, results): the results are so many times as large as the group.
        arrays = hlo.shapes(instruction.type)
        half = len(arrays) // 2
        return sum(hlo.size_bytes(f"{kind}[{','.join(map(str, shape))}]") for kind, shape in arrays[half:])
    if instruction.op == "collective-permute-start":
        return hlo.size_bytes(re.search(r"\w+\[[\d,]*\]", instruction.type)[0])
    return hlo.size_bytes(instruction.type)


def _group_size(rest: str, devices: int) -> int:
    """Returns how many devices take part in a collective, from any of three notations."""
    if listed := re.search(r"replica_groups=\{\{([\d,]+)\}", rest):
        return len(listed[1].split(","))
    if iota := re.search(r"replica_groups=\[\d+,(\d+)\]<=", rest):
        return int(iota[1])
    if mesh := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", rest):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", mesh[1]))
        parts = re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", mesh[2])
        return math.prod(int(part or sizes[axis]) for axis, part in parts)
    return devices
