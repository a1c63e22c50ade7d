"""The bit widths that Bayesian LoRA chose (the reference's notebook 040), as a map of tensors and layers.

It is of one program file and not of rows: who reads the file passes its widths on.
"""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib import figure as mpl_figure

from sah_jax.reports import style
from sah_jax.reports.figures import labels, legends, panels
from sah_jax.reports.figures.material import NothingToDraw

_CELL_INCHES, _LABELS_INCHES, _TITLE_INCHES = 0.26, 1.3, 0.7
_LEAST_INCHES, _MOST_INCHES = 2.5, 12.0
_WIDEST = 32
# Colours are a share of this map: its ends are hard to tell from paper and ink.
_MAP, _FIRST, _LAST = "viridis_r", 0.05, 0.95


def draw_widths(widths: Mapping[str, Sequence[int]], title: str = "") -> mpl_figure.Figure:
    """Draws a map with a line a tensor and a column a layer.

    Args:
      widths: of each tensor ("attention/q/a", ...) the bits a number in each layer, powers of two up to 32; 0
        where all numbers are zero.
      title: what it is of.

    Raises:
      NothingToDraw: there are no tensors, or they have no layers.
      ValueError: the tensors are not of as many layers.
    """
    counts = {len(own) for own in widths.values()}
    if not counts or counts == {0}:
        raise NothingToDraw(
            "Got no bit widths, expected those of a program of the family bayesian_bits; read such a file.")
    if len(counts) > 1:
        raise ValueError(f"widths: got tensors of {sorted(counts)} layers, expected as many of each")
    table = np.array([list(own) for own in widths.values()])
    lines, layers = table.shape
    figure = panels.blank(
        _LABELS_INCHES + min(max(_CELL_INCHES * layers, _LEAST_INCHES), _MOST_INCHES),
        _TITLE_INCHES + _CELL_INCHES * lines)
    axes = figure.subplots()
    axes.pcolormesh([[_color(width) for width in line] for line in table], edgecolors="white", linewidth=0.8)
    axes.set_yticks(np.arange(lines) + 0.5, list(widths), parse_math=False)
    # About as many numbers as fit.
    every = range(0, layers, 1 + (layers - 1) // 24)
    axes.set_xticks([layer + 0.5 for layer in every], [str(layer) for layer in every])
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8, labelcolor=style.INK)
    axes.set_xlabel("Layer", fontsize=9, color=style.INK)
    axes.set_title(labels.short(title), fontsize=10, color=style.INK, loc="left", parse_math=False)
    legends.attach(figure, [legends.heading("Bits a number"), *(
        legends.patch(str(width) if width else "All zero", _color(width))
        for width in sorted(set(table.flat)))])
    return figure


def _color(width: int) -> tuple[float, ...]:
    if not width:
        return matplotlib.colors.to_rgba(style.GRID)
    share = math.log2(width) / math.log2(_WIDEST)
    return matplotlib.colormaps[_MAP](_FIRST + share * (_LAST - _FIRST))
