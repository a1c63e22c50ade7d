"""How the nano tasks generate examples, and share them out over the splits."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Iterable

from sah_jax.tasks.base import check_num, check_split, digest_of, Example

# Examples by which another generator of the same name is told apart.
_TELLING = 32


def split_of_text(text: str) -> str:
    """Assigns a text to a split by its hash.

    Returns:
        "test" or "selection" (an eighth each) or "train".
    """
    bucket = hashlib.sha256(text.encode()).digest()[0] % 8
    return {0: "test", 1: "selection"}.get(bucket, "train")


class GeneratedTask:
    """What tasks have in common whose examples are drawn without end.

    Attributes:
        name: See ``Task.name``.
    """

    name: str

    def draw(self, rng: random.Random, split: str) -> Example | None:
        """Draws an example; None where what was drawn belongs to another split."""
        raise NotImplementedError

    def examples(self, split: str, num: int, seed: int = 0) -> tuple[Example, ...]:
        """Returns the first ``num`` examples of a split whose prompts differ; see ``Task.examples``."""
        check_split(split)
        check_num(self.name, num)
        rng = random.Random(f"{self.name} {split} {seed}")
        found: dict[str, Example] = {}
        while len(found) < num:
            example = self.draw(rng, split)
            if example is not None:
                found.setdefault(example.prompt, example)
        return tuple(found.values())

    def data(self, splits: Iterable[str]) -> dict[str, str]:
        """See ``Task.data``: the first examples that are generated."""
        return {
            f"generated {split}": digest_of(map(dataclasses.astuple, self.examples(split, _TELLING)))
            for split in sorted(set(splits))}

    def test_size(self) -> None:
        """See ``Task.test_size``."""
