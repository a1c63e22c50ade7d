"""Intervals hold as often as they say, are of the kind that the scores are, and lie along the staircase."""

import dataclasses
import itertools
import math

import figure_rows
import hypothesis
import numpy as np
import pytest
import row_template
from hypothesis import strategies as st

from sah_jax.complexity import bands, frontier
from sah_jax.tasks import scores

SETTINGS = hypothesis.settings(derandomize=True, deadline=None)
Z95 = 1.959963984540054

COUNTS = st.integers(1, 500).flatmap(lambda num: st.tuples(st.integers(0, num), st.just(num)))


@SETTINGS
@hypothesis.given(COUNTS)
def test_wilsons_interval_holds_the_share_and_is_one_of_probabilities(counts):
    right, num = counts
    low, high = bands.wilson(right / num, num)
    assert 0 <= low <= right / num <= high <= 1
    # It shrinks to nothing nowhere, and is at 0 and 1 where the share is.
    assert high - low > 0.5 / (num + 4) and (low == 0) == (right == 0) and (high == 1) == (right == num)


@SETTINGS
@hypothesis.given(COUNTS)
def test_wilsons_bounds_are_where_the_score_test_turns(counts):
    right, num = counts
    share = right / num
    for bound in bands.wilson(share, num):
        assert abs(share - bound) == pytest.approx(Z95 * math.sqrt(bound * (1 - bound) / num), abs=1e-9)
    low, high = bands.wilson(share, num)
    assert bands.wilson(1 - share, num) == pytest.approx((1 - high, 1 - low))


@SETTINGS
@hypothesis.given(COUNTS, st.integers(2, 9))
def test_intervals_are_narrower_with_items_and_wider_with_the_level(counts, times):
    right, num = counts
    width = lambda *given: float(np.diff(bands.wilson(right / num, *given))[0])
    assert width(num * times) < width(num) < width(num, 0.99)


def test_wilsons_interval_holds_as_often_as_it_says():
    num = 100
    probabilities = np.arange(0.005, 1, 0.005)
    rights = range(num + 1)
    held = np.array([[low <= one <= high for one in probabilities] for low, high in (
        bands.wilson(right / num, num) for right in rights)])
    chance = np.array([[math.comb(num, right) * one**right * (1 - one) ** (num - right)
                        for one in probabilities] for right in rights])
    cover = (held * chance).sum(axis=0)
    assert 0.945 < cover.mean() < 0.96 and cover.min() > 0.89


@pytest.mark.parametrize(("given", "word"), [
    ((1.5, 10), "share"), ((-0.1, 10), "share"), ((math.nan, 10), "share"), ((0.5, 0), "num"),
    ((0.5, 10, 1.0), "level"), ((0.5, 10, 0.0), "level")])
def test_what_is_no_share_of_items_is_an_error(given, word):
    with pytest.raises(ValueError, match=f"^{word}: got"):
        bands.wilson(*given)


def test_a_level_is_a_probability():
    with pytest.raises(ValueError, match="^level: got 95"):
        bands.Intervals([], 95)


def _scored(score, task="t", selection=None, **changes):
    """Returns a row with a task's scores."""
    selection = selection or score
    return dataclasses.replace(
        row_template.TEMPLATE, dataset_name=task, performance=score.value, performance_stderr=score.stderr,
        num_scored=score.num_scored, selection_performance=selection.value,
        selection_stderr=selection.stderr, selection_num_scored=selection.num_scored, **changes)


SHARE = scores.Score.of([True] * 30 + [False] * 170)
NONE_RIGHT, ALL_RIGHT = (scores.Score.of([right] * 200) for right in (False, True))
# One of them too little to be zeros and ones, and rates whose mean over items is what SHARE is.
NEARLY = scores.Score.of([True] * 30 + [False] * 169 + [0.5])
POOLED = scores.Score.pooled([(1, 1)] * 30 + [(0, 1)] * 170, scores.rate, "rate")
BLEU = scores.Score.pooled(
    [(31, 100), (8, 100), (55, 100)] * 20, lambda counts: 100 * scores.rate(counts), "BLEU")


