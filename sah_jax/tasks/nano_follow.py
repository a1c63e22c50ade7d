"""The nano_follow task: instructions with verifiable constraints, in the shape of IFEval.

The skill comes from the corpora, the format does not: no document of pre- or post-training shows
"Instruction:" or "Response:", nor puts a constraint in these words.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from sah_jax.tasks.base import check_paired, cut_at_stop, Example
from sah_jax.tasks.nano import constraints as constraints_lib
from sah_jax.tasks.nano.briefs import Brief, instruction, sample_brief, split_of, Wording
from sah_jax.tasks.nano.splits import GeneratedTask
from sah_jax.tasks.scores import rate, Score

_WRITTEN_PROMPT = """\
Follow each instruction to the letter.

Instruction: Write about a cat. Use only capital letters. Write exactly two sentences.
Response: THE CAT SLEEPS IN OUR HOUSE. IT IS BLACK.

Instruction: Write about a king. Begin with the word "now". Do not write "the". \
End with "Good night, Tom."
Response: Now, a king eats my cake. Good night, Tom.

"""

_WORDING: Wording = {
    "topic": ("Write about {a} {value}.",),
    "upper": ("Use only capital letters.",),
    "lower": ("Use only small letters.",),
    "sentences": ("Write exactly {number} sentence{s}.",),
    "bullets": ("Write {number} point{s}, each after a star.",),
    "least_words": ("Write at least {value} words.",),
    "most_words": ("Write at most {value} words.",),
    "start": ('Begin with the word "{value}".',),
    "end": ('End with "{value}"',),
    "quote": ("Put everything in quotes.",),
    "use": ('Use "{value}" somewhere in it.',),
    "avoid": ('Do not write "{value}".',),
}


_WAYS = {"strict": constraints_lib.holds_strictly, "loose": constraints_lib.holds_loosely}


class NanoFollow(GeneratedTask):
    """Short texts to write, scored by the share of prompts followed to the letter."""

    name = kind = "nano_follow"
    stop: tuple[str, ...] = ("\nInstruction:", "\n\n")
    max_new_tokens = 112
    demonstration_separator = "\n\n"
    written_prompt = _WRITTEN_PROMPT

    def draw(self, rng: random.Random, split: str) -> Example | None:
        """See ``GeneratedTask.draw``; an example's gold is its constraints, as text."""
        brief = sample_brief(rng)
        return _example(rng, brief) if split_of(brief) == split else None

    def extract(self, response: str) -> str:
        """Returns the response up to the first stop string."""
        return cut_at_stop(response, self.stop).strip()

    def score(self, examples: Sequence[Example], responses: Sequence[str]) -> Score:
        """Scores prompts (all their constraints hold) and constraints, strictly and loosely.

        The metrics are IFEval's four, ``prompt_level_strict_acc`` the first; see ``Task.score``.
        """
        check_paired(examples, responses)
        found = {}
        for way, holds in _WAYS.items():
            each = [
                self._followed(example, text, holds)
                for example, text in zip(examples, responses, strict=True)
            ]
            prompts, singles = f"prompt_level_{way}_acc", f"inst_level_{way}_acc"
            found[prompts] = Score.of(map(all, each), prompts)
            found[singles] = Score.pooled(
                ((sum(one), len(one)) for one in each), rate, singles, sum(map(len, each))
            )
        return found.pop("prompt_level_strict_acc").beside(*found.values())

    def _followed(
        self, example: Example, response: str,
        holds: Callable[[constraints_lib.Constraint, str], bool],
    ) -> list[bool]:
        text = self.extract(response)
        return [holds(one, text) for one in constraints_lib.from_text(example.gold)]


def _example(rng: random.Random, brief: Brief) -> Example:
    text = instruction(rng, _WORDING, brief)
    return Example(
        prompt=f"Instruction: {text}\nResponse:",
        answer=f" {brief.response}",
        gold=constraints_lib.to_text(brief.constraints),
        item=text,
    )
