"""The frontier figure: for every task and model, score against program length.

Drawn through matplotlib's objects, never pyplot, whose global state would leak between
studies drawn in one process.
"""

import collections
import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence

import matplotlib
from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
from matplotlib import lines as mpl_lines
from matplotlib import patheffects
from matplotlib import ticker as mpl_ticker
from matplotlib.backends import backend_agg

from sah_jax.reports import style
from sah_jax.studies import frontier
from sah_jax.studies import rows as rows_lib

Row = rows_lib.Row

_MAX_COLUMNS = 5
_PANEL_INCHES = (3.3, 2.7)
_LEGEND_INCHES = 1.75
_LEGEND_LINE_INCHES = 0.19
_PNG_DPI = 200
# Below the shortest file that holds anything a logarithmic axis turns linear, so that the
# empty program has a place.
_LINEAR_BELOW_BITS = 8
_NAME_CHARACTERS = 34
_HEADING = "heading"


@dataclasses.dataclass(frozen=True)
class _Scales:
    """The axes that all panels (x) and all panels of one task (y) have in common."""

    left: float
    right: float
    linear_start: bool
    bottom: float
    top: float


def frontier_figure(
    rows: Sequence[Row], path_stem: str | os.PathLike[str], *, add_script_bits: bool = True
) -> list[pathlib.Path]:
    """Draws the frontier figure and writes it as PNG and PDF.

    Args:
      rows: at least one row.
      path_stem: the files' path without a suffix.
      add_script_bits: whether a length counts the script.

    Returns:
      The paths of the PNG and of the PDF.
    """
    figure = draw_frontier(rows, add_script_bits=add_script_bits)
    stem = pathlib.Path(path_stem)
    paths = [stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.pdf")]
    # Type 42 keeps the text of the PDF selectable; without a date the same rows give the
    # same file.
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        figure.savefig(paths[0], dpi=_PNG_DPI)
        figure.savefig(paths[1], metadata={"CreationDate": None})
    return paths


def draw_frontier(rows: Sequence[Row], *, add_script_bits: bool = True) -> mpl_figure.Figure:
    """Draws one panel a (task, model), a band of panels a task.

    Verified frontier points are large, other verified points pale, unverified points hollow;
    the staircase takes the colour of the view that reached each level. Behind it stand the
    frontiers of the other models on the same task.
    """
    if not rows:
        raise ValueError("rows: got none, expected at least one to draw")
    cells = frontier.group_cells(rows)
    models = list(dict.fromkeys(row.model_name for row in rows))
    tasks = list(dict.fromkeys(row.dataset_name for row in rows))
    columns = min(len(models), _MAX_COLUMNS)
    bands = math.ceil(len(models) / columns)
    grid_rows = len(tasks) * bands

    width, height = _PANEL_INCHES
    keys = _keys(rows, several_models=len(models) > 1, add_script_bits=add_script_bits)
    figure = mpl_figure.Figure(
        figsize=(width * columns + _LEGEND_INCHES,
                 max(height * grid_rows, _LEGEND_LINE_INCHES * (len(keys) + 1)) + 0.2),
        layout="constrained", facecolor="white")
    backend_agg.FigureCanvasAgg(figure)
    grid = figure.subplots(grid_rows, columns, squeeze=False)
    for panel in grid.flat:
        panel.set_visible(False)

    for task_index, task in enumerate(tasks):
        scales = _scales(rows, [row for row in rows if row.dataset_name == task], add_script_bits)
        fronts = {model: frontier.pareto(cells.get((model, task), []),
                                         add_script_bits=add_script_bits) for model in models}
        for index, model in enumerate(models):
            panel = grid[task_index * bands + index // columns, index % columns]
            _frame(panel, scales, model, task, first_column=index % columns == 0,
                   last_row=task_index == len(tasks) - 1 and index + columns >= len(models))
            for other, front in fronts.items():
                if other != model:
                    _ghost(panel, front, scales, add_script_bits)
            _stairs(panel, fronts[model], scales, add_script_bits)
            _points(panel, cells.get((model, task), []), fronts[model], add_script_bits)
    legend = figure.legend(handles=keys, loc="outside right upper", frameon=False, fontsize=8,
                           labelcolor=style.INK, handletextpad=0.6)
    for key, text in zip(keys, legend.get_texts(), strict=True):
        text.set_parse_math(False)
        if key.get_gid() == _HEADING:
            text.set_fontweight("bold")
    return figure


def _scales(rows: Sequence[Row], task_rows: Sequence[Row], add_script_bits: bool) -> _Scales:
    lengths = [frontier.total_bits(row, add_script_bits) for row in rows]
    shortest, longest = max(min(lengths), _LINEAR_BELOW_BITS), max(max(lengths), 10)
    left, right = shortest / 1.7, longest * 2.2
    if math.floor(math.log10(right)) - math.ceil(math.log10(left)) < 1:
        # A reader needs two labelled ticks to see that the axis is logarithmic.
        left = 0.8 * 10 ** math.floor(math.log10(left))
        right = 1.25 * 10 ** math.ceil(math.log10(right))
    linear_start = min(lengths) < _LINEAR_BELOW_BITS
    low = min([0.0, *(row.performance - row.performance_stderr for row in task_rows)])
    high = max(row.performance + row.performance_stderr for row in task_rows)
    # Where nothing was learned yet, an axis to 1 shows points on a floor instead of noise.
    span = high - low if high > 0 else 1.0
    return _Scales(
        left=-2.0 if linear_start else left, right=right, linear_start=linear_start,
        bottom=low - 0.06 * span, top=low + 1.14 * span)


def _frame(
    panel: mpl_axes.Axes, scales: _Scales, model: str, task: str, *, first_column: bool,
    last_row: bool,
) -> None:
    panel.set_visible(True)
    if scales.linear_start:
        panel.set_xscale("symlog", linthresh=_LINEAR_BELOW_BITS, linscale=0.4)
        decades = range(1, math.floor(math.log10(scales.right)) + 1)
        panel.xaxis.set_major_locator(mpl_ticker.FixedLocator([0, *(10**d for d in decades)]))
    else:
        panel.set_xscale("log")
    panel.set_xlim(scales.left, scales.right)
    panel.set_ylim(scales.bottom, scales.top)
    panel.set_title(_short(model), fontsize=10, color=style.INK, loc="left", parse_math=False)
    panel.grid(True, which="major", color=style.GRID, linewidth=0.9)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(style.MUTED)
    panel.tick_params(colors=style.INK, labelsize=8, color=style.MUTED)
    panel.tick_params(which="minor", length=0)
    if first_column:
        panel.set_ylabel(f"{_short(task)}\ntest score", fontsize=9, color=style.INK,
                         parse_math=False)
    else:
        panel.tick_params(labelleft=False)
    if last_row:
        panel.set_xlabel("Program length (bits)", fontsize=9, color=style.INK)


def _ghost(
    panel: mpl_axes.Axes, front: Sequence[Row], scales: _Scales, add_script_bits: bool
) -> None:
    xs, ys = frontier.staircase(front, add_script_bits=add_script_bits)
    if xs:
        panel.step([*xs, scales.right], [*ys, ys[-1]], where="post", color=style.GHOST,
                   linewidth=1.3, zorder=1)


def _stairs(
    panel: mpl_axes.Axes, front: Sequence[Row], scales: _Scales, add_script_bits: bool
) -> None:
    rising = frontier.steps(front, add_script_bits=add_script_bits)
    xs, ys = frontier.staircase(front, add_script_bits=add_script_bits)
    for index, row in enumerate(rising):
        end = xs[index + 1] if index + 1 < len(xs) else scales.right
        # The riser belongs to the point that it leads to; the first has none, because below
        # the shortest program nothing is known.
        start = ys[max(index - 1, 0)]
        panel.plot([xs[index], xs[index], end], [start, ys[index], ys[index]],
                   color=style.VIEW_COLORS[style.view_of(row.experiment_name)], linewidth=2.2,
                   solid_capstyle="butt", solid_joinstyle="miter", zorder=2)
    if ys:
        panel.annotate(style.format_score(ys[-1]), (scales.right, ys[-1]), xytext=(0, 3),
                       textcoords="offset points", ha="right", va="bottom", fontsize=8,
                       color=style.INK, zorder=6,
                       path_effects=[patheffects.withStroke(linewidth=2.5, foreground="white")])


def _points(
    panel: mpl_axes.Axes, rows: Sequence[Row], front: Sequence[Row], add_script_bits: bool
) -> None:
    if not rows:
        panel.text(0.5, 0.5, "no points", transform=panel.transAxes, ha="center", va="center",
                   fontsize=9, color=style.MUTED)
    chosen = {row.point for row in front}
    # Points that look alike go in one call: a study of a thousand is drawn in seconds.
    alike = collections.defaultdict(list)
    for row in rows:
        look = style.family_style(row.experiment_name)
        alike[look, row.point in chosen, row.verified].append(row)
    for (look, on_frontier, verified), group in alike.items():
        xs = [frontier.total_bits(row, add_script_bits) for row in group]
        ys = [row.performance for row in group]
        panel.errorbar(xs, ys, yerr=[row.performance_stderr for row in group], fmt="none",
                       ecolor=look.color, elinewidth=1.1, alpha=0.6 if on_frontier else 0.25,
                       zorder=3)
        panel.plot(xs, ys, look.marker, zorder=5 if on_frontier else 4, clip_on=False,
                   **_marker(look, on_frontier, verified))


def _marker(look: style.FamilyStyle, on_frontier: bool, verified: bool) -> dict[str, object]:
    # A plus fills less of its square than the other markers do.
    scale = 1.35 if look.marker == "P" else 1.0
    if not verified:
        return dict(markersize=5.5 * scale, markerfacecolor="none", markeredgecolor=look.color,
                    markeredgewidth=1.1)
    if on_frontier:
        return dict(markersize=7.5 * scale, markerfacecolor=look.color, markeredgecolor="white",
                    markeredgewidth=0.8)
    return dict(markersize=5 * scale, markerfacecolor=look.color, markeredgecolor="none",
                alpha=0.4)


def _keys(
    rows: Sequence[Row], *, several_models: bool, add_script_bits: bool
) -> list[mpl_lines.Line2D]:
    """Returns the legend's lines: what occurs in the figure and nothing else."""
    front = frontier.pareto(rows, add_script_bits=add_script_bits)
    chosen = {row.point for row in front}
    views = list(style.VIEW_COLORS)
    looks = sorted({style.family_style(row.experiment_name) for row in rows},
                   key=lambda look: (views.index(look.view), look.label))
    reached = {style.view_of(row.experiment_name) for row in front}

    keys = [_heading("Program family")]
    keys += [_key(look.label, look.marker, **_marker(look, True, True)) for look in looks]
    if front:
        keys.append(_heading("Frontier, by view"))
        keys += [_line(view, style.VIEW_COLORS[view], 2.2) for view in views if view in reached]
        if several_models:
            keys.append(_line("Other models", style.GHOST, 1.3))
    keys.append(_heading("Points"))
    plain = style.FamilyStyle("", style.OTHER, style.INK, "o")
    if front:
        keys.append(_key("On the frontier", "o", **_marker(plain, True, True)))
    if any(row.verified and row.point not in chosen for row in rows):
        keys.append(_key("Off the frontier", "o", **_marker(plain, False, True)))
    if not all(row.verified for row in rows):
        keys.append(_key("Not verified", "o", **_marker(plain, False, False)))
    return keys


def _heading(label: str) -> mpl_lines.Line2D:
    return mpl_lines.Line2D([], [], linestyle="none", label=label, gid=_HEADING)


def _line(label: str, color: str, width: float) -> mpl_lines.Line2D:
    return mpl_lines.Line2D([], [], color=color, linewidth=width, label=label)


def _key(label: str, marker: str, **look) -> mpl_lines.Line2D:
    return mpl_lines.Line2D([], [], linestyle="none", marker=marker, label=label, **look)


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARACTERS else f"{name[:_NAME_CHARACTERS - 1]}…"
