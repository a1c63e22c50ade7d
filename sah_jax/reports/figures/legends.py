"""The legend beside a figure: lines of keys under headings, of what occurs in it and nothing else."""

from collections.abc import Collection, Iterable, Sequence

from matplotlib import figure as mpl_figure
from matplotlib import lines as mpl_lines
from matplotlib import patches as mpl_patches

from sah_jax.reports import style
from sah_jax.reports.figures import labels, marks
from sah_jax.reports.figures.material import Material, Row

Key = mpl_lines.Line2D | mpl_patches.Patch

_LINE_INCHES, _LETTER_INCHES, _HANDLE_INCHES, _LEAST_INCHES = 0.19, 0.06, 0.6, 1.75
_HEADING = "heading"


def attach(figure: mpl_figure.Figure, keys: Sequence[Key]) -> None:
    """Puts a legend to the right of all panels, and gives the figure room for it."""
    for key in keys:
        key.set_label(labels.printable(key.get_label()))
    width, height = figure.get_size_inches()
    longest = max(len(key.get_label()) for key in keys)
    figure.set_size_inches(
        width + max(_LEAST_INCHES, _HANDLE_INCHES + _LETTER_INCHES * longest),
        max(height, _LINE_INCHES * (len(keys) + 1)) + 0.2)
    legend = figure.legend(handles=keys, loc="outside right upper", frameon=False, fontsize=8,
                           labelcolor=style.INK, handletextpad=0.6)
    for key, text in zip(keys, legend.get_texts(), strict=True):
        text.set_parse_math(False)
        if key.get_gid() == _HEADING:
            text.set_fontweight("bold")


def heading(label: str) -> Key:
    """Returns a line of the legend that is the heading of those after it."""
    return mpl_lines.Line2D([], [], linestyle="none", label=label, gid=_HEADING)


def line(label: str, color: object, width: float, linestyle: object = "-") -> Key:
    """Returns the key of a line."""
    return mpl_lines.Line2D([], [], color=color, linewidth=width, linestyle=linestyle, label=label)


def patch(label: str, color: object, **look: object) -> Key:
    """Returns the key of an area."""
    return mpl_patches.Patch(facecolor=color, label=label, **look)


def frontier() -> Key:
    """Returns the key of `Panel.frontier`."""
    return line("Pareto frontier", marks.FRONTIER_COLOR, marks.FRONTIER_WIDTH)


def point(look: style.FamilyStyle, kind: marks.Kind = marks.Kind.ON, label: str | None = None) -> Key:
    """Returns the key of a kind of point of a family, which is called what its look says by default."""
    return mpl_lines.Line2D([], [], linestyle="none", marker=look.marker,
                            label=look.label if label is None else label, **marks.marker(look, kind))


def families(rows: Iterable[Row]) -> list[Key]:
    """Returns the keys of the families of rows, by view."""
    views = list(style.VIEW_COLORS)
    looks = {style.family_style(row.experiment_name) for row in rows}
    return [point(look) for look in sorted(looks, key=lambda look: (views.index(look.view), look.label))]


def views(found: Collection[str], width: float) -> list[Key]:
    """Returns the keys of lines in the colours of the views that occur."""
    return [line(view, color, width) for view, color in style.VIEW_COLORS.items() if view in found]


def kinds(
    material: Material, rows: Iterable[Row], chosen: Collection[int], *, places: bool
) -> list[Key]:
    """Returns the keys of the kinds of points, under a heading; none where there is nothing to say.

    Args:
      material: what the figure is drawn from.
      rows: the points.
      chosen: the `id` of each row that is drawn as one on the frontier.
      places: whether large points are those on the frontier, and pale ones those off it.
    """
    found = {marks.kind(row, chosen, material.mixed) for row in rows}
    if marks.Kind.REPORTED_OFF in found:
        found = found - {marks.Kind.REPORTED_OFF} | {marks.Kind.REPORTED}
    if not places:
        found -= {marks.Kind.ON, marks.Kind.OFF}
    plain = style.FamilyStyle("", style.OTHER, style.INK, "o")
    keys = [point(plain, one, one.value) for one in marks.Kind if one in found]
    return [heading("Points"), *keys] if keys else []
