"""`pareto_references`: the frontier of the main methods among all known lengths."""

from matplotlib import figure as mpl_figure

from sah_jax.reports.figures import legends, panels, references
from sah_jax.reports.figures.material import Material


def draw(material: Material) -> mpl_figure.Figure:
    """Draws one panel a (task, model)."""
    fronts = material.main_fronts()
    figure, grid = panels.grid(material, fronts, name=material.name, reach=references.reach(material))
    found = []
    for panel in grid:
        front = fronts[panel.task][panel.column]
        panel.frontier(front)
        found += references.draw(panel, front, main=False)
    legends.attach(figure, [legends.frontier(), *references.keys(found)])
    return figure
