"""IFEval's training data by rejection sampling: what a model answers, where verifiers accept it.

The reference sampled Olmo-3-32B-Think on RLVR-IFeval (Lambert et al. 2024, arXiv 2411.15124) and
released neither file. Here any model (with any program) answers any prompts; instructions can be
added to plain prompts. All instructions of a prompt must be followed strictly. (One of the
reference's verifiers accepted everything.)
"""

from __future__ import annotations

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
    return [
        _prompt(record, random.Random(f"ifeval {seed} {number}"))
        for number, record in enumerate(formats.read(pathlib.Path(path), ".jsonl"))
    ]


def _prompt(record: formats.Record, rng: random.Random) -> Prompt:
    text = checks.text(record, "prompt")
    if "instruction_id_list" not in record.values:
        return Prompt(*instructions.add(text, rng.randint(1, _MOST_INSTRUCTIONS), rng))
    names, arguments = (checks.field(record, name, list) for name in ("instruction_id_list", "kwargs"))
    if not names or len(names) != len(arguments):
        raise UserError(
            f"{record.where}: has {len(names)} instructions and {len(arguments)} kwargs, expected at least "
            "one of both; correct the row."
        )
    return Prompt(text, tuple(names), tuple(arguments))


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
) -> Iterator[list[dict[str, Any]]]:
    """Yields for each prompt the conversations that were accepted, as `ifeval_train` has them.

    Args:
        base, variables, context, temperature, max_new_tokens: See `sampling.sample`.
        prompts: What is asked.
        num: Answers sampled for each prompt; of equal ones, one is kept.
        seed: Of the sampling.
    """
    task = IFEval()
    sentences = instructions.sentences([prompt.text for prompt in prompts])
    for number, prompt in enumerate(prompts):
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
