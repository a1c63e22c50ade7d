"""The HTML page of a study: one file that loads nothing and traces every number to a file.

The template holds the words and the look; this file turns rows and ledgers into what the
template prints. Names come from users, so the template escapes everything it is given.
"""

import base64
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sah_jax.reports import ledger_views, pages, style, tables
from sah_jax.reports.parts import Part
from sah_jax.studies import frontier, sidecar
from sah_jax.studies import rows as rows_lib

Row = rows_lib.Row


@dataclasses.dataclass(frozen=True)
class Program:
    """A row with what its program's sidecar says.

    Attributes:
      row: the row.
      ledger: the fields of the file, in its order; their bits sum to the row's.
      views: the file's parts by other views; their bits sum to the row's too.
      profile: the numerics profile the file was written under.
      notes: everything else in the sidecar.
    """

    row: Row
    ledger: tuple[Part, ...]
    views: Mapping[str, tuple[Part, ...]]
    profile: dict[str, Any]
    notes: dict[str, Any]


def render(
    title: str, programs: Sequence[Program], table: Sequence[tables.Complexity],
    figure_png: bytes, *, add_script_bits: bool = True,
) -> str:
    """Returns the page.

    Args:
      title: what the study is called.
      programs: the points of the study.
      table: C(T, s | M), as `tables.complexity_table` returns it.
      figure_png: the frontier figure.
      add_script_bits: whether a length counts the script.

    Returns:
      HTML that holds its figure, style and script itself.
    """
    rows = [program.row for program in programs]
    anchors = {row.point: f"program-{index}" for index, row in enumerate(rows, start=1)}
    chosen = {row.point for row in frontier.pareto(rows, add_script_bits=add_script_bits)}
    # The programs that a reader comes for are drawn first.
    order = sorted(range(len(rows)), key=lambda index: rows[index].point not in chosen)
    drawn = ledger_views.select({index: programs[index].views for index in order})
    return pages.render(
        "report.html.j2",
        title=title,
        add_script_bits=add_script_bits,
        counts={
            "points": len(rows), "verified": sum(row.verified for row in rows),
            "models": len({row.model_name for row in rows}),
            "tasks": len({row.dataset_name for row in rows})},
        warnings=_warnings(rows),
        figure=base64.b64encode(figure_png).decode("ascii"),
        figure_pixels=_png_width(figure_png),
        complexity=[_pivot(task, table, anchors)
                    for task in dict.fromkeys(entry.task for entry in table)],
        most_parts=sidecar.MAX_VIEW_PARTS,
        points=[_point(program, anchors, chosen, drawn[index], add_script_bits)
                for index, program in enumerate(programs)])


def _png_width(content: bytes) -> int:
    # The first chunk of a PNG is its header, which starts with the width.
    return int.from_bytes(content[16:20], "big")


def _warnings(rows: Sequence[Row]) -> list[str]:
    """Returns what a reader has to know before believing the page."""
    warnings = []
    if unverified := sum(not row.verified for row in rows):
        warnings.append(
            f"{unverified} of {len(rows)} points are not verified: no fresh process has rebuilt "
            "the adapted model from the file to the same score. They are drawn hollow and count "
            "nowhere.")
    if on_test := sum(row.selection_split == "test" for row in rows):
        warnings.append(
            f"{on_test} of {len(rows)} points were selected on the test split itself, so their "
            "test scores are optimistic.")
    for model in dict.fromkeys(row.model_name for row in rows):
        bases = {row.base_digest for row in rows if row.model_name == model}
        if len(bases) > 1:
            warnings.append(
                f"The rows of {model} name {len(bases)} different base models, so they are not "
                "programs for one M and should be separate studies.")
    return warnings


def _pivot(
    task: str, table: Sequence[tables.Complexity], anchors: dict[str, str]
) -> dict[str, Any]:
    """Turns the entries of one task into one line a score and one column a model."""
    entries = [entry for entry in table if entry.task == task]
    lines: dict[str, dict[str, tables.Complexity]] = {}
    for entry in entries:
        lines.setdefault(tables.format_level(entry), {})[entry.model] = entry
    models = list(dict.fromkeys(entry.model for entry in entries))
    return {
        "task": task, "models": models,
        "lines": [{"level": level,
                   "cells": [_witness(cells[model], anchors) for model in models]}
                  for level, cells in lines.items()]}


def _witness(entry: tables.Complexity, anchors: dict[str, str]) -> dict[str, Any] | None:
    if entry.witness is None:
        return None
    look = style.family_style(entry.witness.experiment_name)
    return {
        "bits": entry.bits, "family": look.label, "color": look.color,
        "estimate": tables.format_estimate(entry.witness),
        "anchor": anchors[entry.witness.point]}


def _point(
    program: Program, anchors: dict[str, str], chosen: set[str], drawn: set[str], add_script_bits: bool
) -> dict[str, Any]:
    row, fields = program.row, _fields(program)
    colors = {field["name"]: field["color"] for field in fields}
    look = style.family_style(row.experiment_name)
    return {
        "row": row, "anchor": anchors[row.point], "family": look.label, "view": look.view,
        "color": look.color, "on_frontier": row.point in chosen,
        "total_bits": frontier.total_bits(row, add_script_bits),
        "estimate": tables.format_estimate(row),
        "settings": _printed(row.strategy_hparams), "profile": _printed(program.profile),
        "notes": _printed(program.notes), "fields": fields,
        "views": ledger_views.draw(program.views, drawn, colors)}


def _fields(program: Program) -> list[dict[str, Any]]:
    """Returns the ledger with, for each field, its place and colour in the bar."""
    largest = sorted(range(len(program.ledger)), key=lambda i: -program.ledger[i].bits)
    colors = dict(zip(largest, style.FIELD_COLORS, strict=False))
    fields, start = [], 0
    for index, entry in enumerate(program.ledger):
        # An empty program has a ledger of zeros and no bar.
        share = entry.bits / program.row.bits if program.row.bits else 0.0
        fields.append({
            "name": entry.name, "bits": entry.bits, "ideal_bits": entry.ideal_bits,
            "share": share, "color": colors.get(index, style.REST_COLOR),
            "start": start / program.row.bits if program.row.bits else 0.0})
        start += entry.bits
    return fields


def _printed(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(key, value if isinstance(value, str) else json.dumps(value))
            for key, value in record.items()]
