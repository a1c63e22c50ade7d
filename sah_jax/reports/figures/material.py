"""What figures are drawn from: rows, with the names, units and orders that the paper's figures use."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sah_jax.complexity import bands, derived, frontier
from sah_jax.complexity import lineages as lineages_lib
from sah_jax.reports.figures import labels

Row = frontier.Row
Columns = dict[str, list[Row]]
"""The rows of each column of one task: of a model, or of a lineage."""

Widths = Mapping[str, Sequence[int]]
"""Of each tensor of a program the bits a number in each layer: a power of two up to 32, or 0 of zeros."""

MAIN_MODELS = {
    "smollm3-stage1": "SmolLM3", "olmo3-7b-step1414k": "Olmo3 7B", "olmo3-32b-step656k": "Olmo3 32B"}
"""The models of the paper's main figures, in its order, and what it calls them."""


class NothingToDraw(ValueError):
    """The rows hold nothing that a figure could show; the message is a sentence that says what is missing."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """How a task and its scores are written.

    Attributes:
      task: what the task is called.
      metric: what its scores are.
      factor: of a row's score, to what is drawn.
    """

    task: str
    metric: str
    factor: float

    @property
    def label(self) -> str:
        """The label of the axis of scores."""
        return f"{labels.short(self.task)}\n{self.metric}"


# The paper's first, in its order.
_UNITS = {
    "gsm8k": Unit("GSM8K (Math)", "Accuracy (%)", 100.0),
    "flores": Unit("FLORES (Translation)", "BLEU", 1.0),
    "ifeval": Unit("IFEval (Instruction)", "Score (%)", 100.0),
    "esnli": Unit("e-SNLI", "Accuracy (%)", 100.0),
    "nano_math": Unit("nano_math", "Accuracy (%)", 100.0),
    "nano_translate": Unit("nano_translate", "BLEU", 1.0),
    "nano_follow": Unit("nano_follow", "Score (%)", 100.0),
}


@dataclasses.dataclass(frozen=True)
class Material:
    """Rows, and how to read them.

    Attributes:
      rows: ours and those that other systems report.
      known: the lineages that models may be of.
      add_script_bits: whether a length counts the script.
      parameters: how many parameters models have, where that is known.
      widths: of programs that have such, by their points: the bits a number of each tensor in each layer.
    """

    rows: Sequence[Row]
    known: Sequence[lineages_lib.Lineage]
    add_script_bits: bool
    parameters: Mapping[str, int]
    widths: Mapping[str, Widths] = dataclasses.field(default_factory=dict)

    def of(self, rows: Iterable[Row]) -> "Material":
        """Returns the same of other rows."""
        return dataclasses.replace(self, rows=tuple(rows))

    @functools.cached_property
    def cells(self) -> dict[frontier.Cell, list[Row]]:
        """The rows of each (model, task)."""
        return frontier.group_cells(self.rows)

    @functools.cached_property
    def tasks(self) -> list[str]:
        """The tasks, in the paper's order, and then in the rows'."""
        order = list(_UNITS)
        place = lambda task: order.index(_kind(task)) if _kind(task) in order else len(order)
        return sorted(dict.fromkeys(row.dataset_name for row in self.rows), key=place)

    @functools.cached_property
    def models(self) -> list[str]:
        """The models: the paper's main ones in its order, and then the others as they were trained."""
        return [*(model for model in MAIN_MODELS if model in self.trained),
                *(model for model in self.trained if model not in MAIN_MODELS)]

    @functools.cached_property
    def trained(self) -> list[str]:
        """The models in the order of `lineages.in_order`."""
        return lineages_lib.in_order((row.model_name for row in self.rows), self.known)

    @functools.cached_property
    def lineages(self) -> dict[str, lineages_lib.Lineage]:
        """The known lineages by name."""
        return {lineage.name: lineage for lineage in self.known}

    @functools.cached_property
    def mixed(self) -> bool:
        """Whether there are both rows of ours and reported ones, which must then be told apart."""
        return len({row.reported for row in self.rows}) == 2

    @functools.cached_property
    def intervals(self) -> bands.Intervals:
        """The intervals of the rows' test scores."""
        return bands.Intervals(self.rows)

    def bits(self, row: Row) -> int:
        """Returns the length of a row's program."""
        return frontier.total_bits(row, self.add_script_bits)

    def front(self, rows: Iterable[Row], *, ties: bool = False) -> list[Row]:
        """Returns the frontier of rows of one cell; none where no row counts."""
        return frontier.pareto(rows, add_script_bits=self.add_script_bits, ties=ties)

    def band(self, front: Sequence[Row]) -> tuple[list[int], list[bands.Interval | None]]:
        """Returns the intervals along the staircase of a frontier, see `bands.Intervals.band`."""
        return self.intervals.band(front, add_script_bits=self.add_script_bits)

    def unit(self, task: str) -> Unit:
        """Returns how a task is written; one that is not known is in percent if its scores are shares."""
        kind, _, options = task.partition(":")
        if kind in _UNITS:
            known = _UNITS[kind]
            return dataclasses.replace(known, task=f"{known.task}, {options}") if options else known
        scores = [row.performance for row in self.rows if row.dataset_name == task]
        shares = all(0.0 <= score <= 1.0 for score in scores)
        return Unit(task, "Score (%)" if shares else "Score", 100.0 if shares else 1.0)

    def name(self, model: str) -> str:
        """Returns what a model is called in a figure where all models are at one stage."""
        return MAIN_MODELS.get(model, model)

    def cells_with(self, families: Collection[str]) -> dict[str, Columns]:
        """Returns the rows of all families, by task and model, of the cells that have one of given families.

        Raises:
          NothingToDraw: there are none.
        """
        cells = {
            task: {model: rows for model in self.models if (rows := self.cells.get((model, task)))
                   and any(row.experiment_name in families for row in rows)}
            for task in self.tasks}
        if not any(cells.values()):
            raise NothingToDraw(
                f"Got no row of {' or '.join(families)}, expected one; add rows of such programs.")
        return {task: own for task, own in cells.items() if own}

    def checkpoints(
        self, models: Callable[[lineages_lib.Lineage], Sequence[str]]
    ) -> dict[str, dict[str, dict[str, list[Row]]]]:
        """Returns the frontiers of given models of each lineage, by task, lineage and model.

        Raises:
          NothingToDraw: no lineage has frontiers of two of them on one task.
        """
        found = {}
        for task in self.tasks:
            for name, lineage in self.lineages.items():
                fronts = {model: front for model in models(lineage)
                          if (front := self.front(self.cells.get((model, task), [])))}
                if fronts:
                    found.setdefault(task, {})[name] = fronts
        if not any(len(fronts) > 1 for own in found.values() for fronts in own.values()):
            raise NothingToDraw(
                "Got no lineage with two models that have a frontier on one task, expected verified or "
                "reported rows of a model at several stages; add rows or say what lineage the models are of.")
        return found

    def main_cells(self) -> dict[str, Columns]:
        """Returns the rows of the paper's main methods, by task and model.

        Of a lineage that one of the paper's main models is of, only that model is there.

        Raises:
          NothingToDraw: there are none.
        """
        main = self.of(derived.main_methods(self.rows))
        found = {}
        for task in main.tasks:
            models = [model for model in main.models if (model, task) in main.cells]
            stages = {stage for lineage in self.known if lineage.pretrained in MAIN_MODELS
                      and lineage.pretrained in models for stage in lineage.stages}
            found[task] = {model: main.cells[model, task] for model in models
                           if model in MAIN_MODELS or model not in stages}
        if not found:
            raise NothingToDraw(
                "Got no row of a main method, expected one of another family than "
                f"{', '.join(derived.NOT_MAIN)}; add rows.")
        return found

    def main_fronts(self) -> dict[str, Columns]:
        """Returns the frontiers of `main_cells` where there are any.

        Raises:
          NothingToDraw: no row of the main methods counts.
        """
        found = {task: {model: front for model, front in own.items() if front}
                 for task, own in each(self.main_cells(), self.front).items()}
        if not any(found.values()):
            raise NothingToDraw(
                "Got no row of a main method that a frontier may hold, expected one that is verified or "
                "reported; verify the study or add rows.")
        return {task: own for task, own in found.items() if own}


def each(cells: Mapping[str, Mapping[str, Any]], function: Callable[[Any], list[Row]]) -> dict[str, Columns]:
    """Returns what a function gives of each cell, by task and column."""
    return {task: {column: function(cell) for column, cell in own.items()} for task, own in cells.items()}


def flat(cells: Mapping[str, Columns]) -> list[Row]:
    """Returns the rows of all cells."""
    return [row for own in cells.values() for rows in own.values() for row in rows]


def joined(fronts: Mapping[str, list[Row]]) -> list[Row]:
    """Returns the rows of all models of a cell of `Material.checkpoints`."""
    return list(itertools.chain.from_iterable(fronts.values()))


def _kind(task: str) -> str:
    return task.partition(":")[0]
