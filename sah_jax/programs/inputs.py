"""Prompts that a reader makes itself, so that a data program pays for answers alone.

*Generated* ones come from the seeded generator of a nano task, which is part of the package; the file names
the task. (The generator's code is not in the file: it is a part of the reader, as the tokenizer is of the
base. So such a program is for tasks whose inputs are known to come from there, and a report says so.)

*Sampled* ones are drawn from the base model itself: what it writes after the tokens that begin every
prompt, up to those that end one (Magpie, Xu et al. 2024, arXiv 2406.08464). Who answers them matters to the
writer alone: a teacher.
"""

import os
from collections.abc import Callable, Sequence

from sah_jax import errors
from sah_jax.coding import file, integers
from sah_jax.models import base as base_lib
from sah_jax.models import generate, sampling
from sah_jax.tasks import base as task_lib
from sah_jax.tasks import registry as task_registry
from sah_jax.training import examples as examples_lib

SOURCES = ("coded", "generated", "sampled")
"""Where prompts come from: the file, the task's seeded generator, the base model."""

_TASKS = ("nano_math", "nano_translate", "nano_follow")  # append only: a file holds a place in it

_ROWS = 32  # sampled at once; part of what decides the floats
_NEW_TOKENS = 64
_MOST_ROUNDS, _LEAST_ROUNDS = 4, 4  # times as many as are wanted, of at least so many
_LOOKED_AT = 32  # prompts, for what all begin with


class Growing:
    """Prompts that are made as they are asked for, so that a file's claim of many costs nothing by itself.

    `make` returns the first `count` of them; fewer where there are no more.
    """

    def __init__(self, make: Callable[[int], list[tuple[int, ...]]], most: int):
        self._make, self._most, self._made = make, most, []

    def some(self, first: int, size: int) -> list[tuple[int, ...]]:
        """Returns `size` prompts from `first` on."""
        if len(self._made) < first + size:
            self._made = self._make(min(self._most, max(_ROWS, 2 * (first + size))))
        return self._made[first : first + size]


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


def generated(
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


def shared_head(base: base_lib.BaseModel, task: task_lib.Task, seed: int, most: int) -> tuple[int, ...]:
    """Returns the tokens that all prompts of a task begin with, at most so many.

    Raises:
      UserError: there are none.
    """
    prompts = [example.prompt for example in task.examples("train", _LOOKED_AT, seed)]
    # To the end of a word: what follows it begins with a space.
    head = os.path.commonprefix(prompts).rsplit(" ", 1)[0]
    if not head:
        raise errors.UserError(
            f"the prompts of {task.name} begin with nothing in common, expected words to sample after; set "
            "inputs to coded.")
    return tuple(base.encode(head))[:most]


def sampled(
    base: base_lib.BaseModel, head: Sequence[int], cue: Sequence[int], num: int, max_tokens: int, seed: int
) -> list[tuple[int, ...]]:
    """Returns `num` different prompts that the base model writes; fewer where it hardly writes any.

    Args:
      base: the model.
      head: the tokens that a prompt begins with.
      cue: those that end it.
      num: how many.
      max_tokens: of a row, in which a prompt leaves room for an answer.
      seed: of the sampling.
    """
    begin, end = base.decode(head), base.decode(cue)
    found: dict[tuple[int, ...], None] = {}
    # As many rounds for each prompt, however many are asked for at a time.
    for number in range(_MOST_ROUNDS * max(_LEAST_ROUNDS, -(-num // _ROWS))):
        texts = sampling.sample(
            base, {"params": base.params}, begin, num=_ROWS, seed=(seed << 20) + number,
            max_new_tokens=min(_NEW_TOKENS, max_tokens // 2))
        for text in texts:
            if end in text:
                prompt = tuple(base.tokenizer.encode(
                    begin + text[: text.index(end)] + end, add_special_tokens=False).ids)
                if len(prompt) < max_tokens and not set(prompt) & set(base.spec.end_tokens):
                    found.setdefault(prompt)
        if len(found) >= num:
            break
    return list(found)[:num]


def answered(
    base: base_lib.BaseModel, task: task_lib.Task, prompts: Sequence[tuple[int, ...]], teacher: str,
    max_tokens: int,
) -> list[examples_lib.TokenExample]:
    """Returns sampled prompts with a teacher's greedy answers, cut where a row ends.

    Raises:
      UserError: the teacher is no model that can be read.
    """
    model = base_lib.load_base(teacher, base.dtype)
    texts = generate.generate(
        model, {"params": model.params}, [base.decode(prompt) for prompt in prompts],
        max_new_tokens=task.max_new_tokens, stop=task.stop)
    return [examples_lib.TokenExample(prompt, tuple(base.encode(text))[: max_tokens - len(prompt)])
            for prompt, text in zip(prompts, texts, strict=True)]
