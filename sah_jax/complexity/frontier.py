"""The frontier of a study and C(T, s | M), the shortest program found that reaches a score.

Pure functions on rows. Two rules hold in all of them: of ours only a verified row counts, and rows
are chosen by their selection score while what is reported is their test score, which must
therefore take no part in a choice, not even in a tie.
"""

from collections.abc import Iterable, Sequence

from sah_jax.complexity import reported
from sah_jax.studies import rows as rows_lib

Row = rows_lib.Row | reported.ReportedRow
Cell = tuple[str, str]


def total_bits(row: Row, add_script_bits: bool = True) -> int:
    """Returns the length of a row's program, by default with the script that runs it."""
    return row.bits + (row.script_bits if add_script_bits else 0)


def group_cells(rows: Iterable[Row]) -> dict[Cell, list[Row]]:
    """Groups rows by (model, task); cells and rows keep the order they came in."""
    cells: dict[Cell, list[Row]] = {}
    for row in rows:
        cells.setdefault((row.model_name, row.dataset_name), []).append(row)
    return cells


def pareto(rows: Iterable[Row], *, add_script_bits: bool = True, ties: bool = False) -> list[Row]:
    """Returns the frontier of every (model, task): each longer program selects strictly higher.

    Of rows with the same selection score the shortest stays; of those with the same length
    too, the one whose name sorts first, so that the order of `rows` never matters.

    Args:
      rows: the points, of any number of cells.
      add_script_bits: whether a length counts the script.
      ties: whether a longer program stays that selects as high, as in the paper's figures.

    Returns:
      The frontier rows, by cell and then by length.
    """
    frontier = []
    for _, cell_rows in sorted(group_cells(rows).items()):
        best = -float("inf")
        for row in _shortest_first(cell_rows, add_script_bits):
            if row.selection_performance > best or (ties and row.selection_performance == best):
                best = row.selection_performance
                frontier.append(row)
    return frontier


def complexity(rows: Iterable[Row], score: float, *, add_script_bits: bool = True) -> Row | None:
    """Returns the witness of C(T, s | M): the shortest program whose selection score is >= s.

    Args:
      rows: the points of one (model, task).
      score: s, in the task's own unit.
      add_script_bits: whether a length counts the script.

    Returns:
      The witness, or None where no point that counts reaches the score.

    Raises:
      ValueError: if the rows are of more than one (model, task).
    """
    cells = group_cells(rows)
    if len(cells) > 1:
        raise ValueError(f"rows: got cells {sorted(cells)}, expected one; call group_cells first")
    for cell_rows in cells.values():
        for row in _shortest_first(cell_rows, add_script_bits):
            if row.selection_performance >= score:
                return row
    return None


def staircase(
    points: Sequence[Row], *, add_script_bits: bool = True
) -> tuple[list[int], list[float]]:
    """Returns the test score of the program that selection chooses within a length.

    Args:
      points: the frontier of one cell as `pareto` returns it, by length and without ties.
      add_script_bits: whether a length counts the script.

    Returns:
      (xs, ys): at lengths x with xs[i] <= x < xs[i + 1] the program that selects highest has the test
      score ys[i]; below xs[0] there is none. xs increase strictly; ys need not, for a program that
      selects higher may score lower.
    """
    return [total_bits(row, add_script_bits) for row in points], [row.performance for row in points]


def _shortest_first(rows: Sequence[Row], add_script_bits: bool) -> list[Row]:
    """Sorts the rows that count so that the first with a property is the one to choose."""
    return sorted(
        (row for row in rows if row.counts),
        key=lambda row: (
            total_bits(row, add_script_bits), -row.selection_performance, row.point,
            row.program_sha256))
