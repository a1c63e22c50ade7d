"""Scoring a model on a split of a task."""

import json
from collections.abc import Sequence

from sah_jax.models import base as base_lib
from sah_jax.models import generate, likelihood
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
    """Lets the model answer the first `num` examples of a split, and scores the responses."""
    return task.score(task.examples(split, num), answered(base, variables, task, split, num, context))


def answered(
    base: base_lib.BaseModel,
    variables: dict,
    task: task_lib.Task,
    split: str,
    num: int,
    context: Sequence[int] = (),
) -> list[str]:
    """Returns the model's responses to the first `num` examples of a split.

    It generates greedily, or, of multiple choice, says how likely each choice is.
    """
    examples = task.examples(split, num)
    if any(example.choices for example in examples):
        return weighed(base, variables, examples, context)
    return generate.generate(
        base, variables, [example.prompt for example in examples], context=context,
        max_new_tokens=task.max_new_tokens, stop=task.stop, batch_size=_BATCH_SIZE)


def weighed(
    base: base_lib.BaseModel,
    variables: dict,
    examples: Sequence[task_lib.Example],
    context: Sequence[int] = (),
) -> list[str]:
    """Returns the responses to multiple choice: for each example, a JSON list over its choices.

    Each entry is the choice's log-likelihood in nats, and whether greedy generation would write it.
    """
    pairs = [pair for example in examples for pair in example.choices]
    found = iter(likelihood.loglikelihoods(base, variables, pairs, context=context))
    return [json.dumps([next(found) for _ in example.choices]) for example in examples]
