"""What a verifying process does: base model and program file in, digest and scores out.

It is told where the base model and the file are and what to score; it sees no sidecar and
no row.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import sharding
from sah_jax.programs import codec
from sah_jax.studies import sidecar
from sah_jax.tasks import evaluate
from sah_jax.tasks import registry as task_registry


def rebuild(
    model: str, program: pathlib.Path, dtype: str, task: str, splits: Mapping[str, int], mesh: str = "",
    remat: str = "none", quantization: str = "",
) -> dict[str, Any]:
    """Decodes a program and scores the adapted model.

    Args:
      model: what finds the base model, see `sah_jax.models.sources`.
      program: the program file.
      dtype: what the model is computed in.
      task: the task's name.
      splits: how many items of which splits to score.
      mesh: what the model is split over, see `sharding.parse_mesh`.
      remat: see `decoder.Decoder`.
      quantization: see `quantize`.

    Returns:
      A JSON object: `base_digest`, `adapted_digest`, `bits`, `ideal_bits`, the ledger's integer
      bits by field, for each split its [value, standard error], and the numerics `profile`.

    Raises:
      UserError: the model or the file cannot be used. Where the file does not decode, an object
        with the profile alone is printed: it may say why.
    """
    base = base_lib.load_base(model, dtype, sharding.parse_mesh(mesh), remat, quantization=quantization)
    data = sidecar.read_program(program)
    profile = base.profile()
    try:
        decoded = codec.read(data, base, str(program))
    except errors.UserError:
        print(json.dumps({"profile": profile}))
        raise
    variables, context = decoded.adapted.variables(base), decoded.adapted.context
    scores = {}
    for split, num in splits.items():
        score = evaluate.evaluate(
            base, variables, task_registry.get_task(task), split, num, context)
        scores[split] = [score.value, score.stderr]
    return {
        "base_digest": base.digest,
        "adapted_digest": decoded.adapted.digest(),
        "bits": decoded.bits,
        "ideal_bits": decoded.ideal_bits,
        "ledger": [[entry.field, entry.bits] for entry in decoded.ledger],
        "scores": scores,
        "profile": profile,
    }
