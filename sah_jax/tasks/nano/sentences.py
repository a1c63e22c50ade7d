"""Short English sentences with their French translations, drawn together from one grammar."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from sah_jax.tasks.nano import lexicon
from sah_jax.tasks.nano.lexicon import begins_with_vowel, Noun, Verb
from sah_jax.tasks.nano.splits import split_of_text

BEINGS = (*lexicon.ANIMALS, *lexicon.PEOPLE)
OBJECTS = (*lexicon.THINGS, *lexicon.FOODS)
NOUNS = (*BEINGS, *OBJECTS, *lexicon.PLACES)

_ETRE = ("suis", "es", "est", "sommes", "sont")
_ALLER = ("vais", "vas", "va", "allons", "vont")


class Pair(NamedTuple):
    """The same in both languages."""

    english: str
    french: str


class Phrase(NamedTuple):
    """A subject or object in both languages; `person` counts je, tu, il, nous, ils from 0."""

    english: str
    french: str
    person: int
    feminine: bool

    @property
    def many(self) -> bool:
        """Whether a French adjective agrees with it in the plural."""
        return self.person >= 3

    @property
    def is_third(self) -> bool:
        """Whether an English verb takes its s."""
        return self.person == 2


_PRONOUNS = (
    Phrase("I", "je", 0, False), Phrase("you", "tu", 1, False), Phrase("he", "il", 2, False),
    Phrase("she", "elle", 2, True), Phrase("we", "nous", 3, False), Phrase("they", "ils", 4, False),
)  # fmt: skip


def _joined(*words: str) -> str:
    """Joins French words; one that ends with an apostrophe clings to the next."""
    return " ".join(word for word in words if word).replace("' ", "'")


def _elided(word: str, following: str) -> str:
    """Returns "je", "ne", "de" or "que" as it stands before another word."""
    return word[:-1] + "'" if begins_with_vowel(following) else word


def noun_phrase(rng: random.Random, noun: Noun, *, definite: bool = False) -> Phrase:
    """Draws a determiner, a number and at times an adjective for a noun.

    Args:
        rng: Source of every choice.
        noun: The noun.
        definite: Whether to leave out "a", "some", "many" and numbers.

    Returns:
        The phrase.
    """
    adjective = rng.choice(lexicon.ADJECTIVES) if rng.random() < 0.3 else None
    many = rng.random() < 0.3
    english = noun.many if many else noun.one
    before = after = ""
    if adjective:
        english = f"{adjective.english} {english}"
        form = adjective.french(noun.feminine, many)
        if adjective.precedes:
            is_linked = begins_with_vowel(noun.french) and not (many or noun.feminine)
            before = adjective.before_vowel if is_linked else form
        else:
            after = form
    head = noun.french_many if many else noun.french
    following = before or head
    rest = _joined(before, head, after)
    person = 4 if many else 2
    if many and not definite and rng.random() < 0.6:
        if rng.random() < 0.2:
            return Phrase(
                f"many {english}", _joined("beaucoup", _elided("de", following), rest), person,
                noun.feminine,
            )  # fmt: skip
        count = rng.choice(lexicon.COUNTS)
        return Phrase(f"{count[0]} {english}", f"{count[1]} {rest}", person, noun.feminine)
    determiner = (
        lexicon.A if not definite and rng.random() < 0.35 else rng.choice(lexicon.DEFINITE)
    )
    if many:
        # "des" becomes "de" before an adjective.
        is_partitive = determiner is lexicon.A and before
        french = _elided("de", following) if is_partitive else determiner.plural
        return Phrase(f"{determiner.many} {english}", _joined(french, rest), person, noun.feminine)
    if begins_with_vowel(following):
        french = determiner.feminine_vowel if noun.feminine else determiner.masculine_vowel
    else:
        french = determiner.feminine if noun.feminine else determiner.masculine
    one = "an" if determiner is lexicon.A and english[0] in "aeiou" else determiner.one
    return Phrase(f"{one} {english}", _joined(french, rest), person, noun.feminine)


def _subject(rng: random.Random, topic: Noun | None) -> Phrase:
    if topic is not None:
        return noun_phrase(rng, topic, definite=rng.random() < 0.7)
    if rng.random() < 0.3:
        return rng.choice(_PRONOUNS)
    return noun_phrase(rng, rng.choice(BEINGS), definite=rng.random() < 0.5)


class _Clause(NamedTuple):
    """A statement taken apart, so that it can be denied or asked."""

    subject: Phrase
    verb: str  # English, with its ending
    plain_verb: str  # English, as after "do not"; "" for a form of "be"
    french_verb: str
    rest: Pair


def _be(subject: Phrase) -> str:
    return "am" if subject.person == 0 else "is" if subject.is_third else "are"


def _with_be(subject: Phrase, rest: Pair) -> _Clause:
    return _Clause(subject, _be(subject), "", _ETRE[subject.person], rest)


def _with_verb(subject: Phrase, verb: Verb, rest: Pair) -> _Clause:
    english = verb.he if subject.is_third else verb.english
    return _Clause(subject, english, verb.english, verb.french[subject.person], rest)


def _together(*pairs: tuple[str, str]) -> Pair:
    english, french = zip(*pairs, strict=True)
    return Pair(" ".join(filter(None, english)), _joined(*french))


def _where(rng: random.Random) -> Pair:
    at_place = rng.random() < 0.7
    preposition = rng.choice(lexicon.IN_PLACES if at_place else lexicon.AT_THINGS)
    noun = rng.choice(lexicon.PLACES if at_place else lexicon.THINGS)
    place = noun_phrase(rng, noun, definite=True)
    return _together(preposition, place[:2])


def _sometimes(rng: random.Random, share: float, *draws: Callable[[], tuple[str, str]]) -> Pair:
    return Pair(*rng.choice(draws)()) if rng.random() < share else Pair("", "")


def _adverb(rng: random.Random) -> tuple[str, str]:
    return rng.choice(lexicon.ADVERBS)


def _object(rng: random.Random, verb: Verb, definite: bool) -> Pair:
    nouns = lexicon.FOODS if verb is lexicon.EAT else NOUNS if rng.random() < 0.4 else OBJECTS
    return Pair(*noun_phrase(rng, rng.choice(nouns), definite=definite)[:2])


def _doing(rng: random.Random, subject: Phrase, definite: bool) -> _Clause:
    verb = lexicon.EAT if rng.random() < 0.1 else rng.choice(lexicon.TRANSITIVE)
    extra = _sometimes(rng, 0.2, lambda: _adverb(rng), lambda: _where(rng))
    return _with_verb(subject, verb, _together(_object(rng, verb, definite), extra))


def _acting(rng: random.Random, subject: Phrase, definite: bool) -> _Clause:
    extra = _sometimes(rng, 0.75, lambda: _adverb(rng), lambda: _where(rng), lambda: _where(rng))
    return _with_verb(subject, rng.choice(lexicon.INTRANSITIVE), extra)


def _being(rng: random.Random, subject: Phrase, definite: bool) -> _Clause:
    adjective = rng.choice(lexicon.ADJECTIVES)
    is_very = rng.random() < 0.25
    form = adjective.french(subject.feminine, subject.many)
    rest = Pair("very " * is_very + adjective.english, "très " * is_very + form)
    return _with_be(subject, rest)


def _standing(rng: random.Random, subject: Phrase, definite: bool) -> _Clause:
    return _with_be(subject, _where(rng))


def _intending(rng: random.Random, subject: Phrase, definite: bool) -> _Clause:
    if rng.random() < 0.5:
        verb = rng.choice(lexicon.TRANSITIVE)
        rest = _object(rng, verb, definite)
    else:
        verb = rng.choice(lexicon.INTRANSITIVE)
        rest = _sometimes(rng, 0.6, lambda: ("tomorrow", "demain"), lambda: _where(rng))
    rest = _together(("going to", ""), (verb.english, verb.infinitive), rest)
    return _Clause(subject, _be(subject), "", _ALLER[subject.person], rest)


_CLAUSES = (*(_doing,) * 8, *(_acting,) * 6, *(_being,) * 5, *(_standing,) * 3, *(_intending,) * 2)


def _stated(clause: _Clause) -> Pair:
    subject, rest = clause.subject, clause.rest
    pronoun = _elided("je", clause.french_verb) if subject.person == 0 else subject.french
    return _together((subject.english, pronoun), (clause.verb, clause.french_verb), rest)


def _denied(clause: _Clause) -> Pair:
    subject, rest = clause.subject, clause.rest
    helper = "does not" if subject.is_third else "do not"
    verb = f"{helper} {clause.plain_verb}" if clause.plain_verb else f"{clause.verb} not"
    french = _joined(_elided("ne", clause.french_verb), clause.french_verb, "pas")
    # An infinitive and what depends on it follow "pas" as everything else does.
    return _together(subject[:2], (verb, french), rest)


def _asked(clause: _Clause) -> Pair:
    subject, rest = clause.subject, clause.rest
    if clause.plain_verb:
        helper = "does" if subject.is_third else "do"
        english = f"{helper} {subject.english} {clause.plain_verb} {rest.english}".rstrip()
    else:
        english = f"{clause.verb} {subject.english} {rest.english}"
    statement = _stated(clause).french
    return Pair(english, _joined("est-ce", _elided("que", statement), statement))


def _exists(rng: random.Random) -> Pair:
    thing = noun_phrase(rng, rng.choice(NOUNS))
    while thing.english.split()[0] in "the my your our his her this these".split():
        thing = noun_phrase(rng, rng.choice(NOUNS))
    english = f"there {'are' if thing.many else 'is'} {thing.english}"
    return _together((english, f"il y a {thing.french}"), _where(rng))


def _clause(rng: random.Random, topic: Noun | None, definite: bool = False) -> _Clause:
    return rng.choice(_CLAUSES)(rng, _subject(rng, topic), definite)


def _punctuated(pair: Pair, english_end: str, french_end: str) -> Pair:
    english, french = (text[0].upper() + text[1:] for text in pair)
    return Pair(english + english_end, french + french_end)


def sample_sentence(rng: random.Random, topic: Noun | None = None) -> Pair:
    """Draws a sentence of some three to fourteen words.

    Args:
        rng: Source of every choice; the same state gives the same sentence.
        topic: What the sentence is about; None for anything.

    Returns:
        The sentence in both languages, with a capital and a full stop or question mark.
    """
    roll = rng.random()
    if topic is None and roll < 0.06:
        return _punctuated(_exists(rng), ".", ".")
    if topic is None and roll < 0.13:
        return _punctuated(_asked(_clause(rng, topic)), "?", " ?")
    if roll < 0.25:
        return _punctuated(_denied(_clause(rng, topic, definite=True)), ".", ".")
    if topic is None and roll < 0.32:
        link = rng.choice((("and", "et"), ("but", "mais")))
        halves = (_acting(rng, _subject(rng, None), True), _being(rng, _subject(rng, None), True))
        return _punctuated(_together(_stated(halves[0]), link, _stated(halves[1])), ".", ".")
    return _punctuated(_stated(_clause(rng, topic)), ".", ".")


def split_of(sentence: Pair) -> str:
    """Assigns a sentence to a split by a hash of its English.

    Returns:
        "test" or "selection" (an eighth each) or "train".
    """
    return split_of_text(sentence.english)


def train_sentence(rng: random.Random, topic: Noun | None = None) -> Pair:
    """Draws a sentence of the train split."""
    while split_of(sentence := sample_sentence(rng, topic)) != "train":
        pass
    return sentence
