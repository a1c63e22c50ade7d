"""The nano_translate task: English to French, in the shape of FLORES.

The skill comes from the pre-training corpus, the format does not: no corpus document
shows "English:" or "French:".
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from sacrebleu.metrics import BLEU, CHRF

from sah_jax.tasks.base import check_paired, cut_at_stop, Example
from sah_jax.tasks.nano.sentences import Pair, sample_sentence, split_of
from sah_jax.tasks.nano.splits import GeneratedTask
from sah_jax.tasks.scores import Score
from sah_jax.tasks.translation import corpus_score

_WRITTEN_PROMPT = """\
Translate each sentence into French.

English: The black cat sleeps on my bed.
French: Le chat noir dort sur mon lit.

English: Her sisters do not want the old house.
French: Ses sœurs ne veulent pas la vieille maison.

"""


class NanoTranslate(GeneratedTask):
    """Short sentences, scored by corpus BLEU (0 to 100)."""

    name = kind = "nano_translate"
    stop: tuple[str, ...] = ("\n",)
    max_new_tokens = 48
    demonstration_separator = "\n\n"
    written_prompt = _WRITTEN_PROMPT

    def draw(self, rng: random.Random, split: str) -> Example | None:
        """See ``GeneratedTask.draw``."""
        sentence = sample_sentence(rng)
        return _example(sentence) if split_of(sentence) == split else None

    def extract(self, response: str) -> str:
        """Returns the first line of a response."""
        return cut_at_stop(response, self.stop).strip()

    def score(self, examples: Sequence[Example], responses: Sequence[str]) -> Score:
        """Scores all responses together, chrF beside BLEU; see ``Task.score``."""
        check_paired(examples, responses)
        texts = [self.extract(response) for response in responses]
        golds = [example.gold for example in examples]
        chrf = corpus_score("chrf", CHRF(), texts, golds)
        return corpus_score("bleu", BLEU(), texts, golds).beside(chrf)


def _example(sentence: Pair) -> Example:
    return Example(
        prompt=f"English: {sentence.english}\nFrench:",
        answer=f" {sentence.french}",
        gold=sentence.french,
        item=sentence.english,
    )
