"""Settings that were run with several seeds: means with standard errors, as tables and figures.

A *cell* is the rows of one setting. Cells are chosen by their mean selection score, like rows; what is told
of them is the test score. The standard error is that of the mean over seeds.
"""

import dataclasses
import json
import math
import statistics
from collections.abc import Mapping, Sequence

from matplotlib import figure as mpl_figure
from matplotlib.backends import backend_agg

from sah_jax.reports import markdown, style
from sah_jax.reports.figures import labels
from sah_jax.studies import rows as rows_lib

_PANEL_INCHES = (6.2, 4.2)

# What of a setting a table tells, in this order; the rest is alike in the study or said by its config.
_WORDS = {
    "rank": "rank {}", "bits_per_weight": "{} bits", "size": "d = {}", "basis": "{}", "slots": "{} slots",
    "start": "from {}", "layers": "layers {}", "modules": "modules {}", "learner": "{} learner",
    "inputs": "inputs {}", "replay": "replay {}", "rounding": "{}", "order": "order {}",
    "rate_weight": "λ {:g}",
    "coded_examples": "{} coded", "num_examples": "{} examples"}


_PAPER_DATA = {"inputs": "coded", "replay": 0, "first_block": 0, "temperature": 1.0, "learner": "lora"}


@dataclasses.dataclass(frozen=True)
class Cell:
    """The rows of one setting."""

    family: str
    setting: dict
    rows: tuple[rows_lib.Row, ...]

    def mean(self, field: str) -> float:
        """Returns the mean of a number of the rows."""
        return statistics.fmean(getattr(row, field) for row in self.rows)

    def stderr(self, field: str) -> float | None:
        """Returns the standard error of the mean over seeds; of a single row none is known."""
        if len(self.rows) < 2:
            return None
        return statistics.stdev(getattr(row, field) for row in self.rows) / math.sqrt(len(self.rows))

    @property
    def label(self) -> str:
        """The family and what its setting says, for people."""
        own = self.setting | {key: value for part in self.setting.values() if isinstance(part, dict)
                              for key, value in part.items()}
        said = ", ".join(text.format(own[name]) for name, text in _WORDS.items() if name in own)
        return f"`{self.family}`" + (f" {said.replace('1 examples', '1 example')}" if said else "")

    @property
    def is_reference(self) -> bool:
        """Whether it is a data program as the paper has them: none of the options that make one shorter."""
        return all(self.setting.get(name, default) == default for name, default in _PAPER_DATA.items())


def group(rows: Sequence[rows_lib.Row]) -> list[Cell]:
    """Returns the cells of rows of one model and task, in the rows' order."""
    found: dict[str, list[rows_lib.Row]] = {}
    for row in rows:
        found.setdefault(json.dumps([row.experiment_name, row.strategy_hparams]), []).append(row)
    return [Cell(own[0].experiment_name, own[0].strategy_hparams, tuple(own)) for own in found.values()]


def table(cells: Sequence[Cell], *, short: bool = False) -> str:
    """Returns a table in Markdown, shortest first; a short one in the config's order, without costs."""
    header = ["program", "seeds", "bits", "ideal bits", "score"]
    header += [] if short else ["paper's count", "train", "decode", "query", "class"]
    lines = []
    for cell in cells if short else sorted(cells, key=lambda cell: cell.mean("bits")):
        line = [cell.label, str(len(cell.rows)), _estimate(cell, "bits"), f"{cell.mean('ideal_bits'):,.0f}",
                _score(cell)]
        if not short:
            counted = cell.mean("reference_bits")
            line += [f"{counted:,.0f}" if counted else "", *(
                _flops(cell.mean(name)) for name in ("train_flops", "decode_flops", "query_flops"))]
            line.append("portable" if all(row.portable for row in cell.rows) else "replayed")
        lines.append(line)
    return markdown.table(header, lines)


def equal_scores(cells: Sequence[Cell]) -> str:
    """Returns a table of the shortest cells that are as good as others.

    The others are rank-1 LoRA of 16 bits, at each of its lengths of training, and the paper's data programs
    at their best.
    """
    raw = [cell for cell in cells if cell.family == "lora" and cell.setting.get("bits_per_weight") == 16]
    header = ["as good as", "selection score", "its bits", "`bayesian_bits`", "shortest", "bits",
              "test score", "shorter", "than `bayesian_bits`"]
    lines = []
    for target in raw:
        bayesian = shortest([cell for cell in cells if cell.family == "bayesian_bits"], target)
        best = shortest(cells, target)
        lines.append([
            f"LoRA of 16 bits, {target.setting['num_examples']} examples",
            f"{target.mean('selection_performance'):.3f} (test {_score(target)})", _estimate(target, "bits"),
            _estimate(bayesian, "bits") if bayesian else "not reached", best.label, _estimate(best, "bits"),
            _score(best), _ratio(target, best), _ratio(bayesian, best) if bayesian else ""])
    data = [cell for cell in cells if cell.family in ("online", "combined")]
    paper = [cell for cell in data if cell.family == "online" and cell.is_reference]
    target = max(paper, key=lambda cell: cell.mean("selection_performance"))
    best = shortest(data, target)
    lines.append([
        f"the paper's `online` at its best: {target.label}",
        f"{target.mean('selection_performance'):.3f} (test {_score(target)})", _estimate(target, "bits"), "",
        best.label, _estimate(best, "bits"), _score(best), _ratio(target, best), ""])
    return markdown.table(header, lines)


