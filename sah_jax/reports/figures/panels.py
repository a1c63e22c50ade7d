"""Grids of panels, a line a task: score against program length, on scales that the panels share."""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
from matplotlib import patheffects
from matplotlib.backends import backend_agg

from sah_jax.complexity import frontier
from sah_jax.reports import style
from sah_jax.reports.figures import labels, marks, scales
from sah_jax.reports.figures.material import Columns, Material, Row, Unit

_MAX_COLUMNS = 5
_PANEL_INCHES = (3.3, 2.7)
# How far apart labels at the end of curves are at least, as a share of the axis.
_LABEL_APART = 0.06


@dataclasses.dataclass(frozen=True)
class Panel:
    """One panel: its axes, and how rows become places on them.

    Attributes:
      axes: what is drawn on.
      task: whose scores it shows.
      column: the model, or the lineage.
      unit: the unit of the scores.
      length_scale: the scale of program lengths.
      material: what it is drawn from.
    """

    axes: mpl_axes.Axes
    task: str
    column: str
    unit: Unit
    length_scale: scales.LengthScale
    material: Material

    def staircase(self, front: Sequence[Row]) -> tuple[list[int], list[float]]:
        """Returns `frontier.staircase` in the panel's unit."""
        xs, ys = frontier.staircase(front, add_script_bits=self.material.add_script_bits)
        return xs, [y * self.unit.factor for y in ys]

    def stairs(self, front: Sequence[Row], color: object, width: float, zorder: float = 2) -> None:
        """Draws the staircase of a frontier, its last level up to the panel's edge."""
        xs, ys = self.staircase(front)
        if xs:
            self.axes.step([*xs, self.length_scale.right], [*ys, ys[-1]], where="post", color=color,
                           linewidth=width, zorder=zorder)

    def frontier(self, front: Sequence[Row]) -> None:
        """Draws the staircase of a frontier in grey."""
        self.stairs(front, marks.FRONTIER_COLOR, marks.FRONTIER_WIDTH)

    def stairs_by_view(self, front: Sequence[Row], width: float) -> None:
        """Draws the staircase of a frontier, each step in the colour of the view that reached it."""
        _, ys = self.staircase(front)
        for index, (start, end, color) in enumerate(self._steps(front)):
            # The riser belongs to the point that it leads to; the first has none, because below
            # the shortest program nothing is known.
            below = ys[max(index - 1, 0)]
            self.axes.plot([start, start, end], [below, ys[index], ys[index]], color=color, linewidth=width,
                           solid_capstyle="butt", solid_joinstyle="miter", zorder=2)

    def band_by_view(self, front: Sequence[Row]) -> None:
        """Draws the intervals along the staircase of a frontier, in its colours, where there are any."""
        _, intervals = self.material.band(front)
        for (start, end, color), interval in zip(self._steps(front), intervals, strict=True):
            if interval:
                low, high = (self.unit.factor * bound for bound in interval)
                self.axes.fill_between([start, end], low, high, color=color, alpha=style.BAND_OPACITY,
                                       linewidth=0, zorder=0.9)

    def _steps(self, front: Sequence[Row]) -> list[tuple[int, float, str]]:
        """Returns of each step of a frontier where it starts and ends, and the colour of its view."""
        starts = list(map(self.material.bits, front))
        colors = [style.VIEW_COLORS[style.view_of(row.experiment_name)] for row in front]
        return list(zip(starts, [*starts, self.length_scale.right][1:], colors, strict=True))

    def points(
        self, rows: Iterable[Row], chosen: Collection[int],
        look_of: Callable[[Row], style.FamilyStyle] = lambda row: style.family_style(row.experiment_name),
    ) -> set[marks.Kind]:
        """Draws points with their standard errors, and returns of which kinds they are.

        Args:
          rows: the points.
          chosen: the `id` of each row on the frontier.
          look_of: how a row is drawn.
        """
        # Points that look alike go in one call: a study of a thousand is drawn in seconds.
        alike = collections.defaultdict(list)
        for row in rows:
            alike[look_of(row), marks.kind(row, chosen, self.material.mixed)].append(row)
        for (look, kind), group in alike.items():
            on = kind in (marks.Kind.ON, marks.Kind.REPORTED)
            xs = [self.material.bits(row) for row in group]
            ys = [row.performance * self.unit.factor for row in group]
            errors = [_error(row) * self.unit.factor for row in group]
            if any(errors):
                self.axes.errorbar(xs, ys, yerr=errors, fmt="none", ecolor=look.color, elinewidth=1.1,
                                   alpha=0.6 if on else 0.25, zorder=3)
            self.axes.plot(xs, ys, look.marker, zorder=5 if on else 4, clip_on=False,
                           **marks.marker(look, kind))
        return {kind for _, kind in alike}

    def end_labels(self, ends: Sequence[tuple[float, object]]) -> None:
        """Writes scores (with colours) right of the panel, each at its height or as near as others let it."""
        bottom, top = self.axes.get_ylim()
        apart, floor = _LABEL_APART * (top - bottom), bottom
        heights = []
        for score, _ in sorted(ends, key=lambda end: end[0]):
            heights.append(floor := max(score, floor + apart))
        # Those that were pushed over the top go down again, and push those below them.
        for index in reversed(range(len(heights))):
            heights[index] = min(heights[index], top - apart * (len(heights) - 1 - index))
        for (score, color), height in zip(sorted(ends, key=lambda end: end[0]), heights, strict=True):
            self.axes.annotate(
                f"{score:.1f}", (self.length_scale.right, height), xytext=(3, 0),
                textcoords="offset points", ha="left", va="center", fontsize=8, fontweight="bold",
                color=color, annotation_clip=False)


