"""Text shaded by what each token costs: the scale, and text that hides nothing.

The scale is the same on every page, so that two pages can be compared at a glance.
"""

import bisect
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

SCALE = (0.5, 1, 2, 4, 6, 8, 12, 16)
"""Bits at which the next colour begins."""

# From pale to dark, so that the order survives grey printing and colour blindness, with the
# ink that is read on each.
COLORS = (
    ("#f1f4f6", "#263238"), ("#fff6d6", "#263238"), ("#ffe9a3", "#263238"), ("#ffd56b", "#263238"),
    ("#ffb84d", "#263238"), ("#fb9144", "#263238"), ("#f0724a", "#000000"), ("#c2303f", "#ffffff"),
    ("#7f1149", "#ffffff"))

LABELS = ("under ½", "½ to 1", "1 to 2", "2 to 4", "4 to 6", "6 to 8", "8 to 12", "12 to 16", "16 or more")
"""The levels in words, in bits."""


class Shade(NamedTuple):
    """A token as a page shows it: its text, its level on the scale, and what is said about it."""

    text: str
    level: int
    title: str


def level(bits: float) -> int:
    """Returns where on the scale a cost is, an index of `COLORS`."""
    return bisect.bisect_right(SCALE, bits)


def shade(text: str, token_id: int | None, bits: float, said: str, last: bool) -> Shade:
    """Returns a token for a page.

    Args:
      text: what it spells; tokens that spell nothing are ends, if last, else shown by id.
      token_id: which it is.
      bits: what it costs.
      said: about its cost, after its text.
      last: whether it is the last of its text.
    """
    if text:
        return Shade(visible(text), level(bits), f"{text!r}: {said}")
    label = "‹end›" if last else f"‹{token_id}›"
    return Shade(label, level(bits), f"{label} {said}")


def visible(text: str) -> str:
    """Returns a text with a sign for everything that would not be seen or would move its neighbours."""
    if text and not text.strip(" "):
        return "·" * len(text)
    shown = "".join(map(_visible_character, text))
    # An accent would sit on the token before.
    return f"◌{shown}" if unicodedata.category(shown[:1] or " ").startswith("M") else shown


def _visible_character(character: str) -> str:
    if character == " ":
        return character
    if character == "\n":
        return "↵\n"
    if character == "\t":
        return "⇥"
    # Other separators, controls, formats (such as a change of direction), surrogates and the like.
    if unicodedata.category(character)[0] in "CZ":
        return f"‹U+{ord(character):04X}›"
    return character


def start(text: str, characters: int = 60) -> str:
    """Returns the start of a text on one line."""
    cut = text if len(text) <= characters else f"{text[: characters - 1]}…"
    return visible(cut).replace("↵\n", "↵")


class Spread(NamedTuple):
    """The tokens of one level: how many, and what they cost together."""

    label: str
    tokens: int
    bits: float


def spread(costs: Iterable[float]) -> Sequence[Spread]:
    """Returns how tokens and their bits are spread over the scale."""
    tokens, bits = [0] * len(LABELS), [0.0] * len(LABELS)
    for cost in costs:
        index = level(cost)
        tokens[index] += 1
        bits[index] += cost
    return list(map(Spread, LABELS, tokens, bits))
