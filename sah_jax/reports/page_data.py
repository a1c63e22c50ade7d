"""What the interactive figure of a study's page draws: points, and the frontier under every switch.

Which points are on a frontier is decided here, by `complexity.frontier`; the page's script only draws.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import markers, transforms

from sah_jax.complexity import bands, derived, frontier, lineages
from sah_jax.reports import anchors as anchors_lib
from sah_jax.reports import pages, style, tables

Row = frontier.Row

# A marker is drawn in a square of so many units, around its middle.
_MARKER_UNITS = 100


def figure(
    rows: Sequence[Row], anchors: anchors_lib.Anchors, known: Sequence[lineages.Lineage] = lineages.KNOWN, *,
    add_script_bits: bool = True,
) -> dict[str, Any]:
    """Returns the data of the figure, which is JSON.

    Args:
      rows: the points of any number of cells.
      anchors: where the page tells of them.
      known: the lineages that models may be of, whose stages stand in the order of their training.
      add_script_bits: whether lengths count the script at first.

    Returns:
      Names of tasks and models; the views that frontiers reach, with their colours; families with their
      markers; points, which refer to these by number; `fronts`, which for each setting of the switches
      has the cells' frontiers by length, as numbers of points; and how intervals are called, and how their
      band is drawn, if there is any.
    """
    intervals = bands.Intervals(rows)
    tasks = list(dict.fromkeys(row.dataset_name for row in rows))
    models = lineages.in_order((row.model_name for row in rows), known)
    looks = _looks(rows)
    main = derived.main_methods(rows)
    is_main = set(map(id, main))
    numbers = {id(row): number for number, row in enumerate(rows)}

    def cells(chosen: Sequence[Row]) -> list[dict[str, Any]]:
        return [
            {"model": models.index(model), "task": tasks.index(task),
             "chosen": [numbers[id(row)] for row in own]}
            for (model, task), own in frontier.group_cells(chosen).items()]

    fronts = {
        front_key(script, every): cells(
            frontier.pareto(rows if every else main, add_script_bits=script))
        for script, every in itertools.product((True, False), repeat=2)}
    steps = [rows[number] for front in fronts.values() for cell in front for number in cell["chosen"]]
    reached = {style.view_of(row.experiment_name) for row in steps}
    return {
        "script": add_script_bits,
        "tasks": list(map(pages.printable, tasks)),
        "models": list(map(pages.printable, models)),
        "views": {view: color for view, color in style.VIEW_COLORS.items() if view in reached},
        "band": {"label": f"{intervals.level:.0%} interval", "opacity": style.BAND_OPACITY,
                 "drawn": any(map(intervals.of, steps))},
        "families": [
            {"label": pages.printable(look.label), "view": look.view, "color": look.color,
             "whole": _outline(look.marker, "full"), "half": _outline(look.marker, "top")}
            for look in looks],
        "rows": [
            _point(row, intervals) | {
                "task": tasks.index(row.dataset_name), "model": models.index(row.model_name),
                "family": looks.index(style.family_style(row.experiment_name)),
                "main": id(row) in is_main, "anchor": anchors.of(row)}
            for row in rows],
        "fronts": fronts}


def front_key(script: bool, every: bool) -> str:
    """Names the frontiers for lengths with or without scripts, and of all methods or the main ones."""
    return f"{'with' if script else 'without'} scripts, {'all' if every else 'main'} methods"


def printed(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the pairs of an object for a list of terms."""
    return [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in record.items()]


def _looks(rows: Sequence[Row]) -> list[style.FamilyStyle]:
    views = list(style.VIEW_COLORS)
    return sorted({style.family_style(row.experiment_name) for row in rows},
                  key=lambda look: (views.index(look.view), look.label))


def _point(row: Row, intervals: bands.Intervals) -> dict[str, Any]:
    """Returns what the card of a point says; a program's ledger and samples it takes from its entry."""
    interval = intervals.of(row)
    selection = "the test score, on which it was selected"
    if not row.reported:
        selection = (f"{style.format_estimate(row.selection_performance, row.selection_stderr)}, "
                     f"{row.selection_split} split")
    settings = [[pages.printable(key), pages.printable(value)]
                for key, value in printed(row.strategy_hparams)]
    return {
        "name": pages.printable(row.point), "status": anchors_lib.status(row), "remark": tables.remark(row),
        "bits": row.bits, "scriptBits": row.script_bits, "size": style.format_bytes(row.bits),
        "score": row.performance, "error": row.performance_stderr,
        "estimate": tables.format_estimate(row), "selection": selection,
        "interval": interval, "between": style.format_interval(*interval) if interval else "",
        "seed": row.seed, "settings": settings, "program": pages.printable(row.program),
        "sha256": row.program_sha256}


def _outline(marker: str, fill: str) -> str:
    """Returns a marker of matplotlib's as the path of an SVG, whole or its upper half."""
    made = markers.MarkerStyle(marker, fill)
    scale = transforms.Affine2D().scale(_MARKER_UNITS, -_MARKER_UNITS)
    polygons = made.get_path().transformed(made.get_transform() + scale).to_polygons()
    return "".join(
        f"M{'L'.join(f'{x:.0f} {y:.0f}' for x, y in polygon)}Z" for polygon in polygons)
