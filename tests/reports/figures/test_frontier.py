"""The band of `frontier`: around each panel's own staircase, in its colours, where there is an error."""

import dataclasses
import math

import drawn
import figure_rows
import matplotlib.colors
import pytest
from matplotlib import collections as mpl_collections

from sah_jax.complexity import bands, frontier
from sah_jax.reports import figures, style

LABEL = "95% interval (test items)"


def _share(row, num=50):
    """Returns a row with the error of a share of so many items."""
    error = math.sqrt(row.performance * (1 - row.performance) / (num - 1))
    return dataclasses.replace(row, num_scored=num, performance_stderr=error, selection_num_scored=num,
                               selection_stderr=error)


ROWS = [_share(row) for row in figure_rows.study(("nano_follow",))]


def _boxes(panel):
    """Returns what each part of a panel's band spans, and its colour."""
    found = {}
    for area in panel.collections:
        if isinstance(area, mpl_collections.PolyCollection):
            [path] = area.get_paths()
            found[tuple(path.get_extents().extents)] = tuple(area.get_facecolor()[0])
    return found


@pytest.mark.parametrize("add_script_bits", [True, False])
def test_each_panel_has_the_band_of_its_own_frontier(add_script_bits):
    panels = drawn.panels(figures.draw("frontier", ROWS, add_script_bits=add_script_bits))
    assert len(panels) == len(figure_rows.STAGES)
    intervals = bands.Intervals(ROWS)
    for model, panel in zip(figure_rows.STAGES, panels, strict=True):
        front = frontier.pareto([row for row in ROWS if row.model_name == model],
                                add_script_bits=add_script_bits)
        starts = [frontier.total_bits(row, add_script_bits) for row in front]
        expected = [
            (start, low, end, high) for start, end, (low, high) in zip(
                starts, [*starts[1:], panel.get_xlim()[1]], map(intervals.of, front), strict=True)]
        found = _boxes(panel)
        assert [*found] == [pytest.approx(box) for box in expected] and len(expected) > 3
        assert list(found.values()) == [matplotlib.colors.to_rgba(
            style.VIEW_COLORS[style.view_of(row.experiment_name)], style.BAND_OPACITY) for row in front]


def test_a_band_is_drawn_where_points_have_no_error_bars():
    # All items right: an error of zero, and an interval that is none.
    rows = [_share(figure_rows.row("some", 8, 0.5)), _share(figure_rows.row("all", 800, 1.0))]
    figure = figures.draw("frontier", rows)
    (_, low, _, high) = max(_boxes(drawn.panels(figure)[0]), key=lambda box: box[1])
    assert (low, high) == pytest.approx(bands.wilson(1.0, 50)) and LABEL in drawn.words(figure)


def test_panels_are_in_the_order_of_training():
    rows = [figure_rows.row(model, 80, 0.5, model_name=model) for model in (
        "smollm3", "nano", "smollm3-stage1", "smollm3-step0", "nano-step0")]
    panels = drawn.panels(figures.draw("frontier", rows))
    assert [panel.get_title(loc="left") for panel in panels] == [
        "smollm3-step0", "smollm3-stage1", "smollm3", "nano-step0", "nano"]


def test_a_curve_and_its_number_end_at_what_selection_chose():
    rows = [figure_rows.row("lucky", 8, 0.75, selection_performance=0.25),
            figure_rows.row("chosen", 800, 0.5)]
    figure = figures.draw("frontier", rows)
    [panel] = drawn.panels(figure)
    assert [text.get_text() for text in panel.texts] == ["0.500"]
    assert panel.texts[0].xy == (panel.get_xlim()[1], 0.5)
    assert (0.75, 0.5, 0.5) in [tuple(line.get_ydata()) for line in panel.lines]


def test_a_wide_band_is_within_its_panel():
    row = figure_rows.row("a", 80, 50.0, performance_stderr=20.0)
    [panel] = drawn.panels(figures.draw("frontier", [row]))
    [(_, low, _, high)] = _boxes(panel)
    bottom, top = panel.get_ylim()
    # Further from the score than its error bar.
    assert bottom < low < 30 and 70 < high < top


def test_reported_rows_have_no_band_nor_a_word_of_one():
    theirs = figure_rows.reported_rows()
    figure = figures.draw("frontier", theirs)
    assert not any(map(_boxes, drawn.panels(figure)))
    assert not any("interval" in words for words in drawn.words(figure))
    # Beside ours the legend says of what there is one.
    figure = figures.draw("frontier", [*ROWS, *theirs])
    panels = drawn.panels(figure)
    # The paper's task stands first.
    assert list(map(bool, map(_boxes, panels))) == [False] * 3 + [True] * 4
    words = drawn.words(figure)
    assert "95% interval (not of reported)" in words and LABEL not in words


def test_without_errors_the_legend_has_no_band():
    figure = figures.draw("frontier", [dataclasses.replace(row, performance_stderr=0.0, selection_stderr=0.0)
                                       for row in ROWS])
    assert not any(map(_boxes, drawn.panels(figure)))
    assert not any("interval" in words for words in drawn.words(figure))


@pytest.mark.parametrize("name", [name for name in figures.NAMES if name != "frontier"])
def test_the_papers_figures_have_no_band(name):
    rows = [*figure_rows.study(), *figure_rows.reported_rows()]
    figure = figures.draw(name, rows, widths=figure_rows.widths(rows))
    assert not any(map(_boxes, drawn.panels(figure)))
    assert not any("interval" in words for words in drawn.words(figure))
