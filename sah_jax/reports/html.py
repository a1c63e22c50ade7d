"""The HTML page of a study: one file that loads nothing and traces every number to a file.

The templates hold the words and the look; this file turns rows and ledgers into what they print. Names
come from users, so the templates escape everything they are given.
"""

import base64
import dataclasses
import pathlib
import types
from collections.abc import Mapping, Sequence
from typing import Any

from sah_jax.complexity import derived, frontier, lineages, reported
from sah_jax.reports import anchors as anchors_lib
from sah_jax.reports import derived_page, doubts, ledger_views, page_data, pages, samples, style, tables
from sah_jax.reports.parts import Part
from sah_jax.studies import rows as rows_lib
from sah_jax.studies import sidecar

Row = rows_lib.Row


@dataclasses.dataclass(frozen=True)
class Program:
    """A row with what its program's sidecar says.

    Attributes:
      row: the row.
      ledger: the fields of the file, in its order; their bits sum to the row's.
      views: the file's parts by other views; their bits sum to the row's too.
      profile: the numerics profile the file was written under.
      notes: everything else in the sidecar, but for the widths.
      widths: where the file gives tensors bit widths, the bits a number of each in each layer.
    """

    row: Row
    ledger: tuple[Part, ...]
    views: Mapping[str, tuple[Part, ...]]
    profile: dict[str, Any]
    notes: dict[str, Any]
    widths: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)


def render(
    title: str, programs: Sequence[Program], table: Sequence[tables.Complexity], *,
    reported_rows: Sequence[reported.ReportedRow] = (),
    figures: Mapping[str, bytes] = types.MappingProxyType({}),
    known: Sequence[lineages.Lineage] = lineages.KNOWN, add_script_bits: bool = True,
) -> str:
    """Returns the page.

    Args:
      title: what the study is called.
      programs: the points of the study.
      table: C(T, s | M) of all these rows, as `tables.complexity_table` returns it, with these very rows.
      reported_rows: points without files, beside those of the study.
      figures: static figures by name, each the bytes of a PNG or an SVG.
      known: lineages of models, for what is derived from several stages of one.
      add_script_bits: whether a length counts the script; in the figure the reader can switch.

    Returns:
      HTML that holds its data, figures, style and script itself.

    Raises:
      UserError: the samples of a sidecar are none; the sentence names the file.
      ValueError: a figure is neither PNG nor SVG.
    """
    rows = [*(program.row for program in programs), *reported_rows]
    anchors, sets = anchors_lib.Anchors(rows), derived.method_sets(rows)
    chosen = {anchors.of(row) for row in frontier.pareto(rows, add_script_bits=add_script_bits)}
    return pages.render(
        "report.html.j2",
        title=title,
        add_script_bits=add_script_bits,
        counts={
            "points": len(rows), "verified": sum(row.verified for row in rows),
            "reported": len(reported_rows), "models": len({row.model_name for row in rows}),
            "tasks": len({row.dataset_name for row in rows})},
        warnings=doubts.sentences(rows, add_script_bits=add_script_bits),
        figure=page_data.figure(rows, anchors, known, add_script_bits=add_script_bits),
        images=[{"name": name, "uri": _data_uri(name, content)} for name, content in figures.items()],
        complexity=[_pivot(task, table, anchors)
                    for task in dict.fromkeys(entry.task for entry in table)],
        left_out=", ".join(dict.fromkeys(style.family_style(one).label for one in derived.NOT_MAIN)),
        reductions=derived_page.reductions(sets, anchors, known, add_script_bits=add_script_bits),
        derivations={methods: derived_page.tables(own, anchors, known, add_script_bits=add_script_bits)
                     for methods, own in sets.items()},
        most_parts=sidecar.MAX_VIEW_PARTS,
        points=[_line(row, anchors, chosen, add_script_bits) for row in rows],
        entries=_entries(programs, anchors, chosen))


def _data_uri(name: str, content: bytes) -> str:
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        kind = "png"
    elif content.lstrip().startswith((b"<?xml", b"<svg")):
        kind = "svg+xml"
    else:
        raise ValueError(f"figures: got {name!r} with {content[:8]!r}, expected the bytes of a PNG or an SVG")
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _pivot(
    task: str, table: Sequence[tables.Complexity], anchors: anchors_lib.Anchors
) -> dict[str, Any]:
    """Turns the entries of one task into one line a score and one column a model."""
    entries = [entry for entry in table if entry.task == task]
    lines: dict[str, dict[str, tables.Complexity]] = {}
    for entry in entries:
        lines.setdefault(tables.format_level(entry), {})[entry.model] = entry
    models = list(dict.fromkeys(entry.model for entry in entries))
    return {
        "task": task, "models": models,
        "lines": [{"level": level, "cells": [_witness(cells[model], anchors) for model in models]}
                  for level, cells in lines.items()]}


def _witness(entry: tables.Complexity, anchors: anchors_lib.Anchors) -> dict[str, Any] | None:
    return entry.witness and anchors.link(entry.witness, entry.bits)


def _line(
    row: frontier.Row, anchors: anchors_lib.Anchors, chosen: set[str], add_script_bits: bool
) -> dict[str, Any]:
    """Returns a line of the table of all points."""
    return anchors.link(row, frontier.total_bits(row, add_script_bits)) | {
        "row": row, "on_frontier": anchors.of(row) in chosen}


def _entries(
    programs: Sequence[Program], anchors: anchors_lib.Anchors, chosen: set[str]
) -> list[dict[str, Any]]:
    """Returns what the page tells of each program file."""
    # The programs that a reader comes for are drawn first.
    order = sorted(range(len(programs)), key=lambda index: anchors.of(programs[index].row) not in chosen)
    drawn = ledger_views.select({index: programs[index].views for index in order})
    answers = {index: samples.parse(
        programs[index].notes, sidecar.path_for(pathlib.PurePath(programs[index].row.program)))
        for index in order}
    shown = samples.select(answers)
    entries = []
    for index, program in enumerate(programs):
        row, fields = program.row, _fields(program)
        colors = {field["name"]: field["color"] for field in fields}
        notes = {key: value for key, value in program.notes.items() if key != samples.KEY}
        entries.append(anchors.link(row, row.bits) | {
            "row": row, "remark": tables.remark(row), "view": style.view_of(row.experiment_name),
            "settings": page_data.printed(row.strategy_hparams),
            "profile": page_data.printed(program.profile), "notes": page_data.printed(notes),
            "fields": fields, "views": ledger_views.draw(program.views, drawn[index], colors),
            "samples": answers[index], "samples_shown": index in shown})
    return entries


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
