"""C(T, s | M) as a table: for each task, model and score the shortest witness found."""

import csv
import dataclasses
import os
from collections.abc import Sequence

import rich.box
import rich.console
import rich.table
import rich.text

from sah_jax.complexity import frontier, lineages
from sah_jax.reports import style

Row = frontier.Row

# Shares of the best selection score that any model reached on the task.
DEFAULT_SHARES = (0.10, 0.25, 0.50, 0.75, 0.90, 1.00)

_CSV_COLUMNS = (
    "task", "model", "score", "share_of_best", "reached", "total_bits", "program_bits",
    "script_bits", "program_bytes", "family", "selection_performance", "test_performance",
    "test_performance_stderr", "point", "program", "program_sha256")


@dataclasses.dataclass(frozen=True)
class Complexity:
    """C(T, s | M) at one score, or that no program that counts reached it.

    Attributes:
      task: T.
      model: M.
      score: s, in the task's own unit.
      share: s as a share of the best score of the task, where it was chosen as one.
      witness: the shortest program that counts whose selection score is at least s.
      bits: its length, with the script where that is counted.
    """

    task: str
    model: str
    score: float
    share: float | None
    witness: Row | None
    bits: int | None


def complexity_table(
    rows: Sequence[Row], scores: Sequence[float] | None = None,
    known: Sequence[lineages.Lineage] = lineages.KNOWN, *, add_script_bits: bool = True,
) -> list[Complexity]:
    """Returns C(T, s | M) for every task, model and score, in this order of nesting.

    Args:
      rows: the points of a study.
      scores: the scores s, for every task; by default, per task, shares of the best verified
        selection score over all models, so that the models of a task share their scores.
      known: the lineages that models may be of, whose stages stand in the order of their training.
      add_script_bits: whether a length counts the script.

    Returns:
      One entry a (task, model, score); a task without any point that counts has none by default.
    """
    cells = frontier.group_cells(rows)
    entries = []
    for task in dict.fromkeys(row.dataset_name for row in rows):
        levels = (_default_levels(rows, task) if scores is None
                  else [(score, None) for score in scores])
        for model in lineages.in_order((row.model_name for row in rows), known):
            if (model, task) not in cells:
                continue
            for score, share in levels:
                witness = frontier.complexity(
                    cells[model, task], score, add_script_bits=add_script_bits)
                bits = frontier.total_bits(witness, add_script_bits) if witness else None
                entries.append(Complexity(task, model, score, share, witness, bits))
    return entries


def write_csv(entries: Sequence[Complexity], path: str | os.PathLike[str]) -> None:
    """Writes a complexity table as CSV; what was not reached, and an error that is not known, is empty."""
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, _CSV_COLUMNS)
        writer.writeheader()
        for entry in entries:
            record = dict(task=entry.task, model=entry.model, score=entry.score,
                          share_of_best=entry.share, reached=entry.witness is not None)
            if witness := entry.witness:
                record.update(
                    total_bits=entry.bits, program_bits=witness.bits,
                    script_bits=witness.script_bits, program_bytes=witness.bits // 8,
                    family=witness.experiment_name,
                    selection_performance=witness.selection_performance,
                    test_performance=witness.performance,
                    test_performance_stderr=witness.performance_stderr, point=witness.point,
                    program=witness.program, program_sha256=witness.program_sha256)
            writer.writerow(record)


def print_complexity(
    rows: Sequence[Row], console: rich.console.Console, scores: Sequence[float] | None = None,
    known: Sequence[lineages.Lineage] = lineages.KNOWN, *, add_script_bits: bool = True,
) -> None:
    """Prints C(T, s | M), one block a (task, model)."""
    table = new_table(
        "C(T, s | M): the shortest program found that reaches s", "Task", "Model", "Score s",
        _bits_column(add_script_bits), ">Size", "Family", ">Test score")
    previous = None
    for entry in complexity_table(rows, scores, known, add_script_bits=add_script_bits):
        cell = (entry.task, entry.model)
        if previous not in (None, cell):
            table.add_section()
        names = ("", "") if cell == previous else cell
        previous = cell
        if entry.witness is None:
            outcome = ("not reached", "", "", "")
        else:
            outcome = (f"{entry.bits:,}", style.format_bytes(entry.bits),
                       format_family(entry.witness), format_estimate(entry.witness))
        add_row(table, *names, format_level(entry), *outcome, dim=entry.witness is None)
    console.print(table)


