"""How the nano tasks generate examples, and share them out over the splits."""

from __future__ import annotations

import hashlib
import random

from sah_jax.tasks.base import check_num, check_split, Example


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

    def test_size(self) -> None:
        """See ``Task.test_size``."""
