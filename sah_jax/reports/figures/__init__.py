"""The figures of the paper, and of a study: drawn by name from rows, and from what sidecars say beside them.

Drawn through matplotlib's objects, never pyplot, whose global state would leak between
studies drawn in one process.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib import figure as mpl_figure

from sah_jax.complexity import lineages
from sah_jax.reports.figures import (
    checkpoint_curves,
    checkpoint_differences,
    frontier,
    lm_head,
    pareto_by_method,
    pareto_by_view,
    pareto_references,
    reduction_bars,
    task_complexity,
    unified,
    width_map,
)
from sah_jax.reports.figures.files import save
from sah_jax.reports.figures.material import Material, NothingToDraw, Row, Widths

__all__ = ["draw", "draw_all", "NAMES", "NothingToDraw", "save"]

_FIGURES: dict[str, Callable[[Material], mpl_figure.Figure]] = {
    "frontier": frontier.draw,
    "pareto_by_view": pareto_by_view.draw,
    "pareto_by_method": pareto_by_method.draw,
    "pareto_by_method_all": pareto_by_method.draw_all,
    "pareto_references": pareto_references.draw,
    "task_complexity": task_complexity.draw,
    "checkpoint_curves": checkpoint_curves.draw,
    "checkpoint_differences": checkpoint_differences.draw,
    "reduction_bars": reduction_bars.draw,
    "unified": unified.draw,
    "lm_head": lm_head.draw,
    "width_map": width_map.draw,
}

NAMES = tuple(_FIGURES)
"""Of all figures: the first is a study's, the others the paper's."""


def draw(
    name: str, rows: Sequence[Row], *, known: Sequence[lineages.Lineage] = lineages.KNOWN,
    add_script_bits: bool = True, parameters: Mapping[str, int] | None = None,
    widths: Mapping[str, Widths] | None = None,
) -> mpl_figure.Figure:
    """Draws a figure.

    Args:
      name: one of `NAMES`.
      rows: the points, ours and those that other systems report.
      known: the lineages that models may be of.
      add_script_bits: whether a length counts the script.
      parameters: how many parameters models have, beside the paper's, whose counts are known.
      widths: of programs that have such, by their points: the bits a number of each tensor in each layer.

    Raises:
      NothingToDraw: the rows hold nothing for it; the sentence says what is missing.
      ValueError: no figure has that name.
    """
    if name not in _FIGURES:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(NAMES)}")
    if not rows:
        raise NothingToDraw("Got no rows, expected at least one; run the study or add rows.")
    # Of two lineages of one name the later is meant.
    lineages_by_name = {one.name: one for one in known}
    return _FIGURES[name](Material(
        tuple(rows), tuple(lineages_by_name.values()), add_script_bits, dict(parameters or {}),
        dict(widths or {})))


def draw_all(rows: Sequence[Row], **given: Any) -> tuple[dict[str, mpl_figure.Figure], dict[str, str]]:
    """Draws what can be drawn.

    Args: see `draw`.

    Returns:
      The figures by name, and of the others what is missing, by name.
    """
    drawn, missing = {}, {}
    for name in NAMES:
        try:
            drawn[name] = draw(name, rows, **given)
        except NothingToDraw as error:
            missing[name] = str(error)
    return drawn, missing
