"""Stored predictions of a task's test items, one JSON object a line, scored without a model."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sah_jax.errors import UserError
from sah_jax.tasks import paired
from sah_jax.tasks.base import Example, Task
from sah_jax.tasks.datasets import checks, formats
from sah_jax.tasks.scores import Score

_SAMPLES = 4


def write(responses: Sequence[str]) -> str:
    """Returns the content of a file that predicts the first items of a test split, in order."""
    return "".join(
        f"{json.dumps({'index': index, 'response': response})}\n" for index, response in enumerate(responses))


def samples(examples: Sequence[Example], responses: Sequence[str]) -> list[dict[str, str]]:
    """Returns the first items with their responses, for people to look at."""
    return [{"prompt": example.prompt, "answer": example.answer, "response": response}
            for example, response in zip(examples[:_SAMPLES], responses, strict=False)]


@dataclass(frozen=True)
class Scored:
    """What a file of predictions is worth.

    Attributes:
        score: The score over the items that have a prediction, in the order of the test split.
        missing: The test items that have none, by index.
        unknown: Where predictions stand that are of no test item: the file and line.
    """

    score: Score
    missing: tuple[int, ...]
    unknown: tuple[str, ...]


def score(task: Task, path: str | os.PathLike[str], num: int | None = None) -> Scored:
    """Scores a file of predictions.

    A line is an object with a "response" and one of "index", the test item's number from 0, and
    "prompt", its text with or without the task's template.

    Args:
        task: What was predicted.
        path: The file.
        num: How many test items there are to predict; None for the whole split.

    Returns:
        The score, and what it is not over.

    Raises:
        UserError: If the file cannot be read, a line is no prediction or one of several for an
            item, a prompt is that of several items, no item is predicted, or the split is endless.
    """
    num = _size(task, num)
    examples = task.examples("test", num)
    found, unknown = _found(task, path, examples)
    order = sorted(found)
    result = task.score([examples[index] for index in order], [found[index] for index in order])
    return Scored(result, tuple(sorted(set(range(num)) - set(found))), tuple(unknown))


def compare(
    task: Task, path: str | os.PathLike[str], other: str | os.PathLike[str], num: int | None = None
) -> paired.Difference:
    """Compares two files of predictions on the items that both predict; see `score`.

    Raises:
        UserError: As `score`, or if no item is predicted by both.
    """
    num = _size(task, num)
    examples = task.examples("test", num)
    first, second = (_found(task, file, examples)[0] for file in (path, other))
    order = sorted(set(first) & set(second))
    if not order:
        raise UserError(
            f"{path}: predicts no item that {other} predicts, expected at least one; compare others."
        )
    asked = [examples[index] for index in order]
    return paired.difference(*(
        task.score(asked, [found[index] for index in order]) for found in (first, second)))


def _size(task: Task, num: int | None) -> int:
    num = task.test_size() if num is None else num
    if num is None:
        raise UserError(
            f"Got no number of items of {task.name}, whose test split has no end; say how many."
        )
    return num


def _found(
    task: Task, path: str | os.PathLike[str], examples: Sequence[Example]
) -> tuple[dict[int, str], list[str]]:
    """Returns the response to each item that has one, and where predictions of no item stand."""
    unknown: list[str] = []
    found: dict[int, tuple[str, str]] = {}
    for where, index, response in _predictions(pathlib.Path(path), examples):
        if index is None:
            unknown.append(where)
        elif index in found:
            raise UserError(
                f"{where}: got a second prediction of item {index} after {found[index][0]}, expected "
                "one an item; remove one of them."
            )
        else:
            found[index] = where, response
    if not found:
        raise UserError(
            f"{path}: predicts none of the {len(examples)} test items of {task.name}, expected indices "
            "from 0 or the prompts of items; correct the file, or name another task."
        )
    return {index: response for index, (_, response) in found.items()}, unknown


def _predictions(
    path: pathlib.Path, examples: Sequence[Example]
) -> Iterator[tuple[str, int | None, str]]:
    """Yields where each prediction stands, the item it is of (None if there is no such), the response."""
    items: dict[str, set[int]] = {}
    for index, example in enumerate(examples):
        for text in (example.item, example.prompt):
            items.setdefault(text, set()).add(index)
    for record in formats.read(path, ".jsonl"):
        key = "index" if "index" in record.values else "prompt"
        for name, kind in ((key, int if key == "index" else str), ("response", str)):
            checks.field(record, name, kind)
        said = record.values[key]
        if key == "index":
            known = {said} & set(range(len(examples)))
            if known and not known <= items.get(record.values.get("prompt"), known):
                raise UserError(
                    f"{record.where}: got the index {said} with the prompt of another item, expected those "
                    "of one; correct or remove one of the two."
                )
        else:
            known = items.get(said, set())
        if len(known) > 1:
            raise UserError(
                f"{record.where}: got the prompt of the items {', '.join(map(str, sorted(known)))}, "
                "expected that of one; give the index instead."
            )
        yield record.where, next(iter(known), None), record.values["response"]
