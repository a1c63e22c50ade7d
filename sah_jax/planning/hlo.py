"""The text of a compiled module: its computations, and how often each instruction runs.

XLA prints a module as computations of one instruction a line. A loop runs its body as often as
its annotation says, or as its condition compares its counter with.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_HEAD = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*-> .*\{$")
_LINE = re.compile(r"^\s+(?:ROOT )?%([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\((.*)$")
_CALLED = re.compile(r"\b(?:calls|to_apply|body|async_computation)=%([\w.-]+)")
_BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}|\b(?:true|false)_computation=%([\w.-]+)")
_SHAPE = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: without the percent sign.
      type: of its result, as printed.
      op: such as "all-gather".
      rest: operands and attributes, as printed.
    """

    name: str
    type: str
    op: str
    rest: str

    @property
    def operands(self) -> list[str]:
        """The names of what it is applied to."""
        return re.findall(r"%([\w.-]+)", self.rest.split(")")[0])

    def called(self) -> list[str]:
        """Returns the computations it runs once each time."""
        branches = [name for match in _BRANCHES.finditer(self.rest)
                    for name in re.findall(r"[\w.-]+", "".join(filter(None, match.groups())))]
        return _CALLED.findall(self.rest) + branches


@dataclasses.dataclass(frozen=True)
class Module:
    """The computations of a module by name, and which one is run."""

    computations: dict[str, tuple[Instruction, ...]]
    entry: str

    def executed(self) -> Iterator[tuple[Instruction, str, int]]:
        """Yields each instruction with its computation and how often it runs, where it runs at all."""
        times = {}
        pending = [(self.entry, 1)]
        while pending:
            name, number = pending.pop()
            times[name] = times.get(name, 0) + number
            for instruction in self.computations[name]:
                inner = number * (self._trips(instruction) if instruction.op == "while" else 1)
                pending += [(called, inner) for called in instruction.called()
                            if called in self.computations]
        for name, number in times.items():
            for instruction in self.computations[name]:
                yield instruction, name, number

    def _trips(self, loop: Instruction) -> int:
        """Returns how often a loop runs; 1 where the text does not say."""
        if known := re.search(r'known_trip_count\D*(\d+)', loop.rest):
            return int(known[1])
        condition = re.search(r"condition=%([\w.-]+)", loop.rest)
        body = re.search(r"body=%([\w.-]+)", loop.rest)
        if not condition or not body:
            return 1
        compared = [i for i in self.computations[condition[1]] if i.op == "compare"]
        if len(compared) != 1 or "direction=LT" not in compared[0].rest:
            return 1
        by_name = {i.name: i for i in self.computations[condition[1]]}
        counter, limit = (by_name.get(name) for name in compared[0].operands)
        if not limit or limit.op != "constant" or not counter or counter.op != "get-tuple-element":
            return 1
        index = int(re.search(r"index=(\d+)", counter.rest)[1])
        return -(-_constant(limit) // self._step(body[1], index))

    def _step(self, body: str, index: int) -> int:
        """Returns what a loop's body adds to its counter; XLA may have unrolled it."""
        by_name = {i.name: i for i in self.computations[body]}
        root = by_name.get(self.computations[body][-1].operands[index])
        if root is not None and root.op == "fusion":
            inner = self.computations[root.called()[0]]
            by_name, root = {i.name: i for i in inner}, inner[-1]
        if root is None or root.op != "add":
            return 1
        added = [by_name[name] for name in root.operands if name in by_name]
        constants = [_constant(i) for i in added if i.op == "constant"]
        return constants[0] if constants and constants[0] > 0 else 1


def parse(text: str) -> Module:
    """Returns the module that `compiled.as_text()` printed."""
    computations, entry, name, lines = {}, "", None, []
    for line in text.splitlines():
        if head := _HEAD.match(line):
            name, lines = head[2], []
            entry = name if head[1] else entry
        elif line.startswith("}") and name is not None:
            computations[name], name = tuple(lines), None
        elif name is not None and (found := _LINE.match(line)):
            lines.append(Instruction(*found.groups()))
    return Module(computations, entry)


def shapes(type_: str) -> list[tuple[str, tuple[int, ...]]]:
    """Returns element type and shape of each array in a printed type."""
    return [(kind, tuple(int(size) for size in sizes.split(",") if size))
            for kind, sizes in _SHAPE.findall(type_)]


def size_bytes(type_: str) -> int:
    """Returns the bytes of a printed type, all arrays of a tuple together."""
    return sum(math.prod(shape) * _bits(kind) // 8 for kind, shape in shapes(type_))


@functools.cache
def _bits(kind: str) -> int:
    return 8 if kind == "pred" else int(re.search(r"\d+", kind)[0])


def _constant(instruction: Instruction) -> int:
    found = re.match(r"-?\d+", instruction.rest)
    return int(found[0]) if found else 1
