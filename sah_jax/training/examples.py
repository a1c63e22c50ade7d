"""Task examples as training batches."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.tasks import base as task_lib
from sah_jax.training import distributed
from sah_jax.training import step as step_lib


@dataclasses.dataclass(frozen=True)
class TokenExample:
    """An example as tokens, without start and end token."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


def first_fitting(
    base: base_lib.BaseModel, task: task_lib.Task, num: int, max_tokens: int, seed: int
) -> list[TokenExample]:
    """Returns the first `num` training examples whose tokens, end token included, fit.

    Prompt and answer are tokenised apart, as they are when the model is asked. An example that spells out
    an end token does not fit either: one line of a large data set stops no fit.

    Raises:
      UserError: fewer than half of the examples fit.
    """
    # Twice as many are looked at, where the first do not do; a task whose examples mostly do not fit is a
    # mistake.
    for looked_at in (num, 2 * num):
        fitting = []
        for example in task.examples("train", looked_at, seed):
            try:
                tokens = TokenExample(tuple(base.encode(example.prompt)), tuple(base.encode(example.answer)))
            except errors.UserError:
                continue
            if len(tokens.prompt) + len(tokens.answer) < max_tokens:
                fitting.append(tokens)
            if len(fitting) == num:
                return fitting
    raise errors.UserError(
        f"only {len(fitting)} of {2 * num} training examples of {task.name} have fewer than "
        f"{max_tokens} tokens and spell out no end token, expected at least {num}; raise max_tokens.")


def batch_of(
    base: base_lib.BaseModel, examples: Sequence[TokenExample], rows: int, max_tokens: int
) -> step_lib.Batch:
    """Returns a batch of fixed shape [rows, 1 + max_tokens]; the loss is on answers and ends.

    A sequence of `max_tokens` tokens has no end token: where it is cut, it does not end.
    """
    tokens_BL = np.zeros((rows, 1 + max_tokens), np.int32)
    tokens_BL[:, 0] = base.spec.start_token
    weights_BL = np.zeros((rows, 1 + max_tokens), np.float32)
    for row, example in enumerate(examples):
        sequence = [*example.prompt, *example.answer, base.spec.end_tokens[0]][:max_tokens]
        tokens_BL[row, 1 : 1 + len(sequence)] = sequence
        weights_BL[row, 1 + len(example.prompt) : 1 + len(sequence)] = 1.0
    return step_lib.Batch(tokens_BL, weights_BL)


class Rows(Sequence):
    """The rows of `batches`, by number, each made when it is asked for: a `Batch` without its axis B."""

    def __init__(
        self, base: base_lib.BaseModel, examples: Sequence[TokenExample], rows: int, max_tokens: int,
        orders: Iterable[Sequence[int]],
    ):
        self._make = lambda chosen: batch_of(base, chosen, 1, max_tokens)
        self._examples, self._order = examples, []
        for order in orders:
            self._order += [*order, *[None] * (-len(order) % rows)]

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, number: int) -> step_lib.Batch:
        index = self._order[number]
        batch = self._make([] if index is None else [self._examples[index]])
        return step_lib.Batch(*(array[0] for array in batch))


def batches(
    base: base_lib.BaseModel, examples: Sequence[TokenExample], rows: int, max_tokens: int,
    orders: Iterable[Sequence[int]], places: step_lib.Batch | None = None,
) -> Iterable[step_lib.Batch]:
    """Yields the batches of each order of the examples in turn; the last of an order may be short.

    Where `places` (shardings) are on several hosts, each host makes its own rows.
    """
    if places is not None and not places.tokens_BL.is_fully_addressable:
        yield from distributed.batches(Rows(base, examples, rows, max_tokens, orders), rows, places)
        return
    for order in orders:
        for first in range(0, len(order), rows):
            chosen = [examples[index] for index in order[first : first + rows]]
            yield batch_of(base, chosen, rows, max_tokens)
