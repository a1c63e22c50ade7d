"""frontier.json and derived.json: what a report draws, for other programs to read."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from sah_jax.complexity import bands, derived, frontier, lineages

Row = frontier.Row


def frontiers(rows: Sequence[Row], *, add_script_bits: bool = True) -> list[dict[str, Any]]:
    """Returns the frontier of every cell, once for each set of `derived.METHODS`.

    Returns:
      Objects {model, task, methods, interval_level, points}, points by length: {bits, performance, interval,
      method, row} and more, where `bits` counts the script if it is wanted, `performance` is the test score,
      `interval` is (low, high) around it at `interval_level` (see `complexity.bands`), None where no error is
      known, as of reported rows, and `row` names the row: its point, or the file and line where another
      system reports it.
    """
    found, intervals = [], bands.Intervals(rows)
    for methods, choose in derived.METHODS.items():
        for (model, task), own in frontier.group_cells(choose(rows)).items():
            points = frontier.pareto(own, add_script_bits=add_script_bits)
            found.append({
                "model": model, "task": task, "methods": methods, "interval_level": intervals.level,
                "points": [_point(row, add_script_bits) | {"interval": intervals.of(row)} for row in points]})
    return found


def derivations(
    rows: Sequence[Row], known: Sequence[lineages.Lineage] = lineages.KNOWN, *,
    add_script_bits: bool = True,
) -> dict[str, Any]:
    """Returns the derived quantities, each list once for each set of `derived.METHODS`.

    Returns:
      `script_bits`, whether lengths count the script; and lists: `shares_of_best`, `reductions`,
      `differences`, of objects with what `complexity.derived` says and `methods`.
    """
    found: dict[str, Any] = {
        "script_bits": add_script_bits, "shares_of_best": [], "reductions": [], "differences": []}
    for methods, choose in derived.METHODS.items():
        own = choose(rows)
        for one in derived.shares_of_best(own, add_script_bits=add_script_bits):
            found["shares_of_best"].append({
                "methods": methods, "model": one.model, "task": one.task, "share": one.share,
                "score": one.score, "bits": one.bits, "witness": _point(one.witness, add_script_bits)})
        for one in derived.reductions(own, known, add_script_bits=add_script_bits):
            matching = one.matching and _point(one.matching, add_script_bits)
            found["reductions"].append({
                "methods": methods, "lineage": one.lineage, "task": one.task, "factor": one.factor,
                "best_pretrained": _point(one.best, add_script_bits), "matching_posttrained": matching})
        for one in derived.differences(own, known, add_script_bits=add_script_bits):
            found["differences"].append({"methods": methods, **dataclasses.asdict(one)})
    return found


def _point(row: Row, add_script_bits: bool) -> dict[str, Any]:
    return {
        "bits": frontier.total_bits(row, add_script_bits), "performance": row.performance,
        "method": row.experiment_name, "row": row.point, "performance_stderr": row.performance_stderr,
        "selection_performance": row.selection_performance, "settings": row.strategy_hparams,
        "program": row.program, "program_sha256": row.program_sha256}
