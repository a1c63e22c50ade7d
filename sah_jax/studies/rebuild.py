"""What a verifying process does: base models and program files in, digests and scores out.

It is told where the base models and the files are and what to score; it sees no sidecar and
no row.
"""

import base64
import functools
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from sah_jax import errors, hosts
from sah_jax.models import base as base_lib
from sah_jax.programs import codec
from sah_jax.studies import sidecar, verification, views
from sah_jax.tasks import base as task_lib
from sah_jax.tasks import evaluate, predictions
from sah_jax.tasks import registry as task_registry


def rebuild_all(folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Rebuilds the programs of a folder, in order.

    In a job, all processes rebuild them together, and the folder is the first one's.

    Args:
      folder: holds `verification.ORDERS_NAME`, a JSON list of orders (see `rebuild`), and beside it
        their program files.

    Yields:
      For each what `rebuild` returns; where that fails, {"error": the sentence} and, once the model
      is there, the numerics `profile`.

    Raises:
      UserError: the folder cannot be read.
    """
    for order in hosts.from_first(lambda: _read_orders(folder)):
        data = hosts.from_first(lambda order=order: _read_program(folder, order["program"]))
        profile = {}
        try:
            base = _load(order["model"], tuple(sorted(order["computed"].items())))
            profile = {"profile": base.profile()}
            found = rebuild(base, base64.b64decode(data), order["task"], order["splits"])
        except errors.UserError as error:
            found = {"error": str(error)}
        yield found | profile


def _read_orders(folder: pathlib.Path) -> list[dict[str, Any]]:
    try:
        return json.loads((folder / verification.ORDERS_NAME).read_text())
    except (OSError, ValueError) as error:
        raise errors.UserError(
            f"{folder}: holds no programs to rebuild ({error!r}), expected {verification.ORDERS_NAME} and "
            "files; sah verify makes such a folder.") from error


def _read_program(folder: pathlib.Path, name: str) -> str:
    """Returns a file in base 64."""
    try:
        return base64.b64encode((folder / name).read_bytes()).decode()
    except OSError as error:
        raise errors.UserError(
            f"{folder / name}: cannot be read ({error.strerror}), expected a program; correct the orders."
        ) from error


@functools.lru_cache(maxsize=1)
def _load(model: str, computed: tuple[tuple[str, str], ...]) -> base_lib.BaseModel:
    """Returns a base model; the last one is kept, since programs of one model come together."""
    return base_lib.load_computed(model, dict(computed))


def rebuild(
    base: base_lib.BaseModel, data: bytes, task: str, splits: Mapping[str, int]
) -> dict[str, Any]:
    """Decodes a program and scores the adapted model.

    Args:
      base: the base model.
      data: the program file.
      task: the task's name.
      splits: how many items of which splits to score.

    Returns:
      A JSON object: `base_name`, `base_digest`, `num_params`, `family`, `adapted_digest`, `portable`,
      `unchanged`, `widths`, `bits`, `ideal_bits`, the ledger's integer bits by field, its `views` as
      sidecars have them, for each split its [value, standard error] and the digest of its predictions, the
      first test items with their responses as `samples`, and the task's data with their digest.

    Raises:
      UserError: the file does not decode, or the task is none.
    """
    decoded = codec.read(data, base, "the program")
    variables, context = decoded.adapted.variables(base), decoded.adapted.context
    scores, predicted, shown = {}, {}, []
    asked = task_registry.get_task(task)
    for split, num in splits.items():
        responses = evaluate.answered(base, variables, asked, split, num, context)
        score = asked.score(asked.examples(split, num), responses)
        scores[split] = [score.value, score.stderr]
        predicted[split] = sidecar.file_digest(predictions.write(responses).encode())
        if split == "test":
            shown = predictions.samples(asked.examples(split, num), responses)
    return {
        "base_name": base.name,
        "base_digest": base.digest,
        "num_params": base.spec.num_params,
        "family": decoded.family,
        "adapted_digest": decoded.adapted.digest(),
        "portable": decoded.adapted.portable,
        "unchanged": decoded.adapted.unchanged,
        "widths": decoded.adapted.widths,
        "bits": decoded.bits,
        "ideal_bits": decoded.ideal_bits,
        "ledger": [[entry.field, entry.bits] for entry in decoded.ledger],
        "views": views.records(decoded, base),
        "scores": scores,
        "predictions_sha256": predicted,
        "samples": shown,
        "task_digest": task_lib.digest(asked, splits),
        "data": dict(asked.data(splits)),
    }
