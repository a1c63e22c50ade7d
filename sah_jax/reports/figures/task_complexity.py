"""`task_complexity`: what a program reaches before training, after pre-training and after post-training.

Of every family of programs; the number beside a curve is the score in the end.
"""

from matplotlib import figure as mpl_figure

from sah_jax.complexity import lineages
from sah_jax.reports.figures import legends, panels
from sah_jax.reports.figures.material import each, joined, Material

_WIDTH = 2.6
_STAGES = {"random": ("Randomly initialised", "#888888"), "pretrained": ("Pre-trained", "#D81B60"),
           "posttrained": ("Post-trained", "#1E88E5")}


def draw(material: Material) -> mpl_figure.Figure:
    """Draws one panel a (task, lineage)."""
    fronts = material.checkpoints(lambda lineage: list(_looks(lineage)))
    looks = {name: _looks(lineage) for name, lineage in material.lineages.items()}
    figure, grid = panels.grid(material, each(fronts, joined), from_zero=True)
    drawn = set()
    for panel in grid:
        ends = []
        for model, front in fronts[panel.task][panel.column].items():
            label, color = looks[panel.column][model]
            xs, ys = panel.staircase(front)
            panel.axes.plot([xs[0], xs[0]], [0, ys[0]], color=color, linewidth=_WIDTH)
            panel.stairs(front, color, _WIDTH)
            ends.append((ys[-1], color))
            drawn.add(label)
        panel.end_labels(ends)
    legends.attach(figure, [
        legends.line(label, color, _WIDTH) for label, color in _STAGES.values() if label in drawn])
    return figure


def _looks(lineage: lineages.Lineage) -> dict[str, tuple[str, str]]:
    return {getattr(lineage, stage): look for stage, look in _STAGES.items()}
