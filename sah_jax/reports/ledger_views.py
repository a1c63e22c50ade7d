"""The views of a program's ledger as a page draws them: shaded text, columns and tables."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sah_jax.reports import shading, style
from sah_jax.reports.parts import Part

PAGE_PARTS = 20_000
"""So many parts are drawn on a page, which takes some megabytes; phones give up soon after."""

# More parts than this are drawn as columns, with the table folded away.
_MOST_OPEN_PARTS = 16
# A longer text is folded away.
_MOST_OPEN_TOKENS = 500

_PLACE = re.compile(r"^(?:(?P<owner>.*?),? )?(?P<axis>layer|example|token) \d+$", re.DOTALL)


def select(views: Mapping[int, Mapping[str, Sequence[Part]]]) -> dict[int, set[str]]:
    """Returns the views that fit a page: by program, in the programs' order, until it is full."""
    left, chosen = PAGE_PARTS, {}
    for program, parts_by in views.items():
        chosen[program] = set()
        for by, parts in parts_by.items():
            if len(parts) <= left:
                left -= len(parts)
                chosen[program].add(by)
    return chosen


def draw(
    views: Mapping[str, Sequence[Part]], chosen: set[str], colors: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Returns the views for the template.

    Args:
      views: parts by view.
      chosen: those to draw; of the others the page says that they are left out.
      colors: the colours of fields in the ledger, which their tensors take too.
    """
    drawn = []
    for by, parts in views.items():
        if not parts:
            continue
        if by not in chosen:
            drawn.append({"by": by, "kind": "left out"})
        elif any(part.text is not None for part in parts):
            drawn.append({"by": by, "kind": "text"} | _text(parts))
        else:
            drawn.append({"by": by, "kind": "bars"} | _bars(parts, colors))
    return drawn


def _text(parts: Sequence[Part]) -> dict[str, Any]:
    """Turns tokens into texts, and the parts that are no tokens into a list."""
    owners: dict[str, list[Part]] = {}
    for part in parts:
        if part.text is not None:
            # "example 3 token 7" and "prompt, token 7"; the coder's order runs across examples.
            match = _PLACE.match(part.name)
            owners.setdefault(match["owner"] or "text" if match else part.name, []).append(part)
    texts = []
    for owner, tokens in owners.items():
        spans = [
            shading.shade(part.text, part.token_id, part.bits,
                          f"{part.bits} bits, ideally {part.ideal_bits:.2f}", last=part is tokens[-1])
            for part in tokens]
        texts.append({"name": owner, "bits": sum(part.bits for part in tokens), "spans": spans})
    rest = [part for part in parts if part.text is None]
    tokens = sum(len(text["spans"]) for text in texts)
    return {
        "texts": texts, "rest": rest, "tokens": tokens, "open": tokens <= _MOST_OPEN_TOKENS,
        "text_bits": sum(text["bits"] for text in texts), "rest_bits": sum(part.bits for part in rest)}


def _bars(parts: Sequence[Part], colors: Mapping[str, str]) -> dict[str, Any]:
    """Gives each part its share, its height beside the largest, and its colour."""
    total, largest = sum(part.bits for part in parts), max(parts, key=lambda part: part.bits)
    bars = [{
        "name": part.name, "bits": part.bits, "ideal_bits": part.ideal_bits,
        "share": part.bits / max(total, 1), "height": part.bits / max(largest.bits, 1),
        "color": _color(part.name, colors)} for part in parts]
    return {"bars": bars, "largest": largest, "columns": len(parts) > _MOST_OPEN_PARTS}


def _color(name: str, colors: Mapping[str, str]) -> str:
    match = _PLACE.match(name)
    if match is None:
        return style.REST_COLOR
    return colors.get(match["owner"] or "", style.FIELD_COLORS[0])
