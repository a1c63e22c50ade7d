"""`unified`: programs of the unified view against the frontier of all families.

Phase one, the examples alone, is blue; phase two, coefficients on the steps that they give, is red. Our
`combined` holds both in one file.
"""

from matplotlib import figure as mpl_figure

from sah_jax.reports import style
from sah_jax.reports.figures import legends, marks, panels
from sah_jax.reports.figures.material import flat, Material, Row

_LOOKS = {
    "phase-one": style.FamilyStyle("Phase one", style.DATA, "tab:blue", "o"),
    "phase-two": style.FamilyStyle("Phase two", style.UNIFIED, "tab:red", "o"),
    "combined": style.FamilyStyle("Combined", style.UNIFIED, "tab:red", "o"),
}
_OTHER = style.FamilyStyle("Other families", style.OTHER, "gray", "o")


def draw(material: Material) -> mpl_figure.Figure:
    """Draws one panel a (task, model) that has such programs."""
    cells = material.cells_with(_LOOKS)
    figure, grid = panels.grid(material, cells, name=material.name)
    every = flat(cells)
    # Drawn large, wherever they are.
    chosen = {id(row) for row in every if row.experiment_name in _LOOKS}
    for panel in grid:
        rows = cells[panel.task][panel.column]
        panel.frontier(material.front(rows))
        panel.points(rows, chosen, _look)
    found = {_look(row) for row in every}
    keys = [legends.point(look) for look in _LOOKS.values() if look in found]
    keys += [legends.point(_OTHER, marks.Kind.OFF)] if _OTHER in found else []
    legends.attach(figure, [
        legends.heading("Methods"), *keys, legends.frontier(),
        *legends.kinds(material, every, chosen, places=False)])
    return figure


def _look(row: Row) -> style.FamilyStyle:
    return _LOOKS.get(row.experiment_name, _OTHER)
