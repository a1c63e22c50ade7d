"""`frontier`: all points of every task and model, and the frontier in the colours of the views.

Frontier points are large, others pale, unverified ones hollow. Behind a panel's own frontier stand those of
the other models on its task; around it is the band of `complexity.bands`, where test scores have an error.
"""

import collections
from collections.abc import Mapping, Sequence

from matplotlib import figure as mpl_figure

from sah_jax.complexity import frontier
from sah_jax.reports import style
from sah_jax.reports.figures import legends, panels
from sah_jax.reports.figures.material import Columns, Material, Row, Unit

_WIDTH, _OTHERS_WIDTH = 2.2, 1.3


def draw(material: Material) -> mpl_figure.Figure:
    """Draws one panel a (task, model), with scores in the task's own unit."""
    fronts = {cell: material.front(rows) for cell, rows in material.cells.items()}
    chosen = {id(row) for front in fronts.values() for row in front}
    held = _bounds(material, fronts)
    figure, grid = panels.grid(
        material, _cells(material), unit=lambda task: Unit(task, "test score", 1.0), from_zero=True,
        every_title=True, held=held)
    for panel in grid:
        for (model, task), front in fronts.items():
            if task == panel.task and model != panel.column:
                panel.stairs(front, style.GHOST, _OTHERS_WIDTH, zorder=1)
        cell = (panel.column, panel.task)
        front = fronts.get(cell, [])
        panel.band_by_view(front)
        panel.stairs_by_view(front, _WIDTH)
        if front:
            last = front[-1].performance
            panels.outlined(panel.axes, style.format_score(last), (panel.length_scale.right, last),
                            xytext=(0, 3), ha="right", va="bottom")
        panel.points(material.cells.get(cell, []), chosen)
        if cell not in material.cells:
            panel.axes.text(0.5, 0.5, "no points", transform=panel.axes.transAxes, ha="center", va="center",
                            fontsize=9, color=style.MUTED)
    legends.attach(figure, _keys(material, chosen, any(held.values())))
    return figure


def _bounds(material: Material, fronts: Mapping[frontier.Cell, Sequence[Row]]) -> dict[str, list[float]]:
    """Returns between what scores the bands of each task lie."""
    found = collections.defaultdict(list)
    for (_, task), front in fronts.items():
        _, intervals = material.band(front)
        found[task] += [bound for interval in intervals if interval for bound in interval]
    return found


def _cells(material: Material) -> dict[str, Columns]:
    """Returns the cells that a study or another system has, and those that a study lacks."""
    ours = [row for row in material.rows if not row.reported]
    models, tasks = ({row.model_name for row in ours}, {row.dataset_name for row in ours})
    return {
        task: {model: material.cells.get((model, task), []) for model in material.trained
               if (model, task) in material.cells or (model in models and task in tasks)}
        for task in material.tasks}


def _keys(material: Material, chosen: set[int], banded: bool) -> list[legends.Key]:
    views = [style.view_of(row.experiment_name) for row in material.rows if id(row) in chosen]
    keys = [legends.heading("Program family"), *legends.families(material.rows)]
    if chosen:
        keys.append(legends.heading("Frontier, by view"))
        keys += legends.views(views, _WIDTH)
        if banded:
            of = "not of reported" if material.mixed else "test items"
            keys.append(legends.patch(
                f"{material.intervals.level:.0%} interval ({of})", style.INK, alpha=style.BAND_OPACITY))
        if len(material.models) > 1:
            keys.append(legends.line("Other models", style.GHOST, _OTHERS_WIDTH))
    return keys + legends.kinds(material, material.rows, chosen, places=True)
