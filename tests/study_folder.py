"""Points of a study as files that bear their rows out, made without a model."""

import dataclasses
import hashlib
import json

import html_page
import row_template

from sah_jax import numerics
from sah_jax.studies import scripts

HOSTILE = html_page.HOSTILE
TEMPLATE = dataclasses.replace(
    row_template.TEMPLATE, performance=0.5, selection_performance=0.5, strategy_hparams={"examples": 2})


def write_point(workdir, point, size, **changes):
    """Writes a program of `size` bytes with its sidecar and returns the row."""
    folder = workdir / "points" / point
    folder.mkdir(parents=True)
    content = point.encode() * size
    content = content[:size]
    (folder / "program.sah").write_bytes(content)
    ledger = [{"field": "family", "bits": min(8, 8 * size), "ideal_bits": 3.0},
              {"field": f"tokens {HOSTILE}", "bits": 8 * size - min(8, 8 * size),
               "ideal_bits": 7.9 * size}]
    tokens = [{"name": f"{HOSTILE}, token {i}", "bits": 4 * size, "ideal_bits": 4.0 * size, "token_id": i,
               "text": text} for i, text in enumerate((HOSTILE, ""))]
    examples = [{"name": f"example {i}", "bits": 0, "ideal_bits": 0.0} for i in range(30)]
    views = {"layer": [{"name": f"layer {HOSTILE}", "bits": 8 * size, "ideal_bits": 1.0}],
             "example": [*examples, {"name": HOSTILE, "bits": 8 * size, "ideal_bits": 1.0}],
             "token": tokens}
    profile = {"backend": "cpu", "flags": HOSTILE, "NPROC": "1", "XLA_FLAGS": ""}
    row = dataclasses.replace(
        TEMPLATE, point=point, bits=8 * size, program=f"points/{point}/program.sah",
        program_sha256=hashlib.sha256(content).hexdigest(),
        numerics_digest=numerics.digest(profile), **changes)
    row = dataclasses.replace(row, script_bits=scripts.bits(row.experiment_name, row.unchanged))
    (folder / "program.json").write_text(json.dumps({
        "family": row.experiment_name, "bits": row.bits, "ideal_bits": row.ideal_bits,
        "program_sha256": row.program_sha256, "ledger": ledger, "views": views, "profile": profile,
        "format": 1,
        "adapted_digest": row.adapted_digest, "portable": row.portable, "unchanged": row.unchanged,
        "setting": row.strategy_hparams, "seed": row.seed,
        "base": {"name": row.model_name, "source": "nano", "digest": row.base_digest, "dtype": "float32"},
        "scores": {
            "task": row.dataset_name, "task_digest": row.task_digest, "data": {},
            "num_test": row.num_scored, "performance": row.performance,
            "performance_stderr": row.performance_stderr, "selection_split": row.selection_split,
            "num_selection": row.selection_num_scored, "selection_stderr": row.selection_stderr,
            "selection_performance": row.selection_performance,
            "predictions_sha256": hashlib.sha256(b"").hexdigest()}}))
    (folder / "predictions.jsonl").write_bytes(b"")
    return row
