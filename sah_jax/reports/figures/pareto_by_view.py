"""`pareto_by_view`: the frontier of the main methods, each step in the colour of the view that reached it."""

from matplotlib import figure as mpl_figure

from sah_jax.reports import style
from sah_jax.reports.figures import legends, panels, references
from sah_jax.reports.figures.material import flat, Material, Row

_WIDTH = 3.0


def draw(material: Material) -> mpl_figure.Figure:
    """Draws one panel a (task, model); where rows are of several sources, points say of which a step is."""
    fronts = material.main_fronts()
    on = flat(fronts)
    figure, grid = panels.grid(
        material, fronts, name=material.name, reach=references.reach(material))
    for panel in grid:
        front = fronts[panel.task][panel.column]
        panel.stairs_by_view(front, _WIDTH)
        if material.mixed:
            panel.points(front, {id(row) for row in front}, _circle)
    views = {style.view_of(row.experiment_name) for row in on}
    legends.attach(figure, [
        legends.heading("Views"), *legends.views(views, _WIDTH),
        *legends.kinds(material, on, {id(row) for row in on}, places=False)])
    return figure


def _circle(row: Row) -> style.FamilyStyle:
    view = style.view_of(row.experiment_name)
    return style.FamilyStyle(view, view, style.VIEW_COLORS[view], "o")
