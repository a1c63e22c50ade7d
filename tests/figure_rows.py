"""Small sets of rows that every figure has something to draw of."""

import dataclasses

import row_template

from sah_jax.complexity import reported

STAGES = ("nano-step0", "nano-step200", "nano", "nano-chat")
FAMILIES = ("baseline", "icl", "online", "combined", "lora", "lm_head")


def row(point, bits, score, **changes):
    """Returns a verified row whose scores on both splits are the same."""
    return dataclasses.replace(row_template.TEMPLATE, **{
        "point": point, "bits": bits, "performance": score, "selection_performance": score,
        "dataset_name": "nano_follow", **changes})


def study(tasks=("nano_follow", "nano_translate"), models=STAGES):
    """Returns verified rows: a later model is better, and so is a longer program, but for the longest."""
    rows = []
    for task in tasks:
        for place, model in enumerate(models):
            for number, family in enumerate(FAMILIES):
                score = (0.05 + 0.2 * place) * (1 - 0.5**number if number < len(FAMILIES) - 1 else 0.5)
                rows.append(row(
                    f"{model}.{task}.{family}", 40 * 6**number, score, model_name=model, dataset_name=task,
                    experiment_name=family, script_bits=8))
    return rows


def widths(rows):
    """Returns bit widths for the programs of one family."""
    return {row.point: {"attention/q/a": (2, 4, 0), "attention/q/b": (32, 2, 2)} for row in rows
            if row.experiment_name == "lora"}


def reported_rows(models=("smollm3-step0", "smollm3-stage1", "smollm3"), task="gsm8k"):
    """Returns rows of the paper's models as another system reports them."""
    return [
        reported.ReportedRow(
            family, task, model, 0.1 + 0.2 * place + 0.1 * number, 1000 * 9**number, 1,
            {"max_examples": 8}, f"r.jsonl:{place}{number}", 100)
        for place, model in enumerate(models) for number, family in enumerate(("icl", "online", "phase-two"))]
