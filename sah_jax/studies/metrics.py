"""Metrics of a study, told to whatever shows them to people while it runs.

Nothing of the package reads them again: what a study comes to is in its rows. Where they cannot be told
further, that is said once, and the study goes on without.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from sah_jax.studies import grid
from sah_jax.studies import rows as rows_lib

FINAL = (
    "bits", "ideal_bits", "script_bits", "reference_bits", "performance", "performance_stderr",
    "selection_performance", "selection_stderr", "wall_time_s", "train_flops", "decode_flops", "query_flops")
"""What is told of a row, by the names that it has there."""

_MOST_BYTES = 240  # of a title; file systems take 255 of a folder's name


@dataclasses.dataclass(frozen=True)
class Run:
    """The making of a point, as people look for it among others.

    Attributes:
      model: the base model's name.
      point: the point.
      name: its name, that of its folder in the study.
    """

    model: str
    point: grid.Point
    name: str

    @property
    def config(self) -> dict[str, Any]:
        """What was set."""
        return {"model": self.model, "task": self.point.task, "family": self.point.family,
                "setting": self.point.setting, "seed": self.point.seed, "point": self.name}

    @property
    def flat_config(self) -> dict[str, Any]:
        """What was set, without dictionaries: setting.rank, setting.icl.num_examples."""
        return _flat(self.config)

    @property
    def title(self) -> str:
        """The point's name with setting and seed in it: of a folder, and no other point's."""
        head, _, digest = self.name.rpartition(".")
        told = ",".join(f"{key}={value}" for key, value in _flat(self.point.setting).items())
        told = re.sub(r"[^\w.,=+-]+", "-", told, flags=re.ASCII)
        tail = f"seed{self.point.seed}.{digest}"
        told = told[: max(_MOST_BYTES - len(f"{head}..{tail}".encode()), 0)]
        return ".".join(part for part in (head, told, tail) if part)


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        inner = {f"{key}.{name}": one for name, one in _flat(value).items()} if isinstance(
            value, dict) else {key: value}
        found |= inner
    return found


class Writer(Protocol):
    """What shows metrics. Whatever a method raises, it is not called again.

    Attributes:
      name: what people call it.
    """

    name: str

    def losses(self, run: Run, before: int, losses: np.ndarray) -> None:
        """Takes the losses [steps] after so many steps, see `training.metrics.Report`."""

    def final(self, run: Run, values: dict[str, float]) -> None:
        """Takes what a point came to, once it is made."""

    def failed(self, run: Run, why: str) -> None:
        """Takes why there is no program."""

    def close(self) -> None:
        """Waits until everything is where it goes."""


class Metrics:
    """Tells writers what a study does. A context manager that closes them, unless it is interrupted.

    Args:
      writers: who is told.
      say: called with a line where one breaks down, and is not told any more.
    """

    def __init__(self, writers: Sequence[Writer] = (), say: Callable[[str], None] = lambda line: None):
        self._writers, self._say = list(writers), say

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        # Whoever presses Ctrl-C does not want to wait for a network.
        if kind is None or issubclass(kind, Exception):
            self._tell("close")

    def losses(self, run: Run, before: int, losses: np.ndarray) -> None:
        """Tells the losses [steps] after so many steps, see `training.metrics.Report`."""
        self._tell("losses", run, before, losses)

    def final(self, run: Run, row: rows_lib.Row) -> None:
        """Tells what a point came to, once it is made."""
        self._tell("final", run, {name: getattr(row, name) for name in FINAL})

    def failed(self, run: Run, why: str) -> None:
        """Tells why there is no program."""
        self._tell("failed", run, why)

    def _tell(self, what: str, *arguments: Any) -> None:
        for writer in tuple(self._writers):
            try:
                getattr(writer, what)(*arguments)
            except Exception as error:  # whatever it is, a study must not end of it
                self._writers.remove(writer)
                reason = " ".join(str(error).split()) or type(error).__name__
                self._say(f"{writer.name} gets no metrics from here on ({reason}); the study goes on.")
