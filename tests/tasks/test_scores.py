"""Scores: means and pooled metrics with the standard errors they should have."""

import math

import numpy as np
import pytest

from sah_jax import errors
from sah_jax.tasks import scores
from sah_jax.tasks.scores import Metric, Score


def _rate(counts):
    return float(counts[:, 0].sum() / counts[:, 1].sum())


def _hits(num):
    return [int(hit) for hit in np.random.RandomState(1).randint(0, 2, num)]


def test_a_mean_has_its_sample_standard_error():
    score = Score.of([1, 0, 1, 1], "accuracy")
    assert (score.value, score.outcomes, score.num_scored) == (0.75, (1.0, 0.0, 1.0, 1.0), 4)
    assert score.stderr == pytest.approx(math.sqrt(0.75 * 0.25 / 3))
    assert score.metrics == {"accuracy": Metric(0.75, score.stderr, 4)}


def test_a_pooled_metric_keeps_each_examples_counts_and_knows_what_it_is_over():
    score = Score.pooled([(1, 2), (0, 1), (3, 3)], _rate, "rate", num=6)
    assert score.value == pytest.approx(4 / 6) and score.outcomes == ((1, 2), (0, 1), (3, 3))
    assert score.metrics["rate"] == Metric(score.value, score.stderr, 6) and score.num_scored == 3


def test_the_bootstrap_agrees_with_the_formula_where_there_is_one():
    hits = _hits(400)
    mean, pooled = Score.of(hits), Score.pooled([(hit, 1) for hit in hits], _rate, "rate")
    assert pooled.value == pytest.approx(mean.value)
    assert pooled.stderr == pytest.approx(mean.stderr, rel=0.1)


def test_examples_that_belong_together_are_drawn_together():
    """Four instructions a prompt that are all followed or all not are one draw, not four."""
    hits = _hits(100)
    alone = Score.pooled([(hit, 1) for hit in hits], _rate, "rate")
    together = Score.pooled([(4 * hit, 4) for hit in hits], _rate, "rate")
    assert together.stderr == pytest.approx(alone.stderr, rel=1e-9)


def test_draws_are_the_same_whatever_else_is_drawn(monkeypatch):
    counts = [(hit, 1) for hit in _hits(50)]
    first = Score.pooled(counts, _rate, "rate")
    np.random.seed(7)
    assert Score.pooled(counts, _rate, "rate") == first
    seen = []
    monkeypatch.setattr(scores, "RESAMPLES", 2)
    Score.pooled([(i,) for i in range(6)], lambda rows: seen.append(rows[:, 0].tolist()) or 0.0, "seen")
    # The stream that NumPy has frozen (NEP 19).
    assert seen == [[0, 1, 2, 3, 4, 5], [0, 1, 0, 2, 4, 1], [5, 5, 2, 4, 1, 2]]


def test_one_example_has_no_known_spread_and_none_has_no_score():
    assert math.isnan(Score.of([1.0]).stderr)
    assert math.isnan(Score.pooled([(1, 2)], _rate, "rate").stderr)
    for make in (lambda: Score.of([]), lambda: Score.pooled([], _rate, "rate")):
        with pytest.raises(errors.UserError, match="at least one"):
            make()


def test_metrics_stand_beside_the_primary_one():
    score = Score.of([1, 0], "a").beside(Score.of([0, 0], "b"), Score.of([1, 1], "c"))
    assert list(score.metrics) == ["a", "b", "c"] and score.value == 0.5 == score.metrics["a"].value
    assert score.metrics["c"].value == 1.0
