"""The axes of a panel: program lengths on a logarithmic scale, and scores."""

import dataclasses
import math
from collections.abc import Collection

from matplotlib import axes as mpl_axes
from matplotlib import ticker as mpl_ticker

from sah_jax.reports import style

LENGTH_LABEL = "Program length (bits)"

# Below the shortest file that holds anything a logarithmic axis turns linear, so that the
# empty program has a place.
_LINEAR_BELOW_BITS = 8
_MOST_DECADES = 8


@dataclasses.dataclass(frozen=True)
class LengthScale:
    """The limits of an axis of lengths, and whether it begins with a linear part."""

    left: float
    right: float
    linear_start: bool

    def apply(self, axes: mpl_axes.Axes) -> None:
        """Gives an axis of lengths to a panel."""
        if self.linear_start:
            axes.set_xscale("symlog", linthresh=_LINEAR_BELOW_BITS, linscale=0.4)
            decades = range(1, math.floor(math.log10(self.right)) + 1)
            # Few enough for their labels to be apart, and the first of them apart from zero's.
            step = 1 + (len(decades) - 1) // _MOST_DECADES
            ticks = [0, *(10**decade for decade in decades[step - 1 :: step])]
            axes.xaxis.set_major_locator(mpl_ticker.FixedLocator(ticks))
        else:
            axes.set_xscale("log")
        axes.set_xlim(self.left, self.right)


def lengths(bits: Collection[int], reach: int = 0) -> LengthScale:
    """Returns the scale that holds lengths.

    Args:
      bits: at least one.
      reach: a length that the axis goes on to, such as that of the whole model.
    """
    shortest, longest = max(min(bits), _LINEAR_BELOW_BITS), max(max(bits), 10)
    left, right = shortest / 1.7, max(longest * 2.2, reach * 1.9)
    if math.floor(math.log10(right)) - math.ceil(math.log10(left)) < 1:
        # A reader needs two labelled ticks to see that the axis is logarithmic.
        left = 0.8 * 10 ** math.floor(math.log10(left))
        right = 1.25 * 10 ** math.ceil(math.log10(right))
    linear_start = min(bits) < _LINEAR_BELOW_BITS
    return LengthScale(-2.0 if linear_start else left, right, linear_start)


def scores(low: float, high: float, *, from_zero: bool) -> tuple[float, float]:
    """Returns the limits of an axis of scores, with room above and below what it holds."""
    low = min(0.0, low) if from_zero else low
    # Where nothing was learned yet, an axis to 1 shows points on a floor instead of noise.
    span = (high - low) or 1.0
    return low - 0.06 * span, low + 1.14 * span


def dress(axes: mpl_axes.Axes) -> None:
    """Gives a panel its grid, spines and ticks."""
    axes.set_visible(True)
    axes.grid(True, which="major", color=style.GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(style.MUTED)
    axes.tick_params(labelcolor=style.INK, labelsize=8, color=style.MUTED)
    axes.tick_params(which="minor", length=0)
