"""Stored predictions of a task's test items, one JSON object a line, scored without a model."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sah_jax.errors import UserError
from sah_jax.tasks.base import Example, Task
from sah_jax.tasks.scores import Score


@dataclass(frozen=True)
class Scored:
    """What a file of predictions is worth.

    Attributes:
        score: The score over the items that have a prediction, in the order of the test split.
        missing: The test items that have none, by index.
        unknown: The lines that name no test item.
    """

    score: Score
    missing: tuple[int, ...]
    unknown: tuple[int, ...]


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
    num = task.test_size() if num is None else num
    if num is None:
        raise UserError(
            f"Got no number of items of {task.name}, whose test split has no end; say how many."
        )
    examples = task.examples("test", num)
    lines, unknown = _lines_of_items(path, examples), []
    responses: dict[int, tuple[int, str]] = {}
    for line, index, response in lines:
        if index is None:
            unknown.append(line)
        elif index in responses:
            raise UserError(
                f"{path}, line {line}: got a second prediction of item {index} after line "
                f"{responses[index][0]}, expected one an item; remove one of them."
            )
        else:
            responses[index] = line, response
    if not responses:
        raise UserError(
            f"{path}: predicts none of the {num} test items of {task.name}, expected indices from 0 "
            "or the prompts of items; correct the file, or name another task."
        )
    found = task.score(
        [examples[index] for index in sorted(responses)],
        [responses[index][1] for index in sorted(responses)],
    )
    return Scored(found, tuple(i for i in range(num) if i not in responses), tuple(unknown))


def _lines_of_items(
    path: str | os.PathLike[str], examples: Sequence[Example]
) -> Iterator[tuple[int, int | None, str]]:
    """Yields the number of each line, the item it predicts (None if there is no such), the response."""
    items: dict[str, set[int]] = {}
    for index, example in enumerate(examples):
        for text in (example.item, example.prompt):
            items.setdefault(text, set()).add(index)
    try:
        # Not splitlines: that also splits at characters which JSON allows inside a string.
        texts = pathlib.Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}), expected a file of predictions; correct the path."
        ) from error
    for line, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        record = _record(f"{path}, line {line}", text)
        if "index" in record:
            index = record["index"]
            known = {index} if 0 <= index < len(examples) else set()
        else:
            known = items.get(record["prompt"], set())
        if len(known) > 1:
            raise UserError(
                f"{path}, line {line}: got the prompt of the items "
                f"{', '.join(map(str, sorted(known)))}, expected that of one; give the index instead."
            )
        yield line, next(iter(known), None), record["response"]


def _record(where: str, text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"{where}: is not JSON ({error}), expected one object; correct the line."
        ) from error
    named = isinstance(record, dict) and [key for key in ("index", "prompt") if key in record]
    kinds = {"response": str, "index": int, "prompt": str}
    if not named or any(type(record.get(key)) is not kinds[key] for key in ("response", named[0])):
        raise UserError(
            f"{where}: got {text:.60}, expected an object with the text response and either the number "
            "index or the text prompt; correct the line."
        )
    return record
