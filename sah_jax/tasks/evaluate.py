"""Scoring a model on a split of a task."""

from collections.abc import Sequence

from sah_jax.models import base as base_lib
from sah_jax.models import generate
from sah_jax.tasks import base as task_lib

# Part of what makes a score repeatable: other batch shapes give other floats.
_BATCH_SIZE = 64


def evaluate(
    base: base_lib.BaseModel,
    variables: dict,
    task: task_lib.Task,
    split: str,
    num: int,
    context: Sequence[int] = (),
) -> task_lib.Score:
    """Generates greedily for the first `num` examples of a split and scores the responses."""
    examples = task.examples(split, num)
    responses = generate.generate(
        base, variables, [example.prompt for example in examples], context=context,
        max_new_tokens=task.max_new_tokens, stop=task.stop, batch_size=_BATCH_SIZE)
    return task.score(examples, responses)
