"""Names stay what they are as far as figures can write them, and are cut where there is no room."""

import pytest

from sah_jax.reports.figures import labels


@pytest.mark.parametrize("name, printed", [
    ("nano", "nano"), ("Größe αβ жд ∑", "Größe αβ жд ∑"), ("a\tb\r\n", "a‹U+0009›b‹U+000D›‹U+000A›"),
    ("中文", "‹U+4E2D›‹U+6587›"), ("\ud800", "‹U+D800›"), ("🍐", "‹U+1F350›"), ("", "")])
def test_names_stay_as_they_are_where_fonts_can_write_them(name, printed):
    assert labels.printable(name) == printed


def test_long_names_are_cut_as_they_are_printed():
    assert labels.short("n" * 34) == "n" * 34
    assert labels.short("n" * 35) == "n" * 33 + "…" and len(labels.short("中" * 9)) == 34
