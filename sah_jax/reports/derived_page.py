"""What is derived from frontiers, as the tables of a study's page: each number with its witness."""

from collections.abc import Mapping, Sequence
from typing import Any

from sah_jax.complexity import derived, frontier, lineages
from sah_jax.reports import anchors as anchors_lib
from sah_jax.reports import style

Row = frontier.Row


def tables(
    rows: Sequence[Row], anchors: anchors_lib.Anchors, known: Sequence[lineages.Lineage], *,
    add_script_bits: bool = True,
) -> dict[str, list[dict[str, Any]]]:
    """Returns shares of the best scores and differences of stages, where rows have any."""
    return {
        "shares": _shares(rows, anchors, known, add_script_bits),
        "differences": _differences(rows, anchors, known, add_script_bits)}


def shares(
    rows: Sequence[Row], known: Sequence[lineages.Lineage], *, add_script_bits: bool = True
) -> list[derived.ShareOfBest]:
    """Returns the shares of best scores by task, and of a task by model in the order of their training."""
    models = lineages.in_order((row.model_name for row in rows), known)
    tasks = list(dict.fromkeys(row.dataset_name for row in rows))
    return sorted(derived.shares_of_best(rows, add_script_bits=add_script_bits),
                  key=lambda one: (tasks.index(one.task), models.index(one.model)))


def _shares(
    rows: Sequence[Row], anchors: anchors_lib.Anchors, known: Sequence[lineages.Lineage],
    add_script_bits: bool,
) -> list[dict[str, Any]]:
    """Returns one table a task, with a line a model and a column a share."""
    lines: dict[str, dict[str, dict[str, Any]]] = {}
    for one in shares(rows, known, add_script_bits=add_script_bits):
        line = lines.setdefault(one.task, {}).setdefault(one.model, {"model": one.model, "cells": []})
        line["cells"].append(anchors.link(one.witness, one.bits))
        # The shares rise, so that the best is the last.
        line["best"] = style.format_score(one.score)
    return [{"task": task, "shares": derived.SHARES, "lines": list(own.values())}
            for task, own in lines.items()]


def reductions(
    sets: Mapping[str, Sequence[Row]], anchors: anchors_lib.Anchors, known: Sequence[lineages.Lineage], *,
    add_script_bits: bool = True,
) -> list[dict[str, Any]]:
    """Returns a line a lineage, task and set of methods, as `derived.method_sets` gives them."""
    lines = [
        {"methods": methods, "lineage": one.lineage, "task": one.task,
         "best": anchors.link(one.best, one.best_bits),
         "matching": one.matching and anchors.link(one.matching, one.matching_bits),
         "factor": one.factor}
        for methods, rows in sets.items()
        for one in derived.reductions(rows, known, add_script_bits=add_script_bits)]
    order = list(dict.fromkeys((line["lineage"], line["task"]) for line in lines))
    return sorted(lines, key=lambda line: order.index((line["lineage"], line["task"])))


def _differences(
    rows: Sequence[Row], anchors: anchors_lib.Anchors, known: Sequence[lineages.Lineage],
    add_script_bits: bool,
) -> list[dict[str, Any]]:
    cells = frontier.group_cells(rows)

    def witnesses(model: str, task: str) -> dict[int, Row]:
        front = frontier.pareto(cells[model, task], add_script_bits=add_script_bits)
        return {frontier.total_bits(row, add_script_bits): row for row in front}

    found = []
    for one in derived.differences(rows, known, add_script_bits=add_script_bits):
        stairs = [witnesses(model, one.task) for model in (one.minuend, one.subtrahend)]
        lines = [
            {"bits": bits, "gain": _signed(gain),
             "witnesses": [anchors.link(own[bits], bits) if bits in own else None for own in stairs]}
            for bits, gain in zip(one.bits, one.gain, strict=True)]
        largest = max(range(len(lines)), key=lambda index: one.gain[index])
        found.append({
            "lineage": one.lineage, "task": one.task, "minuend": one.minuend,
            "subtrahend": one.subtrahend, "steps": lines, "largest": lines[largest],
            "last": lines[-1]})
    return found


def _signed(gain: float) -> str:
    return f"{'+' if gain > 0 else ''}{style.format_score(gain)}"
