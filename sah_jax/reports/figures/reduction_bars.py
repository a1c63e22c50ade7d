"""`reduction_bars`: what post-training adds to the best score, and how much shorter it makes the program.

Left the best score of the pre-trained model, and what the post-trained one gains on it; right how long a
program is that reaches the pre-trained model's best, of either. Of every family.
"""

import math
from collections.abc import Sequence

from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
from matplotlib import ticker as mpl_ticker

from sah_jax.complexity import derived
from sah_jax.reports import style
from sah_jax.reports.figures import labels, legends, panels, scales
from sah_jax.reports.figures.material import Material, NothingToDraw, Unit

_BEFORE, _AFTER = "tab:red", "tab:blue"
_ALPHA = 0.8
_LINE_INCHES, _LINEAGE_INCHES, _LABELS_INCHES = 2.5, 1.5, 0.9
_WIDTH = 0.6
# What is in a bar needs this share of the axis.
_TEXT_SHARE = 0.07


def draw(material: Material) -> mpl_figure.Figure:
    """Draws a line of two panels a task, with a group of bars a lineage."""
    found = derived.reductions(material.rows, material.known, add_script_bits=material.add_script_bits)
    if not found:
        raise NothingToDraw(
            "Got no lineage with frontiers of both a pre-trained and a post-trained model on one task, "
            "expected verified or reported rows of both; add rows or say what lineage the models are of.")
    tasks = {task: own for task in material.tasks if (own := [one for one in found if one.task == task])}
    widest = max(map(len, tasks.values()))
    figure = panels.blank(2 * (_LABELS_INCHES + _LINEAGE_INCHES * max(widest, 2)), _LINE_INCHES * len(tasks))
    grid = figure.subplots(len(tasks), 2, squeeze=False)
    for (left, right), (task, own) in zip(grid, tasks.items(), strict=True):
        for axes in (left, right):
            scales.dress(axes)
            axes.grid(False, axis="x")
            axes.set_xlim(-0.5, widest - 0.5)
        _draw_scores(left, own, material.unit(task))
        _draw_lengths(right, own)
    titles = ("Best score", "Bits to the pre-trained best")
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=10, color=style.INK, loc="left")
    legends.attach(figure, [
        legends.patch("Pre-trained", _BEFORE, alpha=_ALPHA),
        legends.patch("Post-trained", _AFTER, alpha=_ALPHA)])
    return figure


def _draw_scores(axes: mpl_axes.Axes, own: Sequence[derived.Reduction], unit: Unit) -> None:
    pairs = [(unit.factor * one.best.performance, unit.factor * one.posttrained_best.performance)
             for one in own]
    low, high = min(0.0, *map(min, pairs)), max(0.0, *map(max, pairs))
    span = (high - low) or 1.0
    axes.set_ylim(low, low + 1.1 * span)
    axes.set_ylabel(unit.label, fontsize=9, color=style.INK, parse_math=False)
    axes.set_xticks(range(len(own)), [labels.short(one.lineage) for one in own], parse_math=False)
    for place, (before, after) in enumerate(pairs):
        gain = after - before
        axes.bar(place, before, _WIDTH, color=_BEFORE, alpha=_ALPHA)
        # A loss is cut out of what was there.
        look = dict(color=_AFTER, alpha=_ALPHA) if gain >= 0 else dict(facecolor="white", edgecolor=_AFTER)
        axes.bar(place, gain, _WIDTH, bottom=before, **look)
        axes.text(place, min(before, after) / 2, f"{before:.1f}", ha="center", va="center", fontsize=9,
                  fontweight="bold", color="white")
        inside = gain > _TEXT_SHARE * span
        axes.text(place, before + gain / 2 if inside else max(before, after), f"{gain:+.1f}", ha="center",
                  va="center" if inside else "bottom", fontsize=9, fontweight="bold",
                  color="white" if inside else _AFTER)


def _draw_lengths(axes: mpl_axes.Axes, own: Sequence[derived.Reduction]) -> None:
    axes.set_yscale("log")
    # A program of no bits has a place, too.
    lengths = [max(bits, 1) for one in own for bits in (one.best_bits, one.matching_bits) if bits is not None]
    # Whole decades, so that a reader sees at least two of them.
    floor = 10.0 ** math.floor(math.log10(min(lengths) / 2))
    axes.set_ylim(floor, 10.0 ** math.ceil(math.log10(max(lengths) * 4)))
    axes.yaxis.set_minor_formatter(mpl_ticker.NullFormatter())
    axes.set_ylabel(scales.LENGTH_LABEL, fontsize=9, color=style.INK)
    axes.set_xticks(range(len(own)), [
        labels.short(one.lineage) + (f"\n{style.format_factor(one.factor)}× shorter" if one.factor else "")
        for one in own], parse_math=False)
    for place, one in enumerate(own):
        for side, bits, color in ((-1, one.best_bits, _BEFORE), (1, one.matching_bits, _AFTER)):
            center = place + side * _WIDTH / 4
            if bits is not None:
                axes.bar(center, max(bits, 1), _WIDTH / 2, color=color, alpha=_ALPHA)
            axes.annotate(
                "not reached" if bits is None else style.format_bytes(bits),
                (center, floor if bits is None else max(bits, 1)), xytext=(0, 2),
                textcoords="offset points", ha="center", va="bottom", fontsize=8, color=style.INK,
                rotation=90 if bits is None else 0)
