"""What the paper derives from frontiers: bits to a share of the best, reductions, differences of stages.

All of it is chosen by selection scores, and reported with test scores (of reported rows both are the
same). Lengths count the script unless told otherwise.
"""

import bisect
import dataclasses
from collections.abc import Sequence

from sah_jax.complexity import frontier, lineages

Row = frontier.Row

SHARES = (0.80, 0.90, 0.95, 1.00)
"""Of the best score of a cell (the paper, section 5; reference-facts 7.2)."""

NOT_MAIN = ("full", "lm_head", "phase-one", "phase-two", "combined")
"""Families that the paper's main figures leave out."""


def main_methods(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows of the families that the paper's main figures draw."""
    return [row for row in rows if row.experiment_name not in NOT_MAIN]


METHODS = {"main": main_methods, "all": list}
"""Sets of families, and what chooses their rows: those of the paper's main figures, and all."""


def method_sets(rows: Sequence[Row]) -> dict[str, Sequence[Row]]:
    """Returns the rows of each of `METHODS`, all first; without the main ones where those are all."""
    main = main_methods(rows)
    return {"all": rows} | ({"main": main} if len(main) < len(rows) else {})


@dataclasses.dataclass(frozen=True)
class ShareOfBest:
    """How many bits reach a share of a cell's best score.

    Attributes:
      model, task: the cell.
      share: of the best selection score of the cell.
      score: that score, in the task's own unit.
      witness: the shortest program that reaches it.
      bits: its length.
    """

    model: str
    task: str
    share: float
    score: float
    witness: Row
    bits: int


def shares_of_best(
    rows: Sequence[Row], shares: Sequence[float] = SHARES, *, add_script_bits: bool = True
) -> list[ShareOfBest]:
    """Returns for each cell and share the shortest program; a cell where nothing counts has none.

    Where the best score is not above zero, every share of it is that score.
    """
    found = []
    for (model, task), own in frontier.group_cells(rows).items():
        scores = [row.selection_performance for row in own if row.counts]
        for share in shares if scores else ():
            score = max(scores) * (share if max(scores) > 0 else 1.0)
            witness = frontier.complexity(own, score, add_script_bits=add_script_bits)
            found.append(ShareOfBest(
                model, task, share, score, witness, frontier.total_bits(witness, add_script_bits)))
    return found


@dataclasses.dataclass(frozen=True)
class Reduction:
    """How much shorter post-training makes the program that is as good as the pre-trained model's best.

    Attributes:
      lineage: the model.
      task: the task.
      best: the pre-trained model's best point, the shortest of them.
      best_bits: its length.
      matching: the shortest point of the post-trained model that is at least as good; None if none is.
      matching_bits: its length; None if there is none.
      factor: best_bits / matching_bits.
      posttrained_best: the post-trained model's best point, the shortest of them.
    """

    lineage: str
    task: str
    best: Row
    best_bits: int
    matching: Row | None
    matching_bits: int | None
    factor: float | None
    posttrained_best: Row


def reductions(
    rows: Sequence[Row], known: Sequence[lineages.Lineage] = lineages.KNOWN, *,
    add_script_bits: bool = True,
) -> list[Reduction]:
    """Returns the reductions of all lineages and tasks of which there are rows of both stages."""
    cells, found = frontier.group_cells(rows), []
    for lineage in known:
        for task in dict.fromkeys(row.dataset_name for row in rows):
            before = frontier.pareto(
                cells.get((lineage.pretrained, task), []), add_script_bits=add_script_bits)
            after = cells.get((lineage.posttrained, task), [])
            reached = frontier.pareto(after, add_script_bits=add_script_bits)
            if not before or not reached:
                continue
            best = before[-1]
            bits = frontier.total_bits(best, add_script_bits)
            matching = frontier.complexity(
                after, best.selection_performance, add_script_bits=add_script_bits)
            length = frontier.total_bits(matching, add_script_bits) if matching else None
            found.append(Reduction(
                lineage.name, task, best, bits, matching, length, bits / length if length else None,
                reached[-1]))
    return found


def score_at(steps: tuple[Sequence[int], Sequence[float]], bits: float) -> float | None:
    """Returns the score of a staircase at a length; None below its first step."""
    index = bisect.bisect_right(steps[0], bits)
    return steps[1][index - 1] if index else None


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much more one stage scores than another, at the lengths where that changes.

    Attributes:
      lineage: the model.
      task: the task.
      minuend, subtrahend: the models that are compared.
      bits: lengths, increasing; between two of them the difference is that at the first.
      gain: the differences of scores there; a model that has no program so short counts as zero.
    """

    lineage: str
    task: str
    minuend: str
    subtrahend: str
    bits: tuple[int, ...]
    gain: tuple[float, ...]


def differences(
    rows: Sequence[Row], known: Sequence[lineages.Lineage] = lineages.KNOWN, *,
    add_script_bits: bool = True,
) -> list[Difference]:
    """Returns pre-trained minus random and post-trained minus pre-trained, where there are rows of both."""
    cells, found = frontier.group_cells(rows), []
    for lineage in known:
        for task in dict.fromkeys(row.dataset_name for row in rows):
            stairs = {
                model: frontier.staircase(
                    frontier.pareto(cells.get((model, task), []), add_script_bits=add_script_bits),
                    add_script_bits=add_script_bits)
                for model in (lineage.random, lineage.pretrained, lineage.posttrained)}
            for minuend, subtrahend in (
                    (lineage.pretrained, lineage.random), (lineage.posttrained, lineage.pretrained)):
                ours, theirs = stairs[minuend], stairs[subtrahend]
                if not ours[0] or not theirs[0]:
                    continue
                lengths = sorted({*ours[0], *theirs[0]})
                gain = [(score_at(ours, bits) or 0.0) - (score_at(theirs, bits) or 0.0)
                        for bits in lengths]
                found.append(Difference(
                    lineage.name, task, minuend, subtrahend, tuple(lengths), tuple(gain)))
    return found
