"""What texts cost under a model: the numbers, the files that hold them, and how they are printed.

The page is in `codelength_page`.
"""

import dataclasses
import itertools
import json
import math
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import rich.console
import rich.text

from sah_jax import errors
from sah_jax.reports import codelength_page, pages, tables
from sah_jax.studies.codelength import Codelength, TextCosts

_TEXT_COLUMNS = ("text", "name", "tokens", "bytes", "ideal_bits", "quantised_bits")
_TOKEN_COLUMNS = ("text", "position", "token_id", "piece", "ideal_bits", "quantised_bits")

_MEASURES = {
    "ideal_bits": "Ideal", "quantised_bits": "Quantised", "emitted_bits": "Emitted"}
_UNITS = {"per_token": "tokens", "per_byte": "bytes", "per_text": "texts"}

OVERHEADS = {
    "quantised_minus_ideal_bits": "rounding probabilities to integers (quantised - ideal)",
    "emitted_minus_quantised_bits":
        "the coder and all else in the file (emitted - quantised, by the step that coded it)",
    "step_minus_teacher_forcing_bits":
        "coding token by token (ideal, by that step - ideal, all positions at once)",
}
"""The overheads of a summary in words."""


@dataclasses.dataclass(frozen=True)
class CodelengthPaths:
    """The files of `write`."""

    html: pathlib.Path
    json: pathlib.Path
    texts: pathlib.Path
    tokens: pathlib.Path


def summary(codelength: Codelength) -> dict[str, Any]:
    """Returns the numbers over all texts, ready for JSON.

    `tokens` counts every token that was coded, also the `ends`, one a text. A mean over nothing
    is None, as is what would need a file where none was made.

    Raises:
      UserError: a token's cost is not finite.
    """
    for text in codelength.texts:
        _check(text)
    emitted = codelength.emitted
    counts = {
        "texts": len(codelength.texts),
        "tokens": sum(len(text.token_ids) for text in codelength.texts),
        "bytes": sum(_bytes(text) for text in codelength.texts),
        "ends": len(codelength.texts)}
    bits = {
        "ideal_bits": math.fsum(itertools.chain.from_iterable(
            text.ideal_bits.tolist() for text in codelength.texts)),
        "quantised_bits": math.fsum(itertools.chain.from_iterable(
            text.quantised_bits.tolist() for text in codelength.texts)),
        "emitted_bits": emitted.bits if emitted else None}
    overheads = (
        bits["quantised_bits"] - bits["ideal_bits"],
        emitted.bits - emitted.quantised_bits if emitted else None,
        emitted.ideal_bits - bits["ideal_bits"] if emitted else None)
    return {
        "source": codelength.source, "model": codelength.model, "base_digest": codelength.base_digest,
        "program": codelength.program, "adapted_digest": codelength.adapted_digest,
        **counts, "inexact": codelength.inexact, **bits,
        **{unit: {name: None if value is None or not counts[of] else value / counts[of]
                  for name, value in bits.items()} for unit, of in _UNITS.items()},
        "overhead": dict(zip(OVERHEADS, overheads, strict=True)),
        "verified": emitted.verdict.verified if emitted and emitted.verdict else None,
        "ledger": [entry._asdict() for entry in emitted.fields] if emitted else None,
        "profile": codelength.profile}


def totals(codelength: Codelength) -> list[dict[str, Any]]:
    """Returns the numbers of each text, numbered from 1."""
    lines = (
        (number, text.name, len(text.token_ids), _bytes(text), math.fsum(text.ideal_bits.tolist()),
         math.fsum(text.quantised_bits.tolist()))
        for number, text in enumerate(codelength.texts, start=1))
    return [dict(zip(_TEXT_COLUMNS, line, strict=True)) for line in lines]


def write(codelength: Codelength, folder: str | os.PathLike[str]) -> CodelengthPaths:
    """Writes codelength.json, texts.csv (a line a text), tokens.csv (a line a token) and the page.

    Raises:
      UserError: a cost is not finite, or the files cannot be written; what was there stays.
    """
    folder = pathlib.Path(folder)
    paths = CodelengthPaths(
        html=folder / "codelength.html", json=folder / "codelength.json",
        texts=folder / "texts.csv", tokens=folder / "tokens.csv")
    numbers, each = summary(codelength), totals(codelength)
    with pages.staged(folder, "the codelength") as making:
        record = json.dumps({**numbers, "each_text": each}, indent=1, allow_nan=False)
        pages.write_text(making / paths.json.name, record + "\n")
        _write_csv(making / paths.texts.name, _TEXT_COLUMNS, (one.values() for one in each))
        _write_csv(making / paths.tokens.name, _TOKEN_COLUMNS, _token_lines(codelength))
        page = codelength_page.render(codelength, numbers, each, _MEASURES, list(_UNITS), OVERHEADS)
        pages.write_text(making / paths.html.name, page)
    return paths


def print_summary(codelength: Codelength, console: rich.console.Console) -> None:
    """Prints the numbers over all texts."""
    numbers = summary(codelength)
    program = f" with {numbers['program']}" if numbers["program"] else ""
    table = tables.new_table(
        f"{numbers['source']} under {numbers['model']}{program}", "", ">Bits", ">per token", ">per byte",
        ">per text")
    for name, label in _MEASURES.items():
        if numbers[name] is not None:
            tables.add_row(
                table, label, f"{numbers[name]:,.{0 if name == 'emitted_bits' else 1}f}",
                *(_mean(numbers[unit][name]) for unit in _UNITS))
    console.print(table)
    say = lambda line: console.print(rich.text.Text(line), soft_wrap=True)
    say(", ".join(f"{numbers[of]:,} {of if numbers[of] != 1 else of[:-1]}" for of in _UNITS.values())
        + f"; {numbers['ends']:,} of the tokens are ends of texts")
    for name, words in OVERHEADS.items():
        if numbers["overhead"][name] is not None:
            say(f"{round(numbers['overhead'][name], 3) + 0.0:+,.3f} bits for {words}")
    for line in codelength_page.remarks(codelength):
        say(line)


def _check(text: TextCosts) -> None:
    """Raises UserError unless every cost is a number; a broken model's NaN must not be summed up."""
    for costs in (text.ideal_bits, text.quantised_bits):
        if bad := [index for index, value in enumerate(costs.tolist()) if not math.isfinite(value)]:
            raise errors.UserError(
                f"{text.name}: token {bad[0]} ({text.pieces[bad[0]]!r}) costs {costs[bad[0]]} bits, "
                "expected a finite number; check the model, or compute it in float32.")


def _bytes(text: TextCosts) -> int:
    return len(text.text.encode())


def _mean(value: float | None) -> str:
    return "" if value is None else f"{value:,.3f}"


def _token_lines(codelength: Codelength) -> Iterable[tuple]:
    for number, text in enumerate(codelength.texts, start=1):
        costs = text.ideal_bits.tolist(), text.quantised_bits.tolist()
        for position, token in enumerate(zip(text.token_ids, text.pieces, *costs, strict=True)):
            yield number, position, *token


def _write_csv(path: pathlib.Path, columns: Iterable[str], lines: Iterable[Iterable[Any]]) -> None:
    with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        writer = pages.csv_writer(stream)
        writer.writerow(columns)
        writer.writerows(lines)
