"""What a verifying process does: base model and program file in, digest and score out.

It is told where the base model and the file are and which task to score; it sees no sidecar
and no row.
"""

import pathlib
from typing import Any

from sah_jax.models import base as base_lib
from sah_jax.programs import codec
from sah_jax.studies import sidecar
from sah_jax.tasks import evaluate
from sah_jax.tasks import registry as task_registry


def rebuild(model: str, program: pathlib.Path, dtype: str, task: str, num_test: int) -> dict[str, Any]:
    """Decodes a program and scores the adapted model on the test split.

    Returns:
      A JSON object: `base_digest`, `adapted_digest`, `performance`, `bits`, and the ledger's
      integer bits by field.

    Raises:
      UserError: the model or the file cannot be used.
    """
    base = base_lib.load_base(model, dtype)
    decoded = codec.read(sidecar.read_program(program), base, str(program))
    score = evaluate.evaluate(
        base, decoded.adapted.variables(base), task_registry.get_task(task), "test", num_test,
        decoded.adapted.context)
    return {
        "base_digest": base.digest,
        "adapted_digest": decoded.adapted.digest(),
        "performance": score.value,
        "bits": decoded.bits,
        "ledger": [[entry.field, entry.bits] for entry in decoded.ledger],
    }
