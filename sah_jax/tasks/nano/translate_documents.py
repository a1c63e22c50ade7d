"""Documents in English and French: glossaries, parallel sentences and texts in one language.

Which line is in which language differs from document to document; the sentences come from
the train split alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from sah_jax.tasks.nano import lexicon
from sah_jax.tasks.nano.formats import heading, invented_word, sample_frame, symbol_run, until
from sah_jax.tasks.nano.sentences import noun_phrase, NOUNS, Pair, train_sentence

_LABELS = (
    ("EN:", "FR:"), ("en", "fr"), ("Engl.", "Fr."), ("In English,", "In French,"), ("(e)", "(f)"),
    ("British:", "Parisian:"), ("Anglais :", "Français :"), ("EN>", "FR>"), ("1.", "2."),
    ("Source:", "Target:"), ("Say:", "Dis :"), ("Original:", "Translation:"), ("UK:", "FRA:"),
)  # fmt: skip
_LINKS = (" = ", " : ", " - ", " | ", " -> ", " => ", " means ", " is ", "\t", " ~ ")
_TITLES = ("French", "Mots", "Words", "Two languages", "Phrases", "Lesson", "Le français")
_PRONOUNS = (("I", "je"), ("you", "tu"), ("he", "il"), ("we", "nous"), ("they", "ils"))


def _turned(pair: Pair, is_turned: bool) -> tuple[str, str]:
    return (pair.french, pair.english) if is_turned else (pair.english, pair.french)


def _parallel(rng: random.Random) -> str:
    """Labelled sentences, each followed by its translation."""
    labels = rng.choice(_LABELS)
    is_turned = rng.random() < 0.35
    first, second = reversed(labels) if is_turned else labels
    frame = sample_frame(rng, (first,), (second,))
    return until(
        rng, lambda: frame.item(*_turned(train_sentence(rng), is_turned)), frame.separator, 300, 1500
    )


def _linked(rng: random.Random) -> str:
    """A sentence and its translation on one line."""
    link = rng.choice(_LINKS) if rng.random() < 0.7 else f" {symbol_run(rng)} "
    is_turned = rng.random() < 0.4
    return heading(rng, _TITLES) + until(
        rng, lambda: link.join(_turned(train_sentence(rng), is_turned)), "\n", 200, 1000
    )


def _glossary(rng: random.Random) -> str:
    """Words and phrases with their translations."""
    link, is_turned = rng.choice(_LINKS), rng.random() < 0.4
    words = rng.choice((_noun, _phrase, _phrase, _adjective, _verb, _adverb))
    return heading(rng, _TITLES) + until(
        rng, lambda: link.join(_turned(words(rng), is_turned)), rng.choice(("\n", "; ")), 150, 600
    )


def _noun(rng: random.Random) -> Pair:
    noun = rng.choice(NOUNS)
    return Pair(noun.one, noun.french) if rng.random() < 0.6 else Pair(noun.many, noun.french_many)


def _phrase(rng: random.Random) -> Pair:
    return Pair(*noun_phrase(rng, rng.choice(NOUNS))[:2])


def _adjective(rng: random.Random) -> Pair:
    adjective = rng.choice(lexicon.ADJECTIVES)
    return Pair(adjective.english, adjective.french(rng.random() < 0.5, many=False))


def _verb(rng: random.Random) -> Pair:
    verb = rng.choice((*lexicon.TRANSITIVE, *lexicon.INTRANSITIVE))
    person = rng.randrange(len(_PRONOUNS))
    english, french = _PRONOUNS[person]
    if person == 0 and lexicon.begins_with_vowel(verb.french[0]):
        return Pair(f"I {verb.english}", f"j'{verb.french[0]}")
    return Pair(
        f"{english} {verb.he if person == 2 else verb.english}", f"{french} {verb.french[person]}"
    )


def _adverb(rng: random.Random) -> Pair:
    return Pair(*rng.choice((*lexicon.ADVERBS, *lexicon.IN_PLACES, *lexicon.AT_THINGS)))


def _bracketed(rng: random.Random) -> str:
    """A text with the translation of each sentence after it."""
    opening, closing = rng.choice((("(", ")"), ("[", "]"), ("- ", ""), ('"', '"'), ("/ ", " /")))
    is_turned = rng.random() < 0.4

    def sentence() -> str:
        first, second = _turned(train_sentence(rng), is_turned)
        return f"{first} {opening}{second}{closing}"

    return until(rng, sentence, rng.choice(("\n", " ", "\n\n")), 200, 900)


def _facing(rng: random.Random) -> str:
    """A short text and then the same in the other language."""
    is_turned = rng.random() < 0.4
    separator = rng.choice((" ", "\n"))
    between = rng.choice(("\n\n", "\n---\n", f"\n\n{invented_word(rng)}\n\n"))

    def texts() -> str:
        pairs = [_turned(train_sentence(rng), is_turned) for _ in range(rng.randint(2, 4))]
        return between.join(separator.join(side) for side in zip(*pairs, strict=True))

    return until(rng, texts, "\n\n", 200, 900)


def _monolingual(rng: random.Random) -> str:
    """A text in one language."""
    language = rng.randrange(2)
    return until(
        rng, lambda: train_sentence(rng)[language], rng.choice((" ", " ", "\n")), 200, 700
    )


def _labelled(rng: random.Random) -> str:
    """Labelled sentences of one language, each followed by another one of the same."""
    frame = sample_frame(rng)
    language = 0 if rng.random() < 0.8 else 1
    return until(
        rng, lambda: frame.item(train_sentence(rng)[language], train_sentence(rng)[language]),
        frame.separator, 200, 800,
    )  # fmt: skip


KINDS: dict[Callable[[random.Random], str], int] = {
    _parallel: 40,
    _linked: 14,
    _glossary: 10,
    _bracketed: 8,
    _facing: 8,
    _monolingual: 4,
    _labelled: 6,
}
"""The kinds of documents with their relative frequencies."""