def shortest(cells: Sequence[Cell], target: Cell) -> Cell | None:
    """Returns the shortest cell whose mean selection score is at least the target's; None if none is."""
    least = target.mean("selection_performance")
    good = [cell for cell in cells if cell.mean("selection_performance") >= least]
    return min(good, key=lambda cell: cell.mean("bits"), default=None)


def draw_families(cells: Sequence[Cell]) -> mpl_figure.Figure:
    """Draws score against length: a point a cell, standard errors over seeds, and the cells' frontier."""
    figure, (panel,) = _figure(1)
    for family in dict.fromkeys(cell.family for cell in cells):
        own, look = [cell for cell in cells if cell.family == family], style.family_style(family)
        panel.errorbar(
            [cell.mean("bits") for cell in own], [cell.mean("performance") for cell in own],
            xerr=_errors(own, "bits"), yerr=_errors(own, "performance"), fmt=look.marker, color=look.color,
            markersize=6, linewidth=0, elinewidth=1, label=labels.printable(look.label))
    best, steps = -math.inf, []
    for cell in sorted(cells, key=lambda cell: (cell.mean("bits"), -cell.mean("selection_performance"))):
        if cell.mean("selection_performance") > best:
            best = cell.mean("selection_performance")
            steps.append(cell)
    ends = [cell.mean("bits") for cell in steps] + [max(cell.mean("bits") for cell in cells)]
    heights = [cell.mean("performance") for cell in steps]
    panel.step(ends, [*heights, heights[-1]], where="post", color=style.MUTED, linewidth=1, zorder=0)
    panel.set_xscale("log")
    panel.set_xlabel("bits of the file", color=style.INK)
    task = labels.short(cells[0].rows[0].dataset_name)
    panel.set_ylabel(f"{task}, test", color=style.INK, parse_math=False)
    panel.legend(frameon=False, fontsize=7, loc="lower right", labelcolor=style.INK)
    return figure


def draw_ablations(studies: Mapping[str, Sequence[Cell]]) -> mpl_figure.Figure:
    """Draws a panel for each ablation: score and bits of each of its settings, in the config's order."""
    figure, panels = _figure(len(studies))
    for panel, (name, cells) in zip(panels, studies.items(), strict=True):
        places = range(len(cells))
        panel.errorbar(
            places, [cell.mean("performance") for cell in cells], yerr=_errors(cells, "performance"),
            fmt="o-", color="#D81B60", linewidth=1)
        panel.set_xticks(
            places, [labels.short(str(cell.setting[name])) for cell in cells], parse_math=False)
        panel.set_xlabel(name, color=style.INK)
        panel.set_ylabel("score, test", color="#D81B60")
        bits = panel.twinx()
        bits.errorbar(
            places, [cell.mean("bits") for cell in cells], yerr=_errors(cells, "bits"), fmt="s--",
            color="#1E88E5", linewidth=1)
        bits.set_ylabel("bits of the file", color="#1E88E5")
        bits.set_ylim(bottom=0)
        bits.spines["top"].set_visible(False)
    return figure


def _figure(count: int):
    figure = mpl_figure.Figure(
        figsize=(_PANEL_INCHES[0] * count, _PANEL_INCHES[1]), layout="constrained", facecolor="white")
    backend_agg.FigureCanvasAgg(figure)
    panels = figure.subplots(1, count, squeeze=False)[0]
    for panel in panels:
        panel.grid(color=style.GRID)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _errors(cells: Sequence[Cell], field: str) -> list[float]:
    """Returns the lengths of error bars, 0 where no error is known."""
    return [cell.stderr(field) or 0.0 for cell in cells]


def _estimate(cell: Cell, field: str) -> str:
    error = cell.stderr(field)
    return f"{cell.mean(field):,.0f}" + (f" ± {error:,.0f}" if error else "")


def _score(cell: Cell) -> str:
    return style.format_estimate(cell.mean("performance"), cell.stderr("performance"))


def _ratio(longer: Cell, shorter: Cell) -> str:
    return f"{longer.mean('bits') / shorter.mean('bits'):.1f}x"


def _flops(count: float) -> str:
    return "0" if not count else f"{count / 1e9:,.3g} G"
