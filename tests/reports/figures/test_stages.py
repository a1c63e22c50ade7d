"""Figures of the stages of a model: differences at every length, and bars of scores and lengths."""

import drawn
import figure_rows
import numpy as np
import pytest

from sah_jax.complexity import frontier, lineages
from sah_jax.reports import figures


def _staircase(rows, model, bits):
    own = frontier.staircase(frontier.pareto([row for row in rows if row.model_name == model]))
    return max((score for length, score in zip(*own, strict=True) if length <= bits), default=0.0)


def test_differences_are_those_of_the_staircases_at_500_lengths():
    rows = figure_rows.study(("nano_follow",))
    [panel] = drawn.panels(figures.draw("checkpoint_differences", rows))
    red, blue = (next(line for line in panel.lines if line.get_color() == color)
                 for color in ("tab:red", "tab:blue"))
    bits = red.get_xdata()
    assert len(bits) == 500 and np.ptp(np.diff(np.log(bits))) < 1e-9
    assert (bits[0], bits[-1]) == pytest.approx(panel.get_xlim())
    for line, more, less in ((red, "nano", "nano-step0"), (blue, "nano-chat", "nano")):
        expected = [100 * (_staircase(rows, more, at) - _staircase(rows, less, at)) for at in bits]
        assert line.get_ydata() == pytest.approx(np.array(expected))
        assert len(set(expected)) > 3


def test_differences_need_two_stages_that_follow_each_other():
    rows = figure_rows.study(models=("nano-step0", "nano-chat"))
    with pytest.raises(figures.NothingToDraw, match="frontiers of a random and a pre-trained"):
        figures.draw("checkpoint_differences", rows)
    figure = figures.draw("checkpoint_differences", figure_rows.study(models=("nano", "nano-chat")))
    assert drawn.words(figure)[-1] == "Post-trained minus pre-trained"
    assert "Pre-trained minus random" not in drawn.words(figure)


@pytest.mark.parametrize("name", [
    "task_complexity", "checkpoint_curves", "checkpoint_differences", "reduction_bars"])
def test_of_two_lineages_of_one_name_the_later_is_drawn(name):
    later = lineages.Lineage("nano", "a", "b", "c")
    rows = [_row("a", 8, 0.25), _row("b", 80, 0.5), _row("c", 8, 0.75), *figure_rows.study(("nano_follow",))]
    both, alone = (figures.draw(name, rows, known=known) for known in ((*lineages.KNOWN, later), (later,)))
    assert drawn.words(both) == drawn.words(alone)
    for one, other in zip(drawn.panels(both), drawn.panels(alone), strict=True):
        heights = [[list(line.get_ydata()) for line in panel.lines] for panel in (one, other)]
        assert heights[0] == heights[1]


def _row(model, bits, score):
    return figure_rows.row(f"{model}-{bits}", bits, score, model_name=model)


def _extents(panel):
    return [(round(bar.get_y(), 6), round(bar.get_y() + bar.get_height(), 6)) for bar in panel.patches]


def test_bars_are_scores_and_lengths():
    rows = [_row("nano", 80, 0.2), _row("nano", 8000, 0.5), _row("nano-chat", 400, 0.55),
            _row("nano-chat", 4000, 0.75)]
    left, right = drawn.panels(figures.draw("reduction_bars", rows))
    assert _extents(left) == [(0, 50), (50, 75)]
    assert [bar.get_height() for bar in right.patches] == [8000, 400]
    assert [text.get_text() for text in left.texts] == ["50.0", "+25.0"]
    assert [text.get_text() for text in right.texts] == ["1 kB", "50 B"]
    assert right.get_xticklabels()[0].get_text() == "nano\n20.0× shorter"
    assert all(low < bar.get_height() < high for bar in right.patches for low, high in [right.get_ylim()])


def test_a_loss_is_cut_out_and_what_is_not_reached_is_said():
    rows = [_row("nano", 80, 0.5), _row("nano-chat", 8, 0.2)]
    left, right = drawn.panels(figures.draw("reduction_bars", rows))
    assert _extents(left) == [(0, 50), (50, 20)]
    assert [text.get_text() for text in left.texts] == ["50.0", "-30.0"]
    assert [text.get_text() for text in right.texts] == ["10 B", "not reached"]
    assert right.get_xticklabels()[0].get_text() == "nano"


def test_a_program_of_no_bits_has_a_bar():
    rows = [_row("nano", 80, 0.5), _row("nano-chat", 0, 0.6)]
    _, right = drawn.panels(figures.draw("reduction_bars", rows))
    assert [text.get_text() for text in right.texts] == ["10 B", "0 B"]
    assert all(np.isfinite(bar.get_height()) and bar.get_height() > 0 for bar in right.patches)
