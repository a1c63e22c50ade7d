"""`width_map`: the bit widths that Bayesian LoRA chose (the reference's notebook 040), by tensor and layer.

Of each task and model one program whose file gives them: the best such on the frontier, or, where that has
none, the one of the best selection score.
"""

import dataclasses
import math
import textwrap

import matplotlib
import numpy as np
from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure

from sah_jax.reports import style, tables
from sah_jax.reports.figures import labels, legends, panels
from sah_jax.reports.figures.material import Material, NothingToDraw, Row, Widths

_MOST_PANELS = 12
_FIGURE_INCHES = 13.0
_LAYER_INCHES, _LEAST_INCHES, _MOST_INCHES = 0.28, 2.8, 11.5
_TENSOR_INCHES, _LAYERS_INCHES, _LEFT_OUT_INCHES = 0.2, 0.5, 0.3
_TITLE, _TEXT, _SMALL = 9, 8, 7
# Of a letter's width and a line's height, by the size of the font in points.
_LETTER_INCHES, _LINE_INCHES = 0.6 / 72, 1.35 / 72
_MOST_TICKS = 24
# Colours are a share of this map: its ends are hard to tell from paper and ink.
_MAP, _FIRST, _LAST = "viridis_r", 0.05, 0.95
# The base-2 logarithms of the widths at the ends of the colours.
_LEAST_LOG, _MOST_LOG = 1, 5


@dataclasses.dataclass(frozen=True)
class _Map:
    """What a panel shows.

    Attributes:
      widths: the program's.
      title: lines that say model and task.
      program: small lines that say which program it is.
    """

    widths: Widths
    title: list[str]
    program: list[str]

    @classmethod
    def of(cls, material: Material, row: Row, inches: float) -> "_Map":
        """Returns the map of a row's program, in lines of a length."""
        fits = lambda text, size: textwrap.wrap(
            text, int(inches / (_LETTER_INCHES * size)), break_on_hyphens=False)
        return cls(
            material.widths[row.point],
            fits(f"{labels.short(material.name(row.model_name))}, {labels.short(row.dataset_name)}", _TITLE),
            [*fits(labels.printable(row.point), _SMALL),
             f"{row.bits:,} bits, test score {tables.format_estimate(row)}"])

    @property
    def layers(self) -> int:
        """How many layers it has."""
        return len(next(iter(self.widths.values())))

    @property
    def names(self) -> list[str]:
        """What its tensors are called."""
        return list(map(labels.short, self.widths))

    @property
    def over_inches(self) -> float:
        """How high what stands over it is."""
        return _LINE_INCHES * (_TITLE * len(self.title) + _SMALL * (len(self.program) + 1))


def draw(material: Material) -> mpl_figure.Figure:
    """Draws one panel a (task, model), with a line a tensor and a column a layer."""
    shown = _shown(material)
    if not shown:
        raise NothingToDraw(
            "Got no verified program whose sidecar says bit widths, expected one of the family "
            "bayesian_bits; add such rows with their files, or run points of an older version again.")
    drawn = shown[:_MOST_PANELS]
    layers = max(len(own) for row in drawn for own in material.widths[row.point].values())
    width = min(max(_LAYER_INCHES * layers, _LEAST_INCHES), _MOST_INCHES)
    maps = [_Map.of(material, row, width) for row in drawn]
    names_inches = _LETTER_INCHES * _TEXT * (2 + max(len(name) for one in maps for name in one.names))
    columns = min(max(int(_FIGURE_INCHES / (names_inches + width)), 1), len(drawn))
    lines = [maps[start : start + columns] for start in range(0, len(maps), columns)]
    tensors = [max(len(one.widths) for one in line) for line in lines]
    figure = panels.blank(
        columns * (names_inches + width),
        sum(_LAYERS_INCHES + max(one.over_inches for one in line) for line in lines)
        + _TENSOR_INCHES * sum(tensors) + _LEFT_OUT_INCHES * (len(shown) > len(drawn)))
    grid = figure.subplots(len(lines), columns, squeeze=False, height_ratios=tensors)
    for axes in grid.flat:
        axes.set_visible(False)
    for number, line in enumerate(lines):
        for axes, one in zip(grid[number], line, strict=False):
            _draw_map(axes, one, layers, tensors[number])
    found = sorted({bits for one in maps for own in one.widths.values() for bits in own})
    legends.attach(figure, [legends.heading("Bits a number"), *(
        legends.patch(str(bits) if bits else "All zero", _color(bits)) for bits in found)])
    if left := len(shown) - len(drawn):
        figure.supxlabel(f"{left} more of such programs, of other tasks and models, are left out.",
                         fontsize=_TEXT, color=style.INK)
    return figure


def _shown(material: Material) -> list[Row]:
    """Returns the program of each cell, by task and model."""
    found, of = [], lambda rows: [row for row in rows if material.widths.get(row.point)]
    for task in material.tasks:
        for model in material.models:
            rows = material.cells.get((model, task), [])
            found += (of(material.front(rows)) or material.front(of(rows)))[-1:]
    return found


def _draw_map(axes: mpl_axes.Axes, one: _Map, layers: int, tensors: int) -> None:
    """Draws a map, and what it is of, on axes with room for so many layers and tensors."""
    axes.set_visible(True)
    axes.pcolormesh([[_color(bits) for bits in own] for own in one.widths.values()], edgecolors="white",
                    linewidth=0.8)
    axes.set_xlim(0, layers)
    axes.set_ylim(tensors, 0)
    axes.set_yticks(np.arange(len(one.names)) + 0.5, one.names, parse_math=False)
    # About as many numbers as fit.
    every = range(0, one.layers, 1 + (one.layers - 1) // _MOST_TICKS)
    axes.set_xticks([layer + 0.5 for layer in every], [str(layer) for layer in every])
    axes.spines[:].set_visible(False)
    # Right under the map, also where another beside it has more tensors.
    axes.spines.bottom.set_position(("data", len(one.names)))
    axes.tick_params(length=0, labelsize=_TEXT, labelcolor=style.INK)
    axes.set_xlabel("Layer", fontsize=_TEXT, color=style.INK)
    axes.annotate("\n".join(one.program), (0, 1), xycoords="axes fraction", xytext=(0, 4), fontsize=_SMALL,
                  textcoords="offset points", va="bottom", color=style.INK, parse_math=False)
    axes.set_title("\n".join(one.title), fontsize=_TITLE, color=style.INK, loc="left",
                   pad=8 + 1.3 * _SMALL * len(one.program), parse_math=False)


def _color(bits: int) -> tuple[float, ...]:
    if not bits:
        return matplotlib.colors.to_rgba(style.GRID)
    share = (math.log2(bits) - _LEAST_LOG) / (_MOST_LOG - _LEAST_LOG)
    return matplotlib.colormaps[_MAP](_FIRST + share * (_LAST - _FIRST))
