"""Names as figures can write them: whatever the fonts have no glyph for is written out."""

import functools
import unicodedata

from matplotlib import font_manager

from sah_jax.reports import pages

_NAME_CHARACTERS = 34
# Of texts and of headings.
_WEIGHTS = ("normal", "bold")


def printable(name: str) -> str:
    """Returns a name on one line, with a sign for every character that a figure cannot show.

    These are control characters and those that matplotlib has no glyph for, such as Chinese ones. A fallback
    to other fonts would hang on what a machine has, and the same rows would give other files there.
    """
    return "".join(character if _has_glyph(character) else pages.sign(character) for character in name)


def short(name: str) -> str:
    """Returns a printable name that fits beside a panel."""
    name = printable(name)
    return name if len(name) <= _NAME_CHARACTERS else f"{name[:_NAME_CHARACTERS - 1]}…"


@functools.lru_cache(maxsize=4096)
def _has_glyph(character: str) -> bool:
    if unicodedata.category(character) in pages.UNSEEN:
        return False
    fonts = (font_manager.findfont(font_manager.FontProperties(weight=weight)) for weight in _WEIGHTS)
    return all(font_manager.get_font(font).get_char_index(ord(character)) for font in fonts)
