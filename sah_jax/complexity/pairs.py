"""Whether one program scores better than another, item by item, by the predictions that lie beside them."""

import pathlib

from sah_jax import errors
from sah_jax.studies import sidecar
from sah_jax.tasks import paired, predictions
from sah_jax.tasks import registry as task_registry


def compare(first: pathlib.Path, second: pathlib.Path) -> tuple[str, paired.Difference]:
    """Compares the test scores of two programs of one task.

    Args:
      first, second: the program files.

    Returns:
      The task's name, and the first score less the second.

    Raises:
      UserError: a program has no predictions beside it that are its own, or they are of different tasks.
    """
    records = [_record(program) for program in (first, second)]
    scores = [record["scores"] for record in records]
    for key, what in (("task", "tasks"), ("task_digest", "data"), ("num_test", "numbers of test items")):
        if scores[0][key] != scores[1][key]:
            raise errors.UserError(
                f"{first} and {second} were scored on different {what} ({scores[0][key]} and "
                f"{scores[1][key]}), expected the same; compare others.")
    task = task_registry.get_task(scores[0]["task"])
    files = [program.with_name(sidecar.PREDICTIONS_NAME) for program in (first, second)]
    return task.name, predictions.compare(task, *files, scores[0]["num_test"])


def _record(program: pathlib.Path) -> dict:
    record = sidecar.read(program)
    if record is None or record["family"] == sidecar.TEXTS:
        raise errors.UserError(
            f"{program}: has no sidecar of a point, expected a program of a study; give another.")
    sidecar.check_predictions(program, record)
    return record
