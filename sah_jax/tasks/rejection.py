"""IFEval's training data by rejection sampling: what a model answers, where verifiers accept it.

The reference sampled Olmo-3-32B-Think on RLVR-IFeval (Lambert et al. 2024, arXiv 2411.15124) and
released neither file. Here any model (with any program) answers any prompts; instructions can be
added to plain prompts. All instructions of a prompt must be followed strictly. (One of the
reference's verifiers accepted everything.)
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sah_jax.errors import UserError
from sah_jax.models import base as base_lib
from sah_jax.models import sampling
from sah_jax.tasks import instructions
from sah_jax.tasks.datasets import checks, formats
from sah_jax.tasks.ifeval import IFEval

# What a model that thinks aloud ends its thoughts with.
_THOUGHT_END = "</think>"

_MOST_INSTRUCTIONS = 3


@dataclass(frozen=True)
class Prompt:
    """A prompt with its instructions: their names, and the keyword arguments of each."""

    text: str
    names: tuple[str, ...]
    arguments: tuple[Mapping[str, Any], ...]


def read_prompts(path: str | os.PathLike[str], seed: int = 0) -> list[Prompt]:
    """Reads prompts, a JSON object a line, as IFEval's input_data.jsonl has them.

    A line with a `prompt` but no `instruction_id_list` gets one to three instructions from the seed.

    Raises:
        UserError: If the file cannot be read, or a line is none.
    """
    records = list(formats.read(pathlib.Path(path), ".jsonl"))
    if not records:
        raise UserError(f"{path}: holds no prompts, expected one a line; give another file.")
    return [
        _prompt(record, random.Random(f"ifeval {seed} {number}"))
        for number, record in enumerate(records)
    ]


def _prompt(record: formats.Record, rng: random.Random) -> Prompt:
    text = checks.text(record, "prompt")
    if "instruction_id_list" not in record.values:
        return Prompt(*instructions.add(text, rng.randint(1, _MOST_INSTRUCTIONS), rng))
    names, arguments = (checks.field(record, name, list) for name in ("instruction_id_list", "kwargs"))
    if problem := instructions.problem(names, arguments):
        raise UserError(f"{record.where}: {problem}; correct the row.")
    return Prompt(text, tuple(names), tuple(arguments))


def digest(prompts: Sequence[Prompt]) -> str:
    """Returns the SHA-256 of prompts and their instructions, in hexadecimal."""
    return hashlib.sha256(repr(prompts).encode()).hexdigest()


class Log:
    """What was accepted for each prompt so far, in a file that a stopped run goes on from."""

    def __init__(self, path: pathlib.Path, settings: Mapping[str, Any]):
        """Reads the file, if it is there.

        Args:
            path: The file.
            settings: What the answers hang on; those of another run are not gone on from.

        Raises:
            UserError: If the file is of other settings.
        """
        self.path, self._settings = path, settings
        first, *lines = _whole_lines(path) or [""]
        if first and first != json.dumps(settings):
            raise UserError(
                f"{path}: is of a run with other settings ({first}), got {json.dumps(settings)}; remove it, "
                "or give the settings of that run."
            )
        self.rows = [json.loads(line) for line in lines]
        self._begun = False

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Adds what was accepted for the next prompt.

        Raises:
            UserError: If the file cannot be written.
        """
        self.rows.append(rows)
        try:
            if self._begun:
                with open(self.path, "a") as file:
                    file.write(f"{json.dumps(rows)}\n")
                return
            # Whole the first time: a line of a run before that was cut off goes.
            part = self.path.with_name(f"{self.path.name}.part")
            part.write_text("".join(f"{json.dumps(one)}\n" for one in (self._settings, *self.rows)))
            os.replace(part, self.path)
            self._begun = True
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot be written ({error.strerror}); choose another file."
            ) from error

    def accepted(self) -> list[dict[str, Any]]:
        """Returns all that was accepted, each conversation once."""
        found = {tuple(row["conversations"]): row for rows in reversed(self.rows) for row in reversed(rows)}
        return list(reversed(found.values()))


def _whole_lines(path: pathlib.Path) -> list[str]:
    if not path.exists():
        return []
    return path.read_text().split("\n")[:-1]


def accepted(
    base: base_lib.BaseModel,
    variables: dict,
    prompts: Sequence[Prompt],
    *,
    context: Sequence[int] = (),
    num: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    first: int = 0,
) -> Iterator[list[dict[str, Any]]]:
    """Yields for each prompt, from a number on, the conversations accepted, as `ifeval_train` has them.

    Args:
        base, variables, context, temperature, max_new_tokens: See `sampling.sample`.
        prompts: What is asked.
        num: Answers sampled for each prompt; of equal ones, one is kept.
        seed: Of the sampling; what is drawn for a prompt hangs on it and the prompt's number.
        first: How many prompts are left out.
    """
    task = IFEval()
    sentences = instructions.sentences([prompt.text for prompt in prompts])
    for number, prompt in enumerate(prompts[first:], start=first):
        texts = sampling.sample(
            base, variables, task.ask(prompt.text), num=num, seed=seed + number, context=context,
            temperature=temperature, max_new_tokens=max_new_tokens, stop=task.stop)
        answers = dict.fromkeys(task.extract(_after_thought(text)) for text in texts)
        yield [
            {"conversations": [prompt.text, answer], "instruction_id_list": list(prompt.names),
             "kwargs": list(prompt.arguments)}
            for answer in answers
            if all(instructions.follows(
                prompt.text, prompt.names, prompt.arguments, answer, sentences)[0])
        ]


def _after_thought(text: str) -> str:
    return text.split(_THOUGHT_END, 1)[-1]
