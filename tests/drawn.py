"""What a figure shows, read off its artists."""

import hashlib

import figure_rows

from sah_jax.reports import figures


def panels(figure):
    """Returns the panels that are seen."""
    return [axes for axes in figure.axes if axes.get_visible()]


def points(figure):
    """Yields the panel, the position and the fill of every point."""
    for panel in panels(figure):
        for line in panel.lines:
            if line.get_marker() not in ("None", None, ""):
                for x, y in line.get_xydata():
                    yield panel, (x, y), line.get_markerfacecolor()


def stairs(panel):
    """Returns the corners of each staircase, without the end at the panel's edge."""
    return [tuple(map(tuple, line.get_xydata()[:-1])) for line in panel.lines
            if line.get_drawstyle() == "steps-post"]


def words(figure):
    """Returns all texts of a figure, those of the legend last."""
    texts = [text for panel in panels(figure) for text in (
        panel.title, panel._left_title, panel.xaxis.label, panel.yaxis.label, *panel.texts)]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    return [text.get_text() for text in texts if text.get_text()]


def digests(folder, rows):
    """Draws and saves every figure, and returns the digest of each file."""
    return {name: [hashlib.sha256(path.read_bytes()).hexdigest() for path in figures.save(
        figure, folder / name, ("svg",))] for name, figure in figures.draw_all(
            rows, widths=figure_rows.widths(rows))[0].items()}