def print_results(
    rows: Sequence[Row], console: rich.console.Console, *, add_script_bits: bool = True
) -> None:
    """Prints every row by length, one table a (model, task); a star marks the frontier."""
    chosen = {row.point for row in frontier.pareto(rows, add_script_bits=add_script_bits)}
    for (model, task), cell_rows in frontier.group_cells(rows).items():
        table = new_table(
            f"{task}, {model}", "", "Family", _bits_column(add_script_bits),
            ">Selection score", ">Test score", "Verified", "Point")
        for row in sorted(cell_rows, key=lambda row: frontier.total_bits(row, add_script_bits)):
            add_row(
                table, "*" if row.point in chosen else "", format_family(row),
                f"{frontier.total_bits(row, add_script_bits):,}",
                style.format_score(row.selection_performance), format_estimate(row),
                "yes" if row.verified else "no", row.point, dim=not row.verified)
        console.print(table)


def print_frontier(
    rows: Sequence[Row], console: rich.console.Console, scores: Sequence[float] = (), *,
    add_script_bits: bool = True,
) -> None:
    """Prints the frontier of one (model, task), and how short programs of some scores are."""
    table = new_table("Frontier", "Family", _bits_column(add_script_bits), ">Selection score", "Point")
    for row in frontier.pareto(rows, add_script_bits=add_script_bits):
        add_row(table, format_family(row), f"{frontier.total_bits(row, add_script_bits):,}",
                style.format_score(row.selection_performance), row.point)
    console.print(table)
    for score in scores:
        witness = frontier.complexity(rows, score, add_script_bits=add_script_bits)
        length = f"{frontier.total_bits(witness, add_script_bits):,} bits" if witness else "not reached"
        console.print(f"score {style.format_score(score)}: {length}", highlight=False)


def _bits_column(add_script_bits: bool) -> str:
    return ">Bits with script" if add_script_bits else ">Bits"


def format_level(entry: Complexity) -> str:
    """Formats the score of an entry, with the share of the best that it stands for."""
    share = "" if entry.share is None else f" ({entry.share:.0%})"
    return f"{style.format_score(entry.score)}{share}"


def remark(row: Row) -> str:
    """Returns what a row's numbers do not tell by themselves, or nothing.

    A program whose numbers are all zero is the base model in another file; that a baseline is needs no word.
    """
    return "all zero: the base model" if row.unchanged and row.experiment_name != "baseline" else ""


def format_family(row: Row) -> str:
    """Formats a row's family, with the remark on the row if there is one."""
    label, said = style.family_style(row.experiment_name).label, remark(row)
    return f"{label} ({said})" if said else label


def format_estimate(row: Row) -> str:
    """Formats a row's test score with its standard error, of which a reported row has none."""
    return style.format_estimate(row.performance, row.performance_stderr)


def _default_levels(rows: Sequence[Row], task: str) -> list[tuple[float, float]]:
    reached = [row.selection_performance for row in rows
               if row.dataset_name == task and row.counts]
    if not reached:
        return []
    best = max(reached)
    if best <= 0:
        # Nothing solved anything, so every share is the same score.
        return [(best, 1.0)]
    return [(share * best, share) for share in DEFAULT_SHARES]


def new_table(title: str, *columns: str) -> rich.table.Table:
    """Returns a table without rows; columns that begin with ">" hold numbers."""
    # Text, not str, here and below: a name with brackets must not be read as markup.
    table = rich.table.Table(
        title=rich.text.Text(title, style="bold"), title_justify="left", box=rich.box.SIMPLE_HEAD)
    for column in columns:
        # A number is never broken; a name is, but never cut, so that it can be copied.
        right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if right else "left",
                         no_wrap=right, overflow="fold")
    return table


def add_row(table: rich.table.Table, *cells: str, dim: bool = False) -> None:
    """Adds a row of plain text."""
    table.add_row(*(rich.text.Text(cell) for cell in cells), style="dim" if dim else None)
