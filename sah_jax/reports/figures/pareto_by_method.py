"""`pareto_by_method` and `pareto_by_method_all`: points of the main methods on their grey frontier.

The first has the points of the frontier alone, and known lengths to compare with; the other has all points.
Reported rows that tie with the frontier are on it, as in the paper; of ours a longer program selects higher.
Points that are not verified are in both.
"""

from collections.abc import Callable

from matplotlib import figure as mpl_figure

from sah_jax.reports.figures import legends, panels, references
from sah_jax.reports.figures.material import each, flat, Material, Row


def draw(material: Material) -> mpl_figure.Figure:
    """Draws the points on the frontier, and references up to it."""
    return _draw(material, lambda row, chosen: id(row) in chosen or not row.counts, with_references=True)


def draw_all(material: Material) -> mpl_figure.Figure:
    """Draws all points."""
    return _draw(material, lambda row, chosen: True, with_references=False)


def _draw(
    material: Material, shown: Callable[[Row, set[int]], bool], *, with_references: bool
) -> mpl_figure.Figure:
    cells = material.main_cells()
    chosen = {id(row) for row in flat(each(cells, lambda rows: _chosen(material, rows)))}
    drawn = each(cells, lambda rows: [row for row in rows if shown(row, chosen)])
    figure, grid = panels.grid(material, drawn, name=material.name, reach=references.reach(material))
    found = []
    for panel in grid:
        front = material.front(cells[panel.task][panel.column])
        if with_references:
            found += references.draw(panel, front, main=True)
        panel.frontier(front)
        panel.points(drawn[panel.task][panel.column], chosen)
    rows = flat(drawn)
    keys = [legends.heading("Methods"), *legends.families(rows)]
    keys += [legends.frontier()] if chosen else []
    legends.attach(figure, [
        *keys, *references.keys(found),
        *legends.kinds(material, rows, chosen, places=not with_references)])
    return figure


def _chosen(material: Material, rows: list[Row]) -> list[Row]:
    """Returns the frontier of a cell, and the reported rows that tie with it."""
    strict = set(map(id, material.front(rows)))
    return [row for row in material.front(rows, ties=True) if row.reported or id(row) in strict]
