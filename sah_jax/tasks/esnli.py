"""e-SNLI (Camburu et al. 2018, arXiv 1812.01193): explain, then say what a premise says of a hypothesis."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from sah_jax.tasks import datasets, written_prompts
from sah_jax.tasks.base import check_paired, cut_at_stop, Example
from sah_jax.tasks.scores import Score
from sah_jax.tasks.tabular import Row, TabularTask

LABELS = ("entailment", "neutral", "contradiction")
"""By the number that the data set gives them."""

_LABEL = r"(entail|neutral|contradict)\w*"
_MARKED = re.compile(rf"(?:answer|relationship) is:?[\s*_`\"'“(]*{_LABEL}", re.IGNORECASE)
_ANY = re.compile(rf"\b{_LABEL}", re.IGNORECASE)

# The reference's rules.
_REFERENCE_MARKED = re.compile(r"(?:the answer|the relationship) is (\w+)", re.IGNORECASE)
_REFERENCE_ANY = re.compile(r"\b(entailment|neutral|contradiction)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Esnli(TabularTask):
    """Inference between sentences with an explanation, scored by the label.

    Attributes:
        train: The training source, a split of the data set: the release that is at hand most often
            has no training split, its validation split then serves.
        reference: Scores by the reference's regular expressions: whatever word follows "the answer
            is" counts as the answer, "entailed" or "**neutral**" do not, and without that phrase
            the first label named does. Nothing stops a generation but the model's end token. (Its
            other prompt for demonstrations, in chat format before a question that is not, is not
            reproduced: there are no published results of it.)
    """

    kind: ClassVar[str] = "esnli"
    max_new_tokens: ClassVar[int] = 200
    demonstration_separator: ClassVar[str] = "\n\n"

    train: Literal["train", "validation"] = "train"
    reference: bool = False

    @property
    def stop(self) -> tuple[str, ...]:
        """See `Task.stop`."""
        return () if self.reference else ("\nPremise:", "\n\n")

    @property
    def written_prompt(self) -> str:
        """See `Task.written_prompt`; the reference's demonstrations are not in its template."""
        text = written_prompts.ESNLI
        return text if self.reference else written_prompts.without_turns(text)

    def rows(self, split: str) -> Sequence[Row]:
        """See `TabularTask.rows`."""
        return datasets.rows("esnli", self.train if split == "train" else "test")

    def about(self, row: Row) -> str:
        """Returns the premise, which items share."""
        return row["premise"]

    def example(self, row: Row, split: str) -> Example | None:
        """See `TabularTask.example`; items without label or explanation are passed over."""
        explanation, number = row["explanation_1"].strip(), int(row["label"])
        if number not in range(len(LABELS)) or not explanation:
            return None
        item = f"Premise: {row['premise']}\nHypothesis: {row['hypothesis']}"
        return Example(
            prompt=f"{item}\nDoes the premise entail, contradict, or is neutral to the hypothesis? "
            "Explain your reasoning, then answer.",
            answer=f" {explanation} Therefore, the answer is {LABELS[number]}.",
            gold=LABELS[number],
            item=item,
        )

    def extract(self, response: str) -> str:
        """Returns the label, or "".

        It is the first that "answer is" or "relationship is" marks; if none is marked, the last one
        named. Forms such as "entails" and "contradictory" count.
        """
        if self.reference:
            found = _REFERENCE_MARKED.search(response) or _REFERENCE_ANY.search(response)
            return found.group(1).lower() if found else ""
        response = cut_at_stop(response, self.stop)
        found = _MARKED.search(response)
        stems = [found.group(1)] if found else _ANY.findall(response)
        return next((label for label in LABELS if label.startswith(stems[-1].lower())), "") if stems else ""

    def score(self, examples: Sequence[Example], responses: Sequence[str]) -> Score:
        """Scores 1 for each response with the gold label, else 0."""
        check_paired(examples, responses)
        return Score.of(
            (self.extract(response) == example.gold
             for example, response in zip(examples, responses, strict=True)),
            "accuracy",
        )
