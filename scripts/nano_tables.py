#!/usr/bin/env python3
"""Writes the tables of docs/nano.md, and its figure, from the study of the nano ladder.

    scripts/nano_tables.py out/nano
"""

import argparse
import collections
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sah_jax.reports import figures, markdown, style, tables  # noqa: E402
from sah_jax.studies import rows as rows_lib  # noqa: E402

PAGE, FIGURE = ROOT / "docs" / "nano.md", ROOT / "docs" / "nano_frontier.png"
SHARES = (0.25, 0.50, 0.75, 0.90)
"""Of the best score that any model reached on a task."""
_DPI = 80


def main() -> None:
    """Reads the study, and writes page and figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdir", type=pathlib.Path)
    workdir = parser.parse_args().workdir
    rows = rows_lib.read_rows(workdir / "results.jsonl")
    if not all(row.verified for row in rows):
        raise SystemExit(f"{workdir}: holds points that are not verified; verify them first.")
    cells = collections.Counter((row.dataset_name, row.model_name) for row in rows)
    if len(set(cells.values())) != 1:
        raise SystemExit(f"{workdir}: lacks points ({dict(cells)}); run the study to its end.")
    # As the config lists them, which is the order of growth.
    order = {name: number for number, name in enumerate(
        ("nano-step0", "nano-step200", "nano-step800", "nano", "nano-chat"))}
    rows.sort(key=lambda row: order[row.model_name])
    text = "\n\n".join(_tables(rows, task) for task in dict.fromkeys(row.dataset_name for row in rows))
    markdown.fill(PAGE, "study", text)
    figure = figures.draw("frontier", rows, add_script_bits=False)
    figures.save(figure, FIGURE.with_suffix(""), ("png",), dpi=_DPI)


def _tables(rows: list[rows_lib.Row], task: str) -> str:
    """Returns a task's scores by model and program, and its C(T, s | M)."""
    own = [row for row in rows if row.dataset_name == task]
    models = list(dict.fromkeys(row.model_name for row in own))
    programs = list(dict.fromkeys(_program(row) for row in own))
    cells = {
        (row.model_name, _program(row)):
            f"{style.format_estimate(row.performance, row.performance_stderr)}<br>{row.bits:,}"
        for row in own}
    scores = markdown.table(
        [f"`{task}`", *programs],
        [[f"`{model}`", *(cells.get((model, program), "") for program in programs)] for model in models])
    entries = tables.complexity_table(own, add_script_bits=False)
    found = {(entry.model, entry.share): entry for entry in entries}
    levels = [f"s = {style.format_score(found[models[0], share].score)} ({share:.0%})" for share in SHARES]
    bits = markdown.table(
        ["C(T, s \\| M), bits", *levels],
        [[f"`{model}`", *(_bits(found[model, share].bits) for share in SHARES)] for model in models])
    return f"{scores}\n\n{bits}"


def _program(row: rows_lib.Row) -> str:
    words = {"rank": "rank {}", "bits_per_weight": "{} bits", "num_examples": "{} examples"}
    said = ", ".join(text.format(row.strategy_hparams[name]) for name, text in words.items()
                     if name in row.strategy_hparams).replace("1 examples", "1 example")
    return f"{style.family_style(row.experiment_name).label}{f' ({said})' if said else ''}"


def _bits(bits: int | None) -> str:
    return "not reached" if bits is None else f"{bits:,}"


if __name__ == "__main__":
    main()
