"""Corpus BLEU through sacrebleu (Post 2018), as a task's score."""

from __future__ import annotations

from collections.abc import Sequence

from sacrebleu.metrics import BLEU

from sah_jax.errors import UserError
from sah_jax.tasks.base import Score

_RESAMPLES = 1000
_INTERVAL_IN_STDERRS = 1.96


def score(responses: Sequence[str], references: Sequence[str]) -> Score:
    """Scores translations.

    Args:
        responses: One translation per item.
        references: One reference per item.

    Returns:
        Corpus BLEU (0 to 100) with the standard error of 1,000 bootstrap resamples of the items
        (Koehn 2004); the outcomes are the items' sentence BLEU, whose mean is not the value.

    Raises:
        UserError: If there is nothing to score.
    """
    if not responses:
        raise UserError(
            "Got no responses to score, expected at least one; raise the number of examples."
        )
    metric = BLEU(references=[list(references)])
    pooled = metric.corpus_score(list(responses), None, n_bootstrap=_RESAMPLES)
    single = BLEU(effective_order=True)
    outcomes = tuple(
        single.sentence_score(response, [reference]).score
        for response, reference in zip(responses, references, strict=True)
    )
    stderr = pooled._ci / _INTERVAL_IN_STDERRS if len(responses) > 1 else float("nan")
    return Score(pooled.score, stderr, outcomes)
