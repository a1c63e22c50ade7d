"""Metrics of translations, pooled over a corpus by sacrebleu (Post 2018)."""

from __future__ import annotations

import numpy as np
from sacrebleu.metrics import BLEU, CHRF

from sah_jax.tasks.scores import Score


def corpus_score(
    name: str, metric: BLEU | CHRF, texts: list[str], golds: list[str], batch: int | None = None
) -> Score:
    """Returns a metric of a corpus, or its mean over batches of sentences in their order."""

    def whole(counts: np.ndarray) -> float:
        # What sacrebleu's own bootstrap does with counts; its release is pinned.
        return metric._compute_score_from_stats(counts.sum(axis=0).tolist()).score

    def mean(counts: np.ndarray) -> float:
        parts = [counts[first : first + batch] for first in range(0, len(counts), batch)]
        return sum(whole(part) * len(part) for part in parts) / len(counts)

    counts = metric._extract_corpus_statistics(texts, [golds])
    return Score.pooled(counts, mean if batch else whole, name)
