"""Shaded text hides nothing: every token is seen, in one of the scale's colours."""

import unicodedata

import pytest

from sah_jax.reports import shading


@pytest.mark.parametrize("bits, level", [
    (0, 0), (0.49, 0), (0.5, 1), (1, 2), (3.99, 3), (4, 4), (15.9, 7), (16, 8), (1e9, 8)])
def test_levels(bits, level):
    assert shading.level(bits) == level


def test_the_scale_has_a_colour_and_words_for_every_level():
    assert len(shading.COLORS) == len(shading.LABELS) == len(shading.SCALE) + 1
    assert list(shading.SCALE) == sorted(shading.SCALE)


def _contrast(one, other):
    light = []
    for color in (one, other):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        light.append(sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_text_is_readable_on_every_colour():
    # What the W3C asks of small text.
    assert min(_contrast(*pair) for pair in shading.COLORS) >= 4.5


@pytest.mark.parametrize("text, shown", [
    ("plain", "plain"), (" led", " led"), (" ", "·"), ("   ", "···"), ("a\n\n", "a↵\n↵\n"), ("\t", "⇥"),
    ("\r", "‹U+000D›"), ("\x00\x1b", "‹U+0000›‹U+001B›"), ("\x9b", "‹U+009B›"), ("\u202e", "‹U+202E›"),
    ("\u200b", "‹U+200B›"), ("\u2028", "‹U+2028›"), ("\ud800", "‹U+D800›"), ("\u0301", "◌\u0301"),
    ("é🍐", "é🍐"), ("", "")])
def test_what_would_not_be_seen_has_a_sign(text, shown):
    assert shading.visible(text) == shown


def test_nothing_of_unicode_is_lost_or_invisible():
    for code in range(0x110000):
        shown = shading.visible(chr(code))
        assert shown and not any(unicodedata.category(c)[0] in "CZ" for c in shown.replace("\n", ""))


def test_tokens_that_spell_nothing_are_ends_or_have_a_number():
    assert shading.shade("", 7, 2.0, "2 bits", last=True).text == "‹end›"
    assert shading.shade("", 7, 2.0, "2 bits", last=False) == ("‹7›", 3, "‹7› 2 bits")
    assert shading.shade("\x1b", 7, 2.0, "2 bits", last=True).title == "'\\x1b': 2 bits"


def test_spread_counts_every_token_and_bit():
    costs = [0.1, 0.2, 1.5, 30.0, 16.0]
    groups = shading.spread(costs)
    assert sum(group.tokens for group in groups) == len(costs)
    assert sum(group.bits for group in groups) == pytest.approx(sum(costs))
    assert (groups[0].tokens, groups[2].tokens, groups[-1].bits) == (2, 1, 46.0)
    assert [group.tokens for group in shading.spread([])] == [0] * len(shading.LABELS)


def test_starts_are_one_line():
    assert shading.start("a\nb") == "a↵b"
    assert len(shading.start("x" * 1000)) == 60
