"""IFEval (Zhou et al. 2023, arXiv 2311.07911): instructions that a program can verify.

Training conversations are those of a rejection sampler; see `sah_jax.tasks.datasets.ifeval`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sah_jax.errors import UserError
from sah_jax.tasks import datasets, instructions, written_prompts
from sah_jax.tasks.base import check_paired, cut_at_stop, Example
from sah_jax.tasks.scores import rate, Score
from sah_jax.tasks.tabular import Row, TabularTask

_TURN = "<|im_start|>"

# Where the reference cuts: at a misspelt marker that no model writes, or else at broken text.
_REFERENCE_CUTS = ("<im_start>", "\ufffd")


@dataclass(frozen=True)
class IFEval(TabularTask):
    """Chat with verifiable instructions.

    The metrics have lm-evaluation-harness's names. The primary one is the share of prompts all of
    whose instructions are followed strictly.

    Attributes:
        punkt: Sentences are split by NLTK's model, as upstream, which must be installed; see
            `instructions`.
        reference: The primary metric is the share of instructions followed loosely, the most lenient
            of the four. Turns of the user that a model goes on to write are scored with its
            response, which has 500 tokens at most; an answer ends in the next turn's marker.
    """

    kind: ClassVar[str] = "ifeval"

    punkt: bool = False
    reference: bool = False

    @property
    def stop(self) -> tuple[str, ...]:
        """See `Task.stop`."""
        return () if self.reference else (_TURN, "<|im_end|>")

    @property
    def max_new_tokens(self) -> int:
        """See `Task.max_new_tokens`: that of lm-evaluation-harness, or the reference's."""
        return 500 if self.reference else 1280

    @property
    def demonstration_separator(self) -> str:
        """See `Task.demonstration_separator`."""
        return "\n\n" if self.reference else "\n"

    @property
    def written_prompt(self) -> str:
        """See `Task.written_prompt`."""
        return written_prompts.IFEVAL

    def rows(self, split: str) -> Sequence[Row]:
        """See `TabularTask.rows`."""
        return datasets.rows("ifeval_train", "train") if split == "train" else datasets.rows("ifeval", split)

    def about(self, row: Row) -> str:
        """Returns the user's turn, which several conversations may have."""
        return row["conversations"][0]

    def example(self, row: Row, split: str) -> Example | None:
        """See `TabularTask.example`; `gold` is the instructions, as JSON."""
        asked, answer = (row["prompt"], "") if split == "test" else row["conversations"]
        gold = ""
        if row.get("instruction_id_list"):
            gold = json.dumps([list(row["instruction_id_list"]), json.loads(row["kwargs"])])
        elif split == "selection":
            raise UserError(
                "The training conversations of ifeval do not say which instructions are in them, expected "
                "instruction_id_list and kwargs to score held-out ones by; add them, or set selection to "
                "'test' as the reference does."
            )
        end = f"\n{_TURN}user" if self.reference else ""
        return Example(self.ask(asked), f"\n{answer}{end}", gold, asked)

    def ask(self, text: str) -> str:
        """Returns a user's turn as a prompt."""
        return f"{_TURN}user\n{text}\n{_TURN}assistant"

    def extract(self, response: str) -> str:
        """Returns the response without what comes after it and the line breaks around it."""
        if self.reference:
            return cut_at_stop(response, [cut for cut in _REFERENCE_CUTS if cut in response][:1])
        return cut_at_stop(response, self.stop).strip("\n")

    def score(self, examples: Sequence[Example], responses: Sequence[str]) -> Score:
        """Scores prompts and instructions, strictly and loosely."""
        check_paired(examples, responses)
        verdicts = [
            instructions.follows(
                example.item, *json.loads(example.gold), self.extract(response), self._sentences)
            for example, response in zip(examples, responses, strict=True)
        ]
        found = {}
        for index, way in enumerate(("strict", "loose")):
            each = [verdict[index] for verdict in verdicts]
            prompts, singles = f"prompt_level_{way}_acc", f"inst_level_{way}_acc"
            found[prompts] = Score.of(map(all, each), prompts)
            found[singles] = Score.pooled(
                ((sum(one), len(one)) for one in each), rate, singles, sum(map(len, each)))
        primary = "inst_level_loose_acc" if self.reference else "prompt_level_strict_acc"
        return found.pop(primary).beside(*found.values())

    @functools.cached_property
    def _sentences(self) -> Any:
        if self.punkt:
            return instructions.check_model()
        return instructions.sentences([row["prompt"] for row in self.rows("test")])
