"""How the nano tasks share out what they generate over the splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from sah_jax.tasks.base import check_num, check_split, Example


def split_of_text(text: str) -> str:
    """Assigns a text to a split by its hash.

    Returns:
        "test" or "selection" (an eighth each) or "train".
    """
    bucket = hashlib.sha256(text.encode()).digest()[0] % 8
    return {0: "test", 1: "selection"}.get(bucket, "train")


def first_unique(
    task: str, split: str, num: int, drawn: Iterator[Example]
) -> tuple[Example, ...]:
    """Returns the first ``num`` examples whose prompts differ.

    Args:
        task: The task's name, for errors.
        split: The split that is drawn from, for errors.
        num: How many examples.
        drawn: Examples of the split without end.

    Returns:
        The examples.

    Raises:
        UserError: If the split is unknown or the number negative.
    """
    check_split(split)
    check_num(task, num)
    examples: dict[str, Example] = {}
    while len(examples) < num:
        example = next(drawn)
        examples.setdefault(example.prompt, example)
    return tuple(examples.values())
