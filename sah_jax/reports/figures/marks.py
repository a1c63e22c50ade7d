"""Markers of points: what kind of point it is shows in their size and fill, the family in colour and form."""

import enum
from collections.abc import Collection

from sah_jax.reports import style
from sah_jax.reports.figures.material import Row

FRONTIER_COLOR, FRONTIER_WIDTH = "gray", 2.2
"""Of a frontier that is not coloured by what is on it."""


class Kind(enum.Enum):
    """What a point is, as the legend says it."""

    ON = "On the frontier"
    OFF = "Off the frontier"
    UNVERIFIED = "Not verified"
    REPORTED = "Reported, no file"
    REPORTED_OFF = "Reported, off the frontier"


def kind(row: Row, chosen: Collection[int], mixed: bool) -> Kind:
    """Returns what a row's point is.

    Args:
      row: the row.
      chosen: the `id` of each row on the frontier.
      mixed: whether there are also rows of ours, so that a reported one must be told apart.
    """
    if not row.counts:
        return Kind.UNVERIFIED
    on = id(row) in chosen
    if row.reported and mixed:
        return Kind.REPORTED if on else Kind.REPORTED_OFF
    return Kind.ON if on else Kind.OFF


def marker(look: style.FamilyStyle, point: Kind) -> dict[str, object]:
    """Returns how matplotlib draws a kind of point of a family."""
    # A plus fills less of its square than the other markers do.
    scale = 1.35 if look.marker == "P" else 1.0
    match point:
        case Kind.UNVERIFIED:
            return dict(markersize=5.5 * scale, markerfacecolor="none", markeredgecolor=look.color,
                        markeredgewidth=1.1)
        case Kind.ON:
            return dict(markersize=7.5 * scale, markerfacecolor=look.color, markeredgecolor="white",
                        markeredgewidth=0.8)
        case Kind.OFF:
            return dict(markersize=5 * scale, markerfacecolor=look.color, markeredgecolor="none", alpha=0.4)
        case Kind.REPORTED:
            return dict(markersize=4.5 * scale, markerfacecolor=look.color, markeredgecolor=style.INK,
                        markeredgewidth=0.6)
        case Kind.REPORTED_OFF:
            return dict(markersize=3.5 * scale, markerfacecolor=look.color, markeredgecolor=style.INK,
                        markeredgewidth=0.4, alpha=0.4)
