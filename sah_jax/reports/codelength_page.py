"""The page that shows where the bits of texts go: each token shaded by what it costs."""

import heapq
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from sah_jax.reports import pages, shading
from sah_jax.studies.codelength import Codelength, TextCosts

PAGE_TEXTS = 50
"""The texts that are shown in full; a reader who wants more looks one up in tokens.csv."""
PAGE_TOKENS = 20_000
"""The tokens that are shown in all, which take some megabytes; phones give up soon after."""
TABLE_TEXTS = 1000
"""The texts in the table of totals."""
DEAR_TOKENS = 30
"""The most expensive tokens that are listed."""

# A longer text is folded away.
_MOST_OPEN_TOKENS = 1500
# Before an expensive token so much of its text is shown.
_CONTEXT_TOKENS = 8
_CONTEXT_CHARACTERS = 40


def render(
    codelength: Codelength, numbers: Mapping[str, Any], totals: Sequence[Mapping[str, Any]],
    measures: Mapping[str, str], units: Sequence[str], overheads: Mapping[str, str],
) -> str:
    """Returns the page, which holds its style and script itself.

    Args:
      codelength: the texts.
      numbers, totals: as `codelength.summary` and `codelength.totals` return them.
      measures: the keys of lengths in `numbers`, with their names.
      units: the keys of means in `numbers`.
      overheads: the keys of the overheads in `numbers`, in words.
    """
    shown = _shown(codelength.texts)
    costs = itertools.chain.from_iterable(text.quantised_bits.tolist() for text in codelength.texts)
    return pages.render(
        "codelength.html.j2", numbers=numbers, measures=measures, units=units, overheads=overheads,
        remarks=remarks(codelength), doubtful=numbers["verified"] is False or codelength.inexact,
        spread=shading.spread(costs), shown=shown, dear=_dear(codelength.texts, len(shown)),
        totals=[{**total, "start": shading.start(codelength.texts[index].text), "shown": index < len(shown)}
                for index, total in enumerate(totals[:TABLE_TEXTS])])


def remarks(codelength: Codelength) -> list[str]:
    """Says whether the texts were coded for real, and whether they come back."""
    said = ["No file was made, so the lengths are computed ones."]
    if codelength.emitted is not None:
        verdict = codelength.emitted.verdict
        said = ["Whether the file decodes was not tried."]
        if verdict is not None:
            said = ["A fresh process got the same tokens back from the file." if verdict.verified else
                    f"A fresh process did NOT get the same tokens back from the file: {verdict.reason}."]
        said.append("The bits of the file: " + ", ".join(
            f"{entry.field} {entry.bits:,}" for entry in codelength.emitted.fields) + ".")
    if codelength.inexact:
        said.append(
            f"The tokenizer does not give {codelength.inexact} of {len(codelength.texts)} texts back "
            "byte for byte, so their tokens hold less than the texts do.")
    return said


def _shown(texts: Sequence[TextCosts]) -> list[dict[str, Any]]:
    """Returns the first texts, as many as a page holds; the last of them may be cut."""
    shown, left = [], PAGE_TOKENS
    for number, text in enumerate(texts[:PAGE_TEXTS], start=1):
        if not left and text.token_ids:
            break
        spans = list(itertools.islice(_spans(text), left))
        left -= len(spans)
        shown.append({
            "number": number, "name": text.name, "spans": spans, "tokens": len(text.token_ids),
            "open": len(spans) <= _MOST_OPEN_TOKENS})
    return shown


def _spans(text: TextCosts):
    """Yields the tokens of a text for the page."""
    last, total = len(text.token_ids) - 1, 0.0
    costs = zip(text.quantised_bits.tolist(), text.ideal_bits.tolist(), strict=True)
    for index, (quantised, ideal) in enumerate(costs):
        total += quantised
        yield shading.shade(
            text.pieces[index], text.token_ids[index], quantised,
            f"{quantised:.2f} bits, ideally {ideal:.2f}; {total:,.1f} so far", last=index == last)


def _dear(texts: Sequence[TextCosts], num_shown: int) -> list[dict[str, Any]]:
    """Returns the most expensive tokens with what stands before them."""
    costs = ((cost, -number, -index) for number, text in enumerate(texts)
             for index, cost in enumerate(text.quantised_bits.tolist()))
    dear = []
    for cost, number, index in heapq.nlargest(DEAR_TOKENS, costs):
        text, number, index = texts[-number], -number, -index
        before = "".join(text.pieces[max(index - _CONTEXT_TOKENS, 0) : index])[-_CONTEXT_CHARACTERS:]
        shade = shading.shade(
            text.pieces[index], text.token_ids[index], cost, "", last=index == len(text.pieces) - 1)
        dear.append({
            "before": shading.start(before), "level": shade.level, "piece": shade.text.replace("↵\n", "↵"),
            "bits": cost, "ideal_bits": float(text.ideal_bits[index]), "number": number + 1,
            "name": text.name, "position": index, "shown": number < num_shown})
    return dear
