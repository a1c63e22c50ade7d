"""Prompts that a reader generates itself, so that a data program pays for answers alone.

A nano task draws its problems from a seeded generator that is part of the package; the file names the task.
(The generator's code is not in the file: it is a part of the reader, as the tokenizer is of the base. So
such a program is for tasks whose inputs are known to come from there, and a report says so.)
"""

from sah_jax import errors
from sah_jax.coding import file, integers
from sah_jax.models import base as base_lib
from sah_jax.tasks import base as task_lib
from sah_jax.tasks import registry as task_registry
from sah_jax.training import examples as examples_lib

SOURCES = ("coded", "generated")
"""Where prompts come from: the file, or the task's seeded generator."""

_TASKS = ("nano_math", "nano_translate", "nano_follow")  # append only: a file holds a place in it


def labelled(
    base: base_lib.BaseModel, task: task_lib.Task, num: int, max_tokens: int, seed: int
) -> list[examples_lib.TokenExample]:
    """Returns the first `num` training examples, in the generator's order.

    Raises:
      UserError: the task generates none, or one has more tokens than a row.
    """
    if task.name not in _TASKS:
        raise errors.UserError(
            f"{task.name} has no seeded generator of inputs, expected one of {', '.join(_TASKS)}; set "
            "inputs to coded.")
    found = []
    for example in task.examples("train", num, seed):
        one = examples_lib.TokenExample(*(
            tuple(base.encode(text)) for text in (example.prompt, example.answer)))
        length = len(one.prompt) + len(one.answer)
        if length >= max_tokens:
            raise errors.UserError(
                f"a generated example of {task.name} has {length} tokens, expected fewer than {max_tokens}: "
                "none may be left out; raise max_tokens.")
        found.append(one)
    return found


def prompts(
    base: base_lib.BaseModel, task: str, num: int, max_tokens: int, seed: int
) -> list[tuple[int, ...]]:
    """Returns the prompts of `labelled` alone: what a reader generates."""
    examples = task_registry.get_task(task).examples("train", num, seed)
    return [tuple(base.encode(example.prompt))[:max_tokens] for example in examples]


def write_task(writer: file.ProgramWriter, task: str) -> None:
    """Codes which task generates the prompts."""
    integers.write_choice(writer, _TASKS, task)


def read_task(reader: file.ProgramReader) -> str:
    """Reads what `write_task` wrote."""
    return integers.read_choice(reader, _TASKS)
