"""Paired comparisons: exact where all swaps can be listed, and of the same kind for every metric."""

import itertools

import numpy as np
import pytest

from sah_jax import errors
from sah_jax.tasks import paired
from sah_jax.tasks.scores import rate, Score


def _exact_p(ones, others, pool):
    """Returns the share of all swaps whose difference is as large."""
    size = len(ones)
    seen = abs(pool(ones) - pool(others))
    found = []
    for swaps in itertools.product((False, True), repeat=size):
        left = [b if swap else a for a, b, swap in zip(ones, others, swaps, strict=True)]
        right = [a if swap else b for a, b, swap in zip(ones, others, swaps, strict=True)]
        found.append(abs(pool(left) - pool(right)) >= seen - 1e-12)
    return np.mean(found)


def test_means_are_compared_pair_by_pair():
    ones, others = [1, 1, 0, 1, 1, 1, 0, 1], [0, 1, 0, 0, 0, 1, 1, 0]
    found = paired.difference(Score.of(ones), Score.of(others))
    assert (found.value, found.num) == (0.375, 8)
    differences = np.subtract(ones, others)
    assert found.stderr == pytest.approx(differences.std() / 8**0.5, rel=0.1)
    assert found.p_value == pytest.approx(_exact_p(ones, others, np.mean), abs=0.04)


def test_pooled_metrics_are_compared_by_what_they_pool():
    ones, others = [(3, 3), (1, 9), (2, 2), (2, 3), (1, 1)], [(0, 3), (2, 9), (1, 2), (0, 3), (1, 1)]
    pool = lambda rows: rate(np.array(rows))
    found = paired.difference(*(Score.pooled(counts, rate, "rate") for counts in (ones, others)))
    assert found.value == pytest.approx(9 / 18 - 4 / 18)
    assert found.p_value == pytest.approx(_exact_p(ones, others, pool), abs=0.04)


def test_metrics_over_any_things_are_compared_too():
    joined = lambda things: sum(len(set(gold) & set(said)) for gold, said in things) / len(things)
    ones, others = [("abc", "abc"), ("de", "d")] * 3, [("abc", "a"), ("de", "d")] * 3
    found = paired.difference(*(Score.aggregated(some, joined, "shared") for some in (ones, others)))
    assert found.value == 1.0 and found.p_value == pytest.approx(_exact_p(ones, others, joined), abs=0.12)


def test_the_smallest_p_value_is_that_of_the_draws():
    found = paired.difference(Score.of([1.0] * 40), Score.of([0.0] * 40))
    assert found.p_value == 1 / 1001 and found.stderr == 0.0


def test_outcomes_of_mixed_things_are_things():
    # As those of a Brier score: a label, and the probabilities of all.
    values = [(0, np.array([0.2, 0.8])), (1, np.array([0.5, 0.5]))]
    brier = lambda rows: float(np.mean([np.sum((one - np.eye(2)[gold]) ** 2) for gold, one in rows]))
    assert Score.aggregated(values, brier, "brier").value == pytest.approx((1.28 + 0.5) / 2)
    for odd in ([(1, "a"), (2, "b")], [()], [(1, 2), (3,)]):
        assert Score.aggregated(odd, len, "number").value == len(odd)


def test_equal_scores_do_not_differ():
    score = Score.of([1, 0, 1])
    assert paired.difference(score, score) == paired.Difference(0.0, 0.0, 1.0, 3)
    assert np.isnan(paired.difference(Score.of([1]), Score.of([0])).stderr)


def test_scores_over_other_examples_are_refused():
    with pytest.raises(errors.UserError, match="over 3 and 2 examples"):
        paired.difference(Score.of([1, 0, 1]), Score.of([1, 0]))
