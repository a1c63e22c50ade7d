"""Constraints on a text that a program can verify, in the shape of IFEval (Zhou et al. 2023).

A constraint is a kind and a value. It can be checked on any text; how it is put into words
is for whoever asks (`briefs`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

_SENTENCE_END = re.compile(r"[.!?]+(?=[\s\"]|$)")
_BULLET = re.compile(r"^\* \S", re.MULTILINE)
_WORD = re.compile(r"\w+(?:'\w+)?")


class Constraint(NamedTuple):
    """One verifiable demand.

    Attributes:
        kind: One of `KINDS`.
        value: What is demanded: a count, a word or a phrase, as text; "" where the kind says all.
    """

    kind: str
    value: str = ""

    def holds(self, response: str) -> bool:
        """Tells whether a response satisfies it; an empty one satisfies nothing, as in IFEval."""
        text = response.strip()
        return bool(text) and _CHECKS[self.kind](text, self.value)


def words_of(text: str) -> list[str]:
    """Returns the words of a text in lower case."""
    return _WORD.findall(text.lower())


def num_sentences(text: str) -> int:
    """Returns the number of runs of ".", "!" and "?" that end a word."""
    return len(_SENTENCE_END.findall(text))


def _starts(text: str, value: str) -> bool:
    return words_of(text)[: len(words_of(value))] == words_of(value)


def _ends(text: str, value: str) -> bool:
    return text.rstrip('"').rstrip().lower().endswith(value.lower())


def _is_quoted(text: str, value: str) -> bool:
    return len(text) > 2 and text[0] == text[-1] == '"'


_CHECKS: dict[str, Callable[[str, str], bool]] = {
    "upper": lambda text, value: text.isupper(),
    "lower": lambda text, value: text.islower(),
    "sentences": lambda text, value: num_sentences(text) == int(value),
    "bullets": lambda text, value: len(_BULLET.findall(text)) == int(value),
    "least_words": lambda text, value: len(words_of(text)) >= int(value),
    "most_words": lambda text, value: len(words_of(text)) <= int(value),
    "start": _starts,
    "end": _ends,
    "quote": _is_quoted,
    "use": lambda text, value: value.lower() in words_of(text),
    "avoid": lambda text, value: value.lower() not in words_of(text),
}

KINDS = tuple(_CHECKS)
"""All kinds: case, counts, start and end, quotation marks, wanted and forbidden words."""


def loose_variants(response: str) -> tuple[str, ...]:
    """Returns a response without its first or last line or both, each also without asterisks.

    These are the eight readings of IFEval's loose scoring, which forgives an introduction,
    a farewell and emphasis.
    """
    lines = response.split("\n")
    cut = ("\n".join(part) for part in (lines, lines[1:], lines[:-1], lines[1:-1]))
    texts = [text.strip() for text in cut]
    return (*texts, *(text.replace("*", "") for text in texts))


def holds_strictly(constraint: Constraint, response: str) -> bool:
    """Tells whether the response as it is satisfies a constraint."""
    return constraint.holds(response)


def holds_loosely(constraint: Constraint, response: str) -> bool:
    """Tells whether any of the loose readings of a response satisfies a constraint."""
    return any(constraint.holds(text) for text in loose_variants(response))


def to_text(constraints: Iterable[Constraint]) -> str:
    """Writes constraints as JSON, in the order given."""
    return json.dumps([list(constraint) for constraint in constraints])


def from_text(text: str) -> tuple[Constraint, ...]:
    """Reads what `to_text` wrote."""
    return tuple(Constraint(*pair) for pair in json.loads(text))
