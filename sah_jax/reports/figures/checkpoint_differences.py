"""`checkpoint_differences`: what pre-training and post-training each add, at every program length.

The difference of two staircases, where a model without a program so short counts as zero. Of every family.
"""

import dataclasses

import numpy as np
from matplotlib import figure as mpl_figure

from sah_jax.complexity import derived
from sah_jax.reports import style
from sah_jax.reports.figures import legends, panels, scales
from sah_jax.reports.figures.material import each, joined, Material, NothingToDraw, Unit

_WIDTH = 2.0
_LENGTHS = 500
_LOOKS = (("Pre-trained minus random", "tab:red"), ("Post-trained minus pre-trained", "tab:blue"))


def draw(material: Material) -> mpl_figure.Figure:
    """Draws one panel a (task, lineage), at so many lengths, evenly spaced on the axis."""
    found = derived.differences(material.rows, material.known, add_script_bits=material.add_script_bits)
    if not found:
        raise NothingToDraw(
            "Got no lineage with frontiers of a random and a pre-trained model, or of a pre-trained and a "
            "post-trained one, on one task, expected verified or reported rows of both; add rows or say what "
            "lineage the models are of.")
    stages = {name: (one.random, one.pretrained, one.posttrained) for name, one in material.lineages.items()}
    fronts = material.checkpoints(lambda lineage: stages[lineage.name])
    compared = {task: {one.lineage: fronts[task][one.lineage] for one in found if one.task == task}
                for task in fronts}
    drawn = each({task: own for task, own in compared.items() if own}, joined)
    figure, grid = panels.grid(material, drawn, unit=lambda task: _difference(material.unit(task)))
    for panel in grid:
        own = [one for one in found if one.task == panel.task]
        gains = [gain * panel.unit.factor for one in own for gain in one.gain]
        panel.axes.set_ylim(*scales.scores(min(gains), max(gains), from_zero=True))
        panel.axes.axhline(0, color=style.MUTED, linestyle="--", linewidth=1, zorder=1)
        bits = np.geomspace(max(panel.length_scale.left, 1), panel.length_scale.right, _LENGTHS)
        for one in own:
            if one.lineage == panel.column:
                gain = np.array([derived.score_at((one.bits, one.gain), at) or 0.0 for at in bits])
                _, color = _LOOKS[stages[one.lineage].index(one.subtrahend)]
                panel.axes.step(bits, panel.unit.factor * gain, where="post", color=color, linewidth=_WIDTH)
    used = {stages[one.lineage].index(one.subtrahend) for one in found}
    legends.attach(figure, [legends.line(*_LOOKS[index], _WIDTH) for index in sorted(used)])
    return figure


def _difference(unit: Unit) -> Unit:
    return dataclasses.replace(unit, metric=f"Δ {unit.metric}")
