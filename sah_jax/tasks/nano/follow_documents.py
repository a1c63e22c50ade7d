"""Documents of requests and of texts that meet them: case, counts, first, last and forbidden words.

A list of requests without replies is as common as in any collection of exercises, so that a
label alone does not tell whether a request is met. The briefs come from the train split alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from sah_jax.tasks.nano.briefs import Brief, instruction, NUMBERS, train_brief, Wording
from sah_jax.tasks.nano.constraints import words_of
from sah_jax.tasks.nano.formats import heading, sample_frame, symbol_run, until
from sah_jax.tasks.nano.sentences import train_sentence

_NOTES: Wording = {
    "topic": ("{value}", "about: {value}", "the {value}", "topic {value}"),
    "upper": ("capitals", "CAPITALS", "upper case", "big letters"),
    "lower": ("no capitals", "small letters", "lower case"),
    "sentences": ("{value} sentence{s}", "{number} sentence{s}", "sentences: {value}"),
    "bullets": ("{value} point{s}", "list of {value}", "{number} starred line{s}"),
    "least_words": ("{value} words or more", "words >= {value}", "min {value} words"),
    "most_words": ("{value} words or fewer", "words <= {value}", "max {value} words"),
    "start": ('first "{value}"', "starts: {value}", "opens with {value}"),
    "end": ('last "{value}"', "ends: {value}", "closes with {value}"),
    "quote": ("quoted", "in quotes", 'with " "'),
    "use": ('with "{value}"', "has: {value}", "with the word {value}"),
    "avoid": ('without "{value}"', "lacks: {value}", "without the word {value}"),
}
_SENTENCES: Wording = {
    "topic": (
        "Please write about the {value}.", "We want a text about {a} {value}.",
        "Tell me of the {value}.", "Say something about {a} {value}.",
    ),
    "upper": ("All letters are capitals.", "Write it in upper case.", "Make the letters big."),
    "lower": ("No letter is a capital.", "Write it in lower case.", "Keep the letters small."),
    "sentences": ("It has {number} sentence{s}.", "Make it {value} sentence{s} long."),
    "bullets": ("Make a list of {number} point{s}.", "Put {value} line{s} with a star."),
    "least_words": ("It has at least {value} words.", "No fewer than {value} words, please."),
    "most_words": ("It has at most {value} words.", "No more than {value} words, please."),
    "start": ('The first word is "{value}".', 'It begins with "{value}".'),
    "end": ('The last words are "{value}"', 'It ends with "{value}"'),
    "quote": ("Put it in quotes.", "It stands between quotation marks."),
    "use": ('The word "{value}" is in it.', 'Put in the word "{value}".'),
    "avoid": ('The word "{value}" is not in it.', 'Leave out the word "{value}".'),
}  # fmt: skip
_LABELS = (("Request:", "Wish:", "Text:", "Brief:", "For you:"), ("Here:", "Done:", "Text:", "It is:"))


def _request(rng: random.Random, is_note: bool, brief: Brief) -> str:
    if is_note:
        return instruction(rng, _NOTES, brief, separator=rng.choice((", ", "; ", " / ")))
    return instruction(rng, _SENTENCES, brief)


def _met(rng: random.Random) -> str:
    """Labelled requests, each with a text that meets it."""
    frame, is_note = sample_frame(rng, *_LABELS), rng.random() < 0.4

    def item() -> str:
        brief = train_brief(rng)
        return frame.item(_request(rng, is_note, brief), brief.response)

    return until(rng, item, frame.separator, 300, 1500)


def _requests(rng: random.Random) -> str:
    """Requests alone."""
    frame, is_note = sample_frame(rng, *_LABELS), rng.random() < 0.3
    separator = rng.choice(("\n", "\n\n"))
    return until(
        rng, lambda: frame.opening + _request(rng, is_note, train_brief(rng)), separator, 200, 700
    )


def _described(rng: random.Random) -> str:
    """Texts with what they satisfy in brackets after or before them."""
    opening, closing = rng.choice(("()", "[]", "<>", "{}"))
    is_after = rng.random() < 0.4

    def item() -> str:
        brief = train_brief(rng)
        note = f"{opening}{_request(rng, True, brief)}{closing}"
        return f"{brief.response} {note}" if is_after else f"{note} {brief.response}"

    return until(rng, item, rng.choice(("\n", "\n\n")), 200, 1000)


def _counted(text: str) -> str:
    return f"{len(words_of(text))} words"


def _rewritten(rng: random.Random) -> str:
    """Sentences, each followed by the same one changed by a rule of the document."""
    rule, change = rng.choice(
        (
            ("capitals", str.upper), ("small letters", str.lower), ("in quotes", '"{}"'.format),
            ("starred", "* {}".format), ("words", _counted), ("as it is", str),
        )
    )  # fmt: skip
    link = rng.choice((" -> ", " => ", "\n", f" {symbol_run(rng)} "))
    title = f"{rule}:\n" if rng.random() < 0.5 else heading(rng, (rule.capitalize(), "Rules"))

    def item() -> str:
        sentence = train_sentence(rng).english
        return f"{sentence}{link}{change(sentence)}"

    return title + until(rng, item, rng.choice(("\n", "\n\n")), 200, 800)


def _numbered(rng: random.Random) -> str:
    """So many sentences after each number."""
    spell = rng.choice((str, NUMBERS.__getitem__))
    mark = rng.choice((":", ")", " ->", "."))

    def item() -> str:
        num = rng.randint(1, 4)
        text = " ".join(train_sentence(rng).english for _ in range(num))
        return f"{spell(num)}{mark} {text}"

    return until(rng, item, "\n", 300, 900)


def _in_one_case(rng: random.Random) -> str:
    """A text in capitals, in small letters or as usual."""
    change = rng.choice((str.upper, str.upper, str.lower, str))
    return until(rng, lambda: change(train_sentence(rng).english), " ", 150, 500)


KINDS: dict[Callable[[random.Random], str], int] = {
    _met: 44,
    _requests: 12,
    _described: 10,
    _rewritten: 16,
    _numbered: 6,
    _in_one_case: 4,
}
"""The kinds of documents with their relative frequencies."""
