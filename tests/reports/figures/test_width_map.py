"""A map of bit widths shows each tensor's in each layer, and refuses what is no such map."""

import drawn
import numpy as np
import pytest

from sah_jax.reports import figures

WIDTHS = {"attention/q/a": np.array([2, 2, 4]), "attention/q/b": np.array([0, 32, 2])}


def _colors(figure):
    [panel] = drawn.panels(figure)
    return panel.collections[0].get_facecolor().reshape(len(panel.get_yticks()), -1, 4)


def test_equal_widths_have_equal_colours_and_others_others():
    table = np.array(list(WIDTHS.values()))
    figure = figures.draw_widths(WIDTHS, "$\\frac{$")
    figure.draw_without_rendering()
    colors = _colors(figure)
    assert colors.shape == (2, 3, 4)
    for width in np.unique(table):
        own = np.unique(colors[table == width], axis=0)
        assert len(own) == 1 and not any(np.array_equal(own[0], other) for other in colors[table != width])
    [panel] = drawn.panels(figure)
    assert [label.get_text() for label in panel.get_yticklabels()] == list(WIDTHS)
    assert panel.get_title(loc="left") == "$\\frac{$"


def test_the_legend_holds_what_occurs():
    assert drawn.words(figures.draw_widths(WIDTHS))[-5:] == ["Bits a number", "All zero", "2", "4", "32"]


def test_the_first_layer_is_left_and_the_first_tensor_on_top():
    [panel] = drawn.panels(figures.draw_widths({"t": [2] * 40, "u": [4] * 40}))
    assert panel.yaxis_inverted() and not panel.xaxis_inverted()
    shown = [int(label.get_text()) for label in panel.get_xticklabels()]
    assert shown[0] == 0 and 10 < len(shown) < 30 and shown == sorted(shown)


def test_what_is_no_map_is_refused():
    for nothing in ({}, {"t": []}):
        with pytest.raises(figures.NothingToDraw, match="Got no bit widths, expected"):
            figures.draw_widths(nothing)
    with pytest.raises(ValueError, match=r"tensors of \[2, 3\] layers"):
        figures.draw_widths({"t": [2, 2], "u": [2, 2, 2]})