def outlined(axes: mpl_axes.Axes, text: str, place: tuple[float, float], **how: Any) -> None:
    """Writes on a panel, legible over what is drawn there."""
    axes.annotate(text, place, textcoords="offset points", fontsize=8, color=style.INK, zorder=6,
                  path_effects=[patheffects.withStroke(linewidth=2.5, foreground="white")], **how)


def blank(width: float, height: float) -> mpl_figure.Figure:
    """Returns a figure of so many inches without panels."""
    figure = mpl_figure.Figure(figsize=(width, height), layout="constrained", facecolor="white")
    backend_agg.FigureCanvasAgg(figure)
    return figure


def grid(
    material: Material, drawn: Mapping[str, Columns], *,
    unit: Callable[[str], Unit] | None = None, name: Callable[[str], str] = str, from_zero: bool = False,
    every_title: bool = False, reach: int = 0, held: Mapping[str, Collection[float]] | None = None,
) -> tuple[mpl_figure.Figure, list[Panel]]:
    """Returns a figure with framed panels, still empty.

    Args:
      material: what is drawn.
      drawn: of each task and column, the rows that decide the scales: lengths of all panels, scores of all
        panels of a task.
      unit: of a task's scores; by default `material.unit`.
      name: of a column, as its title says it.
      from_zero: whether an axis of scores holds zero.
      every_title: whether a panel has a title under another of the same column, too.
      reach: a length that the axes go on to.
      held: of each task, more scores that its axes hold.
    """
    lines = [(task, [*own][start : start + _MAX_COLUMNS])
             for task, own in drawn.items() for start in range(0, len(own), _MAX_COLUMNS)]
    count = max(len(columns) for _, columns in lines)
    width, height = _PANEL_INCHES
    figure = blank(width * count, height * len(lines))
    axes = figure.subplots(len(lines), count, squeeze=False)
    for one in axes.flat:
        one.set_visible(False)
    length_scale = scales.lengths(
        [material.bits(row) for own in drawn.values() for rows in own.values() for row in rows], reach)
    lowest = {index: number for number, (_, columns) in enumerate(lines) for index in range(len(columns))}

    panels = []
    for number, (task, columns) in enumerate(lines):
        task_unit = (unit or material.unit)(task)
        limits = _limits(drawn[task], (held or {}).get(task, ()), task_unit, from_zero)
        titled = every_title or not number or columns != lines[number - 1][1]
        for index, column in enumerate(columns):
            panel = Panel(axes[number, index], task, column, task_unit, length_scale, material)
            _frame(panel, limits, name(column) if titled else "", first=not index,
                   last=number == lowest[index])
            panels.append(panel)
    return figure, panels


def _limits(own: Columns, held: Collection[float], unit: Unit, from_zero: bool) -> tuple[float, float]:
    shown = [*held, *(row.performance + side * _error(row)
                      for row in itertools.chain.from_iterable(own.values()) for side in (-1, 1))]
    return scales.scores(unit.factor * min(shown), unit.factor * max(shown), from_zero=from_zero)


def _error(row: Row) -> float:
    """Returns the length of a row's error bar, 0 where no error is known."""
    return row.performance_stderr or 0.0


def _frame(panel: Panel, limits: tuple[float, float], title: str, *, first: bool, last: bool) -> None:
    axes = panel.axes
    scales.dress(axes)
    panel.length_scale.apply(axes)
    axes.set_ylim(*limits)
    axes.set_title(labels.short(title), fontsize=10, color=style.INK, loc="left", parse_math=False)
    if first:
        axes.set_ylabel(panel.unit.label, fontsize=9, color=style.INK, parse_math=False)
    else:
        axes.tick_params(labelleft=False)
    if last:
        axes.set_xlabel(scales.LENGTH_LABEL, fontsize=9, color=style.INK)
