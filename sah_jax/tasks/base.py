"""The protocol every task follows: examples in, scored responses out.

A task never sees a model. It hands out examples of a split, says where a generation
stops, and scores the texts that came back; everything else is up to the caller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sah_jax.errors import UserError

SPLITS = ("train", "selection", "test")


@dataclass(frozen=True)
class Example:
    """One item of a task.

    Attributes:
        prompt: The complete text given to the model.
        answer: The text a good model continues with; ``prompt + answer`` is seamless.
        gold: The extracted gold answer that a response is compared with.
    """

    prompt: str
    answer: str
    gold: str


@dataclass(frozen=True)
class Score:
    """A task's metric over a set of responses.

    Attributes:
        value: Mean outcome.
        stderr: Standard error of that mean; NaN for a single outcome, whose spread is unknown.
        outcomes: The per-example outcomes, in the order of the examples.
    """

    value: float
    stderr: float
    outcomes: tuple[float, ...]

    @property
    def num_scored(self) -> int:
        """Number of examples behind the mean."""
        return len(self.outcomes)

    @classmethod
    def of(cls, outcomes: Iterable[float]) -> Score:
        """Summarises outcomes by their mean and its sample standard error.

        Args:
            outcomes: One number per scored example.

        Returns:
            The score.

        Raises:
            UserError: If there are no outcomes.
        """
        values = tuple(float(outcome) for outcome in outcomes)
        if not values:
            raise UserError(
                "Got no responses to score, expected at least one; raise the number of examples."
            )
        num = len(values)
        mean = math.fsum(values) / num
        if num == 1:
            return cls(mean, math.nan, values)
        variance = math.fsum((value - mean) ** 2 for value in values) / (num - 1)
        return cls(mean, math.sqrt(variance / num), values)


class Task(Protocol):
    """What a model can be adapted to.

    Attributes:
        name: The task's name in the registry.
        stop: Strings that end a generation; a response is read up to the first of them.
        max_new_tokens: Longest generation that still can hold a full answer.
        demonstration_separator: Text between two worked examples in one context.
        written_prompt: Hand-written context (instruction and worked examples) that can
            be put straight before an example's prompt.
    """

    name: str
    stop: tuple[str, ...]
    max_new_tokens: int
    demonstration_separator: str
    written_prompt: str

    def examples(self, split: str, num: int, seed: int = 0) -> tuple[Example, ...]:
        """Returns the first ``num`` examples of a split.

        The same arguments always give the same examples, fewer of them are a prefix of
        more of them, and no prompt comes twice.

        Args:
            split: One of ``SPLITS``.
            num: How many examples.
            seed: Picks one of many orders of the split.

        Returns:
            The examples.

        Raises:
            UserError: If the split is unknown or cannot supply that many examples.
        """
        ...

    def extract(self, response: str) -> str:
        """Returns the final answer in a response, or the empty string if it has none."""
        ...

    def score(self, examples: Sequence[Example], responses: Sequence[str]) -> Score:
        """Scores one response per example.

        Raises:
            UserError: If the two differ in number.
        """
        ...


def check_split(split: str) -> None:
    """Raises ``UserError`` unless ``split`` is one of ``SPLITS``."""
    if split not in SPLITS:
        raise UserError(
            f"Got split {split!r}, expected one of {', '.join(SPLITS)}; change the split's name."
        )


def check_paired(examples: Sequence[Example], responses: Sequence[str]) -> None:
    """Raises ``UserError`` unless there is exactly one response per example."""
    if len(examples) != len(responses):
        raise UserError(
            f"Got {len(responses)} responses for {len(examples)} examples, expected one for each; "
            "score exactly the examples that were generated for."
        )


def cut_at_stop(response: str, stop: Sequence[str]) -> str:
    """Returns the part of a response before the first stop string in it."""
    ends = (response.find(text) for text in stop)
    return response[: min((end for end in ends if end >= 0), default=len(response))]
