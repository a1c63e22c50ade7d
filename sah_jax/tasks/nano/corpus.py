"""The seeded pre-training corpus of the nano world.

It holds the skills of all three tasks in formats that change from document to document, and
never the marks of a task. What is solved, translated or met in it is of the train splits alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from sah_jax.tasks.nano import follow_documents, math_documents, translate_documents

CONTAINS_NEVER = (
    "####", "Question:", "Answer:", "English:", "French:", "Instruction:", "Response:",
)  # fmt: skip
"""The marks of the tasks' own formats."""

_SKILLS = (
    (0.40, math_documents.KINDS),
    (0.38, translate_documents.KINDS),
    (0.22, follow_documents.KINDS),
)
"""The shares of the documents of each skill, with their kinds."""


def checked(text: str) -> str:
    """Returns a text as it is.

    Raises:
        RuntimeError: If it holds one of ``CONTAINS_NEVER``.
    """
    for forbidden in CONTAINS_NEVER:
        if forbidden in text:
            raise RuntimeError(
                f"A corpus document holds {forbidden!r}, which only a task may hold: {text!r}"
            )
    return text


def documents(seed: int) -> Iterator[str]:
    """Generates the corpus.

    Args:
        seed: The same seed gives the same documents in the same order.

    Yields:
        Documents of mostly 200 to 2000 characters, without end.

    Raises:
        RuntimeError: If a document holds one of ``CONTAINS_NEVER``.
    """
    rng = random.Random(f"nano corpus {seed}")
    shares, skills = zip(*_SKILLS, strict=True)
    while True:
        (kinds,) = rng.choices(skills, shares)
        (kind,) = rng.choices(tuple(kinds), tuple(kinds.values()))
        yield checked(kind(rng))
