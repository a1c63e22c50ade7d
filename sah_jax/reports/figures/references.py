"""Lengths that everybody knows, to compare programs with (the reference's notebooks 026, 042 and 043)."""

import dataclasses
from collections.abc import Iterable, Sequence

from sah_jax.complexity import derived, frontier
from sah_jax.reports.figures import legends
from sah_jax.reports.figures.material import Material
from sah_jax.reports.figures.panels import Panel

_LINESTYLE = (0, (4, 2))
_WIDTH = 1.4
_BITS_A_PARAMETER = 16


@dataclasses.dataclass(frozen=True)
class Reference:
    """A known length, the colour of its line, and whether the paper's main figure has it."""

    label: str
    bits: int
    color: str
    main: bool = False


# A parameter has 32 bits, a character 8; a line of code 50 characters, a tweet 280.
FIXED = (
    Reference("20-parameter model", 20 * 32, "#F06292"),
    Reference("Tweet", 280 * 8, "#90A4AE"),
    Reference("200-parameter model", 200 * 32, "#9CCC65"),
    Reference("100 lines of Python", 100 * 50 * 8, "#7986CB", main=True),
    Reference("ImageNet image", 224 * 224 * 3 * 8, "#4DB6AC", main=True),
    Reference("BERT-base", 110_000_000 * 32, "#BA68C8", main=True),
    Reference("English Wikipedia", 80 * 2**30 * 8, "#FFD54F"),
)
PARAMETERS = {
    "smollm3-stage1": 3_075_098_624, "olmo3-7b-step1414k": 7_298_011_136,
    "olmo3-32b-step656k": 32_233_522_176}
"""Of the paper's models, as its notebook 042 has them."""


def full_model(material: Material, model: str) -> Reference | None:
    """Returns the length of a model at 16 bits a parameter; None where no stage of it has a known count."""
    known = PARAMETERS | dict(material.parameters)
    stages = [stage for lineage in material.known if model in lineage.stages for stage in lineage.stages]
    counts = [known[stage] for stage in (model, *stages) if stage in known]
    return Reference("Full model", _BITS_A_PARAMETER * counts[0], "#A1887F", main=True) if counts else None


def full_dataset(material: Material, model: str, task: str) -> Reference | None:
    """Returns the longest data program of a cell whose settings name no number of examples; None without one.

    The paper calls this length the full dataset, and only for IFEval it is known to be that. The released
    rows of the other tasks are older than the setting, so that how many examples they coded is not on record:
    by bits an example about 2^17 of the 395,000 of MetaMathQA at the most, and for some models far fewer. So
    it is a length that was run, and no bound on the length of a dataset. Programs of ours always say how many
    examples they hold, and give no such line.
    """
    bits = [material.bits(row) for row in material.cells.get((model, task), ())
            if row.experiment_name == "online"
            and all(row.strategy_hparams.get(name) is None for name in ("max_examples", "num_examples"))]
    return Reference("Full dataset, as reported", max(bits), "#FF8A65", main=True) if bits else None


def of_cell(material: Material, model: str, task: str) -> list[Reference]:
    """Returns all references of a cell, by length."""
    own = (full_model(material, model), full_dataset(material, model, task))
    return sorted((*FIXED, *(one for one in own if one)), key=lambda one: one.bits)


def reach(material: Material) -> int:
    """Returns the length of the largest model whose size is known, for axes that go on to it, or 0."""
    return max((one.bits for model in material.models if (one := full_model(material, model))), default=0)


def draw(panel: Panel, front: Sequence[frontier.Row], *, main: bool) -> list[Reference]:
    """Draws the references of a panel's cell that its axis holds, and returns them.

    Args:
      panel: what is drawn on.
      front: the frontier of its cell.
      main: whether only those of the paper's main figure, each up to the frontier; else all, over the panel.
    """
    stairs, (bottom, top) = panel.staircase(front), panel.axes.get_ylim()
    drawn = []
    for one in of_cell(panel.material, panel.column, panel.task):
        # Shorter than every program there is no frontier to draw up to.
        height = derived.score_at(stairs, one.bits) if main else top
        if panel.length_scale.left <= one.bits <= panel.length_scale.right and height is not None and (
                one.main or not main):
            panel.axes.plot([one.bits, one.bits], [bottom, height], color=one.color, linestyle=_LINESTYLE,
                            linewidth=_WIDTH, zorder=1)
            drawn.append(one)
    return drawn


def keys(drawn: Iterable[Reference]) -> list[legends.Key]:
    """Returns the keys of references that were drawn, each once, under a heading."""
    looks = {one.label: one for one in sorted(drawn, key=lambda one: one.bits)}
    return [legends.heading("References"), *(
        legends.line(one.label, one.color, _WIDTH, _LINESTYLE) for one in looks.values())] if looks else []
