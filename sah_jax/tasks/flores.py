"""FLORES-200 (NLLB Team 2022, arXiv 2207.04672), English to French: corpus BLEU with chrF beside it.

Training pairs come from NLLB's mined bitext, as in the reference, or from FLORES's own development
split. BLEU (Papineni et al. 2002), chrF and chrF++ (Popović 2015, 2017) are sacrebleu's (Post 2018)
with its defaults: 13a tokens, exponential smoothing, cased; character order 6; word order 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from sacrebleu.metrics import BLEU, CHRF

from sah_jax.tasks import datasets, written_prompts
from sah_jax.tasks.base import check_paired, cut_at_stop, Example
from sah_jax.tasks.scores import Score
from sah_jax.tasks.tabular import Row, TabularTask
from sah_jax.tasks.translation import corpus_score

# The reference's evaluation batch, on which its BLEU hangs.
_REFERENCE_BATCH = 16


@dataclass(frozen=True)
class Flores(TabularTask):
    """Translation of sentences, scored by corpus BLEU, 0 to 100.

    Attributes:
        train: The training source: NLLB's mined pairs, or the development split of FLORES.
        reference: The metric is the mean over batches of 16 sentences of each batch's BLEU, the last
            batch weighted by its size. Nothing stops a generation but the model's end token, and
            an answer ends in a line break.
    """

    kind: ClassVar[str] = "flores"
    max_new_tokens: ClassVar[int] = 128
    demonstration_separator: ClassVar[str] = "\n\n"

    train: Literal["nllb", "dev"] = "nllb"
    reference: bool = False

    @property
    def stop(self) -> tuple[str, ...]:
        """See `Task.stop`."""
        return () if self.reference else ("\n",)

    @property
    def written_prompt(self) -> str:
        """See `Task.written_prompt`; the reference's demonstrations are not in its template."""
        text = written_prompts.FLORES
        return text if self.reference else text.replace("\n\nFrench:", "\nFrench:") + "\n"

    def rows(self, split: str) -> Sequence[Row]:
        """See `TabularTask.rows`."""
        if split == "test":
            return datasets.rows("flores", "devtest")
        return datasets.rows("flores", "dev") if self.train == "dev" else datasets.rows("nllb", "train")

    def about(self, row: Row) -> str:
        """Returns the English sentence."""
        return row["en"]

    def example(self, row: Row, split: str) -> Example | None:
        """See `TabularTask.example`."""
        english, french = row["en"], row["fr"]
        end = "\n" if self.reference else ""
        return Example(f"English: {english}\nFrench:", f" {french}{end}", french, english)

    def extract(self, response: str) -> str:
        """Returns the first line; for the reference the first that is not empty."""
        if not self.reference:
            return cut_at_stop(response, self.stop).strip()
        return response.strip().partition("\n")[0].strip()

    def score(self, examples: Sequence[Example], responses: Sequence[str]) -> Score:
        """Scores all responses together; `outcomes` are the counts that BLEU pools."""
        check_paired(examples, responses)
        texts = [self.extract(response) for response in responses]
        golds = [example.gold for example in examples]
        others = [
            corpus_score("chrf", CHRF(), texts, golds),
            corpus_score("chrf++", CHRF(word_order=2), texts, golds),
        ]
        if self.reference:
            batches = corpus_score("bleu_batch_mean", BLEU(), texts, golds, _REFERENCE_BATCH)
            return batches.beside(corpus_score("bleu", BLEU(), texts, golds), *others)
        return corpus_score("bleu", BLEU(), texts, golds).beside(*others)
