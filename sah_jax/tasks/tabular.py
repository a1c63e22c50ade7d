"""Tasks whose items are rows of stored data sets: splits, order, and lazy reading.

The test split is the data set's own. Training and selection items share a source and are told
apart by a hash of what an item is about, one in `_SELECTION_SHARE` being held out for selection:
items about the same thing (a question and its paraphrase) are on one side, and the side of an
item hangs on nothing else.

Rows are read when they are asked for, in the order of a seed, and none are kept. Seed 0 takes the
test split in the order of its file, as benchmarks are published and the reference's batches are.
"""

from __future__ import annotations

import abc
import hashlib
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sah_jax.errors import UserError
from sah_jax.tasks import datasets, options
from sah_jax.tasks.base import check_num, check_split, cut_at_stop, digest_of, Example, source_of
from sah_jax.tasks.scores import Score

_SELECTION_SHARE = 16

USERS = "sah_task_"
"""Begins the names of modules that are files of the user's."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TabularTask(abc.ABC):
    """A task over rows. What a subclass adds is its rows, its template and its metric.

    Attributes:
        kind: The task's name without options.
    """

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """See ``Task.name``."""
        return options.spell(self)

    @abc.abstractmethod
    def rows(self, split: str) -> Sequence[Row]:
        """Returns the rows of the training source (``split`` is "train") or of the test split."""

    @abc.abstractmethod
    def example(self, row: Row, split: str) -> Example | None:
        """Returns the example that a row makes, or None if it makes none."""

    @abc.abstractmethod
    def score(self, examples: Sequence[Example], responses: Sequence[str]) -> Score:
        """See ``Task.score``."""

    def about(self, row: Row) -> str:
        """Returns what a training row is about: rows about the same are on one side."""
        return str(row)

    def examples(self, split: str, num: int, seed: int = 0) -> tuple[Example, ...]:
        """See ``Task.examples``."""
        check_split(split)
        check_num(self.name, num)
        found: list[Example] = []
        if num:
            for example in self._in_order(split, seed):
                found.append(example)
                if len(found) == num:
                    break
        if len(found) < num:
            raise UserError(
                f"Got {num} examples of {self.name}'s {split} split, which has {len(found)}; "
                "ask for fewer, or choose another source."
            )
        return tuple(found)

    def test_size(self) -> int:
        """See ``Task.test_size``."""
        return sum(1 for _ in self._in_order("test", 0))

    def data(self, splits: Iterable[str]) -> dict[str, str]:
        """See ``Task.data``: the rows of each source, and a file of the user's that the task is from."""
        found = {}
        for source in sorted(set(map(source_of, splits))):
            rows = self.rows(source)
            known = hasattr(rows, "digest")
            found[rows.name if known else source] = rows.digest if known else digest_of(rows)
        module = sys.modules[type(self).__module__]
        if module.__name__.startswith(USERS):
            path = pathlib.Path(module.__file__)
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def extract(self, response: str) -> str:
        """See ``Task.extract``: by default what stands before a stop string."""
        return cut_at_stop(response, self.stop).strip()

    def _in_order(self, split: str, seed: int) -> Iterator[Example]:
        rows = self.rows(source_of(split))
        for row in rows if (split, seed) == ("test", 0) else datasets.shuffled(rows, seed):
            if split == "test" or split == self._side(row):
                example = self.example(row, split)
                if example is not None:
                    yield example

    def _side(self, row: Row) -> str:
        digest = hashlib.sha256(self.about(row).encode()).digest()
        return "train" if digest[0] % _SELECTION_SHARE else "selection"
