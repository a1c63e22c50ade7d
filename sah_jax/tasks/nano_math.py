"""The nano_math task: arithmetic word problems in the shape of GSM8K.

The skill comes from the pre-training corpus, the format does not: no corpus document
shows "Question:", "Answer:" or a final line with "####".
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from sah_jax.tasks.base import check_paired, cut_at_stop, Example
from sah_jax.tasks.nano.problems import Problem, sample_problem, split_of
from sah_jax.tasks.nano.splits import GeneratedTask
from sah_jax.tasks.scores import Score

_WRITTEN_PROMPT = """\
Work out each answer step by step and end with a line of four # and the number.

Question: Ann has 14 pears. She buys 9 more. How many pears does Ann have now?
Answer: Ann now has 14 + 9 = 23 pears.
#### 23

Question: Ben has 3 bags with 8 nuts in each bag. He loses 5. How many nuts does Ben have now?
Answer: The bags hold 3 * 8 = 24 nuts. Ben now has 24 - 5 = 19 nuts.
#### 19

"""

# Only a digit ends the number, so that a full stop after it is left out.
_FINAL = re.compile(r"#### (-?[0-9.,]*[0-9])")


class NanoMath(GeneratedTask):
    """Word problems of one to three steps, scored by exact match of the final number."""

    name = kind = "nano_math"
    stop: tuple[str, ...] = ("\nQuestion:", "\n\n")
    max_new_tokens = 80
    demonstration_separator = "\n\n"
    written_prompt = _WRITTEN_PROMPT

    def draw(self, rng: random.Random, split: str) -> Example | None:
        """See ``GeneratedTask.draw``."""
        problem = sample_problem(rng)
        return _example(problem) if split_of(problem) == split else None

    def extract(self, response: str) -> str:
        """Returns the number of the first "#### " line, without commas, or ""."""
        found = _FINAL.search(cut_at_stop(response, self.stop))
        return found.group(1).replace(",", "") if found else ""

    def score(self, examples: Sequence[Example], responses: Sequence[str]) -> Score:
        """Scores 1 for each response whose extracted number is the gold answer, else 0."""
        check_paired(examples, responses)
        return Score.of(
            self._is_correct(example, text)
            for example, text in zip(examples, responses, strict=True)
        )

    def _is_correct(self, example: Example, response: str) -> bool:
        answer = self.extract(response)
        # A response without a number is wrong whatever the gold answer is.
        return answer != "" and answer == example.gold


def _example(problem: Problem) -> Example:
    working = " ".join(step.sentence for step in problem.steps)
    text = f"{problem.story} {problem.question}"
    return Example(
        prompt=f"Question: {text}\nAnswer:",
        answer=f" {working}\n#### {problem.answer}",
        gold=str(problem.answer),
        item=text,
    )
