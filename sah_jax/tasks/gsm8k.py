"""GSM8K (Cobbe et al. 2021, arXiv 2110.14168): grade school word problems, exact match.

Training items come from MetaMathQA (Yu et al. 2023, arXiv 2309.12284), as in the reference, or from
GSM8K's own training split. Of MetaMathQA, selection takes the items made from GSM8K only: they are
what the test looks like, and each of them has a number for an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Literal

from sah_jax.tasks import datasets, written_prompts
from sah_jax.tasks.base import check_paired, cut_at_stop, Example
from sah_jax.tasks.scores import Score
from sah_jax.tasks.tabular import Row, TabularTask

# What the data set's calculator did; nothing a model is to write.
_CALCULATOR = re.compile(r"<<[^>]*>>")

# A number as people and models write it: sign, currency, thousands, decimals.
_NUMBER = r"-?(?:\\?[$€£]\s?)?-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|-?\.\d+"
# Between a mark and its number stand emphasis, brackets and other marks at most.
_MARKED = re.compile(
    rf"(?:####|answer is|\\boxed{{)(?:[\s*:_`({{\[]|\\[(\[]|\\boxed)*({_NUMBER})", re.IGNORECASE)
_ANY = re.compile(rf"(?<![\w.])(?:{_NUMBER})")

# The reference's rules, see `Gsm8k.score`.
_REFERENCE_GOLD = re.compile(r"#### ([\d,]+)")
_REFERENCE_ANSWER = re.compile(r"answer is:? ([\d,]+)", re.IGNORECASE)
_REFERENCE_QUESTION = re.compile(r"question:", re.IGNORECASE)
_REFERENCE_NUMBER = re.compile(r"[\d,]+")


@dataclass(frozen=True)
class Gsm8k(TabularTask):
    """Word problems, answered with working and scored by the final number.

    Attributes:
        train: The training source: MetaMathQA, or GSM8K's own training split.
        reference: Scores by the reference's regular expressions, which lose the two negative golds
            of the test split (a response without a number then counts as correct), find no `$18`,
            `**18**`, `-18` or `\\boxed{18}`, and read decimals up to the point. Nothing stops a
            generation but the model's end token.
    """

    kind: ClassVar[str] = "gsm8k"
    max_new_tokens: ClassVar[int] = 500
    demonstration_separator: ClassVar[str] = "\n\n"

    train: Literal["metamathqa", "gsm8k"] = "metamathqa"
    reference: bool = False

    @property
    def stop(self) -> tuple[str, ...]:
        """See `Task.stop`."""
        return () if self.reference else ("\nQuestion:",)

    @property
    def written_prompt(self) -> str:
        """See `Task.written_prompt`; the reference's demonstrations are not in its template."""
        text = written_prompts.GSM8K
        return text if self.reference else text.replace("\n\nResponse:", "\nResponse:")

    def rows(self, split: str) -> Sequence[Row]:
        """See `TabularTask.rows`."""
        return datasets.rows(self.train if split == "train" else "gsm8k", split)

    def about(self, row: Row) -> str:
        """Returns the question; of a paraphrase, the one that was paraphrased, if it is known."""
        return row.get("original_question") or row.get("query") or row["question"]

    def example(self, row: Row, split: str) -> Example | None:
        """See `TabularTask.example`."""
        question, answer = row.get("query") or row["question"], row.get("response") or row["answer"]
        if "query" not in row:
            answer = _CALCULATOR.sub("", answer)
        if self.reference:
            found = _REFERENCE_GOLD.search(answer)
            gold = found.group(1).replace(",", "") if found else ""
        else:
            gold = self.extract(answer)
        if split == "selection" and (not gold or not row.get("type", "GSM").startswith("GSM")):
            return None
        return Example(f"Question: {question}\nResponse:", f" {answer}", gold, question)

    def extract(self, response: str) -> str:
        """Returns the final number, or "".

        It is the first that "####", "answer is" or "\\boxed{" marks; if none is marked, the last one
        there is. Signs, dollars, thousands and decimals are read, and "18.00" is "18".
        """
        if self.reference:
            return _reference_answer(response)
        response = cut_at_stop(response, self.stop).replace("\N{MINUS SIGN}", "-")
        found = _MARKED.search(response)
        numbers = [found.group(1)] if found else _ANY.findall(response)
        return _plain(numbers[-1]) if numbers else ""

    def score(self, examples: Sequence[Example], responses: Sequence[str]) -> Score:
        """Scores 1 for each response whose number is the gold one, else 0."""
        check_paired(examples, responses)
        answers = [self.extract(response) for response in responses]
        return Score.of(
            # In the reference a lost gold is "", and so is an answer without a number.
            answer == example.gold and (self.reference or answer != "")
            for example, answer in zip(examples, answers, strict=True)
        )


def _plain(number: str) -> str:
    """Returns a number as digits, with a sign and decimals where it needs them."""
    value = Decimal(re.sub(r"[^\d.]", "", number))
    sign = "-" if "-" in number and value else ""
    return f"{sign}{value.normalize():f}"


def _reference_answer(response: str) -> str:
    marked = _REFERENCE_ANSWER.search(response)
    if marked:
        return marked.group(1).replace(",", "")
    question = _REFERENCE_QUESTION.search(response)
    numbers = _REFERENCE_NUMBER.findall(response[: question.start()]) if question else []
    return numbers[-1].replace(",", "") if numbers else ""
