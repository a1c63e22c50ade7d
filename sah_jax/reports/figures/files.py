"""Figures as files: the same figure gives the same bytes."""

import os
import pathlib
from collections.abc import Sequence

import matplotlib
from matplotlib import figure as mpl_figure

PNG_DPI = 200

# Without dates, which would differ from file to file.
_METADATA = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
# Type 42 keeps the text of a PDF selectable; identifiers in an SVG are random without a salt.
_SETTINGS = {"pdf.fonttype": 42, "svg.hashsalt": "sah_jax"}


def save(
    figure: mpl_figure.Figure, stem: str | os.PathLike[str], formats: Sequence[str] = ("png", "pdf", "svg"),
    *, dpi: int = PNG_DPI,
) -> list[pathlib.Path]:
    """Writes a figure, whose layout is then fixed.

    Args:
      figure: what to write.
      stem: the files' path without a suffix.
      formats: some of "png", "pdf" and "svg".
      dpi: the pixels per inch of a PNG.

    Returns:
      The paths, in the order of the formats.

    Raises:
      ValueError: a format is none of these.
    """
    if unknown := [one for one in formats if one not in _METADATA]:
        raise ValueError(f"formats: got {unknown[0]!r}, expected some of {', '.join(_METADATA)}")
    stem, paths = pathlib.Path(stem), []
    # Once for all files: of many panels it takes longer than to write one.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    with matplotlib.rc_context(_SETTINGS):
        for one in formats:
            paths.append(stem.with_name(f"{stem.name}.{one}"))
            figure.savefig(paths[-1], format=one, dpi=dpi, metadata=_METADATA[one])
    return paths