@pytest.mark.parametrize("score", [NEARLY, POOLED, BLEU], ids=["a mean", "a rate", "BLEU"])
def test_of_scores_that_are_no_share_it_is_normal(score):
    low, high = bands.Intervals([_scored(score)]).of(_scored(score))
    assert (low, high) == pytest.approx((score.value - Z95 * score.stderr, score.value + Z95 * score.stderr))
    assert low < score.value < high and (low, high) != bands.wilson(min(score.value, 1), score.num_scored)


def test_of_shares_it_is_wilsons_at_any_score():
    rows = [_scored(SHARE), _scored(NONE_RIGHT), _scored(ALL_RIGHT)]
    found = [bands.Intervals(rows).of(row) for row in rows]
    assert found == [bands.wilson(share, 200) for share in (0.15, 0.0, 1.0)]
    assert found[1][1] > 0.01 and found[2][0] < 0.99
    # What tells may be another row, or the selection score.
    assert bands.Intervals([_scored(NONE_RIGHT, selection=SHARE)]).of(rows[1]) == found[1]


def test_one_score_that_is_no_share_tells_of_the_whole_task():
    assert bands.Intervals([_scored(SHARE), _scored(NEARLY)]).of(_scored(SHARE)) == pytest.approx(
        (0.15 - Z95 * SHARE.stderr, 0.15 + Z95 * SHARE.stderr))


@pytest.mark.parametrize("others", [[], [_scored(SHARE, "another task")], [_scored(BLEU)]],
                         ids=["no rows", "rows of another task", "rows of no share"])
def test_a_score_without_spread_has_no_interval_unless_it_is_known_to_be_a_share(others):
    row = _scored(NONE_RIGHT)
    assert bands.Intervals([row, *others]).of(row) is None


def test_a_reported_row_has_no_interval_and_tells_nothing():
    [theirs, *_] = figure_rows.reported_rows()
    ours = _scored(SHARE, theirs.dataset_name)
    intervals = bands.Intervals([theirs, ours])
    assert intervals.of(theirs) is None and intervals.of(ours) == bands.wilson(SHARE.value, 200)
    assert intervals.of(dataclasses.replace(ours, num_scored=0)) is None


@st.composite
def fronts(draw):
    """Rows of one cell, each with a share of 50 items; few lengths and scores, so that there are ties."""
    return [_scored(
        scores.Score.of(np.arange(50) < draw(st.integers(0, 50))),
        selection=scores.Score.of(np.arange(50) < draw(st.integers(1, 6))),
        point=f"p{index}", bits=8 * draw(st.integers(0, 9)), script_bits=8 * draw(st.integers(0, 2)))
        for index in range(draw(st.integers(0, 8)))]


@SETTINGS
@hypothesis.given(fronts(), st.booleans())
def test_the_band_is_around_the_staircase(rows, add_script_bits):
    front = frontier.pareto(rows, add_script_bits=add_script_bits)
    xs, ys = frontier.staircase(front, add_script_bits=add_script_bits)
    lengths, intervals = bands.Intervals(rows).band(front, add_script_bits=add_script_bits)
    assert lengths == xs and intervals == [bands.wilson(y, 50) for y in ys]
    # As many items each: where the staircase rises or falls, so do both ends.
    for (y, before), (z, after) in itertools.pairwise(zip(ys, intervals, strict=True)):
        assert np.sign(np.subtract(after, before)).tolist() == [np.sign(z - y)] * 2


def test_the_band_has_a_gap_where_a_reported_row_is():
    [theirs, *_] = figure_rows.reported_rows()
    ours = [_scored(SHARE, theirs.dataset_name, model_name=theirs.model_name, bits=8, point="a"),
            _scored(ALL_RIGHT, theirs.dataset_name, model_name=theirs.model_name, bits=10**6, point="b")]
    theirs = dataclasses.replace(theirs, performance=0.5)
    xs, intervals = bands.Intervals([theirs, *ours]).band(frontier.pareto([theirs, *ours]))
    assert xs == [8, frontier.total_bits(theirs), 10**6]
    assert intervals == [bands.wilson(0.15, 200), None, bands.wilson(1.0, 200)]
