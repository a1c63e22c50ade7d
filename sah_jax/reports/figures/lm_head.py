"""`lm_head`: the best program that changes the output layer alone, against the frontier of all families."""

from matplotlib import figure as mpl_figure

from sah_jax.reports import style
from sah_jax.reports.figures import legends, panels
from sah_jax.reports.figures.material import each, flat, Material, Row

_FAMILY = "lm_head"
_LOOK = style.FamilyStyle("Best of lm_head", style.PARAMETRIC, "#1E88E5", "o")


def draw(material: Material) -> mpl_figure.Figure:
    """Draws one panel a (task, model); the best is that by its selection score."""
    cells = material.cells_with((_FAMILY,))
    shown = each(cells, lambda rows: _shown(material, rows))
    chosen = {id(row) for row in flat(shown)}
    figure, grid = panels.grid(
        material, each(cells, lambda rows: [*material.front(rows), *_shown(material, rows)]),
        name=material.name)
    for panel in grid:
        panel.frontier(material.front(cells[panel.task][panel.column]))
        panel.points(shown[panel.task][panel.column], chosen, lambda row: _LOOK)
    legends.attach(figure, [
        legends.heading("Methods"), legends.point(_LOOK), legends.frontier(),
        *legends.kinds(material, flat(shown), chosen, places=False)])
    return figure


def _shown(material: Material, rows: list[Row]) -> list[Row]:
    """Returns the best program of the family, the shortest of such, and those that are not verified."""
    own = [row for row in rows if row.experiment_name == _FAMILY]
    return [*material.front(own)[-1:], *(row for row in own if not row.counts)]
