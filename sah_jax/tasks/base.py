"""The protocol every task follows: examples in, scored responses out.

A task never sees a model. It hands out examples of a split, says where a generation
stops, and scores the texts that came back; everything else is up to the caller.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sah_jax.errors import UserError
from sah_jax.tasks.scores import Score

SPLITS = ("train", "selection", "test")


@dataclass(frozen=True)
class Example:
    """One item of a task.

    Attributes:
        prompt: The complete text given to the model.
        answer: The text a good model continues with; ``prompt + answer`` is seamless.
        gold: What a response is held against: the extracted gold answer, or what else the
            task's metric wants, as text.
        item: The item's own text, without the template around it; may be empty. Stored
            predictions can name an item by it.
        choices: Of multiple choice, the (prompt, continuation) pairs to choose from by their
            likelihood; nothing is generated then. The response is their log-likelihoods, as JSON:
            see `evaluate.weighed`.
    """

    prompt: str
    answer: str
    gold: str
    item: str = ""
    choices: tuple[tuple[str, str], ...] = ()


class Task(Protocol):
    """What a model can be adapted to.

    Attributes:
        name: The task's name, options included, spelled the one way that rows hold.
        stop: Strings that end a generation; a response is read up to the first of them. A
            special token of some tokenizers, such as ``<|im_start|>``, must be one of its own.
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
        more of them, and no item comes twice. Selection items are held out from the source
        of the training items; none of the three splits shares an item with another.

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

    def test_size(self) -> int | None:
        """Returns how many items the test split has; None if there is no end of them."""
        ...

    def data(self, splits: Iterable[str]) -> Mapping[str, str]:
        """Returns what the examples of some splits, and how they are scored, come from.

        Returns:
            A name for each source, with what tells it from others of that name: for data of a file, the
            SHA-256 of what was read. What the package itself does is not part of it.

        Raises:
            UserError: If a split has no source.
        """
        ...

    def extract(self, response: str) -> str:
        """Returns the final answer in a response, or the empty string if it has none."""
        ...

    def score(self, examples: Sequence[Example], responses: Sequence[str]) -> Score:
        """Scores one response per example.

        The same code scores what a study generated and what a file of predictions holds.

        Returns:
            The score, with every metric of the task.

        Raises:
            UserError: If the two differ in number.
        """
        ...


def digest(task: Task, splits: Iterable[str]) -> str:
    """Returns the SHA-256 of a task's name and the data of some splits, in hexadecimal."""
    return digest_of([task.name, *sorted(task.data(splits).items())])


def digest_of(things: Iterable) -> str:
    """Returns the SHA-256 of things as JSON, and as Python writes them where that has no word for them."""
    found = hashlib.sha256()
    for thing in things:
        found.update(json.dumps(thing, sort_keys=True, default=repr).encode() + b"\n")
    return found.hexdigest()


def source_of(split: str) -> str:
    """Returns the source of a split: "train" for training and held-out items, or "test"."""
    return "test" if split == "test" else "train"


def check_split(split: str) -> None:
    """Raises ``UserError`` unless ``split`` is one of ``SPLITS``."""
    if split not in SPLITS:
        raise UserError(
            f"Got split {split!r}, expected one of {', '.join(SPLITS)}; change the split's name."
        )


def check_num(name: str, num: int) -> None:
    """Raises ``UserError`` if a negative number of a task's examples is asked for."""
    if num < 0:
        raise UserError(
            f"Got {num} examples of {name}, expected at least 0; raise the number of examples."
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
