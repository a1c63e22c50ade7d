"""The frontier is what its definition says, whatever the order, and test scores choose nothing."""

import dataclasses

import hypothesis
import pytest
import row_template
from hypothesis import strategies as st

from sah_jax.complexity import frontier

# The same cases every time, however busy the machine.
SETTINGS = hypothesis.settings(derandomize=True, deadline=None)

# Few values, so that ties of every kind occur.
SCORES = st.integers(0, 2).map(lambda half: half / 2)


@st.composite
def studies(draw, max_models=2):
    count = draw(st.integers(0, 12))
    return [
        dataclasses.replace(
            row_template.TEMPLATE, point=f"p{index}", model_name=f"m{draw(st.integers(1, max_models))}",
            bits=8 * draw(st.integers(0, 3)), script_bits=8 * draw(st.integers(0, 1)),
            selection_performance=draw(SCORES), performance=draw(SCORES),
            verified=draw(st.booleans()))
        for index in range(count)]


def _row(point, bits, selection, **changes):
    return dataclasses.replace(
        row_template.TEMPLATE, point=point, bits=bits, selection_performance=selection, **changes)


def _beats(other, row, add_script_bits):
    """Whether a verified point of the same cell makes another superfluous."""
    same_cell = (other.model_name, other.dataset_name) == (row.model_name, row.dataset_name)
    if not (other.verified and same_cell):
        return False
    cost = frontier.total_bits(other, add_script_bits) - frontier.total_bits(row, add_script_bits)
    gain = other.selection_performance - row.selection_performance
    if cost > 0 or gain < 0:
        return False
    return cost < 0 or gain > 0 or other.point < row.point


@SETTINGS
@hypothesis.given(studies(), st.booleans())
def test_the_frontier_is_what_nothing_beats(rows, add_script_bits):
    expected = {row.point for row in rows if row.verified
                and not any(_beats(other, row, add_script_bits) for other in rows)}
    found = frontier.pareto(rows, add_script_bits=add_script_bits)
    assert {row.point for row in found} == expected
    assert len(found) == len(expected)


@SETTINGS
@hypothesis.given(studies(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, rng):
    front = frontier.pareto(rows)
    assert frontier.pareto(rng.sample(rows, len(rows))) == front
    # Whatever ties there are, this puts the other one first.
    assert frontier.pareto(rows[::-1]) == front


@SETTINGS
@hypothesis.given(studies())
def test_longer_frontier_programs_select_strictly_higher(rows):
    for cell_rows in frontier.group_cells(rows).values():
        front = frontier.pareto(cell_rows)
        assert all(row.verified for row in front)
        for shorter, longer in zip(front, front[1:], strict=False):
            assert frontier.total_bits(shorter) < frontier.total_bits(longer)
            assert shorter.selection_performance < longer.selection_performance


@SETTINGS
@hypothesis.given(studies(), st.randoms(use_true_random=False))
def test_test_scores_choose_nothing(rows, rng):
    rescored = [dataclasses.replace(row, performance=rng.random()) for row in rows]
    assert [row.point for row in frontier.pareto(rescored)] == [
        row.point for row in frontier.pareto(rows)]


@SETTINGS
@hypothesis.given(studies(max_models=1), SCORES, st.booleans())
def test_complexity_is_the_shortest_verified_witness(rows, score, add_script_bits):
    lengths = [frontier.total_bits(row, add_script_bits) for row in rows
               if row.verified and row.selection_performance >= score]
    witness = frontier.complexity(rows, score, add_script_bits=add_script_bits)
    if not lengths:
        assert witness is None
    else:
        assert frontier.total_bits(witness, add_script_bits) == min(lengths)
        assert witness.verified and witness.selection_performance >= score
        assert witness in frontier.pareto(rows, add_script_bits=add_script_bits)


def test_complexity_is_of_one_cell():
    rows = [_row("a", 8, 0.5), _row("b", 8, 0.5, model_name="other")]
    with pytest.raises(ValueError, match="group_cells"):
        frontier.complexity(rows, 0.1)


def test_cells_do_not_compete():
    rows = [_row("a", 8, 0.9), _row("b", 16, 0.1, dataset_name="translation"),
            _row("c", 16, 0.1, model_name="other")]
    assert {row.point for row in frontier.pareto(rows)} == {"a", "b", "c"}


def test_cells_keep_the_order_they_came_in():
    rows = [_row("a", 8, 0.9, model_name="z"), _row("b", 16, 0.1), _row("c", 24, 0.1,
                                                                     model_name="z")]
    cells = frontier.group_cells(rows)
    assert list(cells) == [("z", "arithmetic"), ("nano", "arithmetic")]
    assert [row.point for row in cells["z", "arithmetic"]] == ["a", "c"]


def test_the_script_counts_unless_told_otherwise():
    rows = [_row("short file", 8, 0.5, script_bits=800), _row("short script", 80, 0.5)]
    assert frontier.total_bits(rows[0]) == 808
    assert [row.point for row in frontier.pareto(rows)] == ["short script"]
    without = frontier.pareto(rows, add_script_bits=False)
    assert [row.point for row in without] == ["short file"]


@SETTINGS
@hypothesis.given(studies(max_models=1), st.booleans())
def test_the_staircase_is_the_test_score_of_what_selection_chooses_within_a_length(rows, add_script_bits):
    xs, ys = frontier.staircase(
        frontier.pareto(rows, add_script_bits=add_script_bits), add_script_bits=add_script_bits)
    assert xs == sorted(set(xs))
    for length in range(max(xs, default=0) + 2):
        within = [row for row in rows if row.verified and frontier.total_bits(row, add_script_bits) <= length]
        # Of those that select alike the shortest, and of them the first by name.
        chosen = min(within, default=None, key=lambda row: (
            -row.selection_performance, frontier.total_bits(row, add_script_bits), row.point))
        # Right-continuous: a step counts from its own length on.
        reached = [y for x, y in zip(xs, ys, strict=True) if x <= length]
        assert (reached[-1] if reached else None) == (chosen and chosen.performance)


def test_a_staircase_falls_where_a_longer_program_selects_higher_and_scores_lower():
    rows = [_row("lucky", 8, 0.2, performance=0.75), _row("chosen", 16, 0.4, performance=0.5),
            _row("not chosen", 24, 0.4, performance=1.0)]
    assert frontier.staircase(frontier.pareto(rows)) == ([8, 16], [0.75, 0.5])


@SETTINGS
@hypothesis.given(studies(max_models=1))
def test_where_scores_are_those_selected_on_a_staircase_is_the_running_maximum(rows):
    rows = [dataclasses.replace(row, performance=row.selection_performance) for row in rows]
    xs, ys = frontier.staircase(frontier.pareto(rows))
    assert ys == sorted(set(ys))
    for x, y in zip(xs, ys, strict=True):
        assert y == max(row.performance for row in rows if row.verified and frontier.total_bits(row) <= x)
