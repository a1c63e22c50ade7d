"""`checkpoint_curves`: frontiers of all checkpoints of a lineage, in the order of its training.

From the random model to the end of pre-training's first stage they are red, after it blue; later is darker.
Of every family of programs.
"""

import matplotlib
import numpy as np
from matplotlib import figure as mpl_figure

from sah_jax.complexity import lineages
from sah_jax.reports.figures import legends, panels
from sah_jax.reports.figures.material import each, joined, Material

_WIDTH = 1.8
_LIGHTEST, _DARKEST = 0.35, 0.95


def draw(material: Material) -> mpl_figure.Figure:
    """Draws one panel a (task, lineage)."""
    fronts = material.checkpoints(lambda lineage: lineage.stages)
    shades = {name: _shades(lineage) for name, lineage in material.lineages.items()}
    figure, grid = panels.grid(material, each(fronts, joined), from_zero=True)
    drawn = set()
    for panel in grid:
        for model, front in fronts[panel.task][panel.column].items():
            panel.stairs(front, shades[panel.column][model], _WIDTH)
            drawn.add(model)
    keys = []
    for name, own in shades.items():
        if lines := [legends.line(model, color, _WIDTH) for model, color in own.items() if model in drawn]:
            keys += [legends.heading(name), *lines]
    legends.attach(figure, keys)
    return figure


def _shades(lineage: lineages.Lineage) -> dict[str, tuple[float, ...]]:
    parts = {"Reds": (lineage.random, *lineage.before, lineage.pretrained),
             "Blues": (*lineage.after, lineage.posttrained)}
    return {model: matplotlib.colormaps[name](place) for name, models in parts.items()
            for model, place in zip(models, np.linspace(_LIGHTEST, _DARKEST, len(models)), strict=True)}
