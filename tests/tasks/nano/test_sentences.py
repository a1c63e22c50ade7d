"""Sentences agree in both languages, and each belongs to one split."""

import random
import re

import pytest

from sah_jax.tasks.base import SPLITS
from sah_jax.tasks.nano import lexicon, sentences
from sah_jax.tasks.nano.lexicon import begins_with_vowel

# Where French elides, the vowel is never left standing.
HIATUS = re.compile(r"\b(le|la|je|ne|de|que|ce) [aeiouhâàéèêîïôûœ]", re.IGNORECASE)
CLASH = re.compile(r"\b(l|j|n|d|qu)'[^aeiouhâàéèêîïôûœ]", re.IGNORECASE)


@pytest.fixture(scope="module")
def drawn() -> list[sentences.Pair]:
    rng = random.Random(0)
    return [sentences.sample_sentence(rng) for _ in range(4000)]


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _noun(english: str) -> lexicon.Noun:
    return next(noun for noun in sentences.NOUNS if noun.one == english)


def _adjective(english: str) -> lexicon.Adjective:
    return next(one for one in lexicon.ADJECTIVES if one.english == english)


def test_french_elides_exactly_before_vowels(drawn: list[sentences.Pair]) -> None:
    for pair in drawn:
        assert not HIATUS.search(pair.french), pair
        assert not CLASH.search(pair.french), pair


def test_an_stands_exactly_before_vowels(drawn: list[sentences.Pair]) -> None:
    for pair in drawn:
        for article, initial in re.findall(r"\b(an?) (\w)", pair.english.lower()):
            assert (article == "an") == (initial in "aeiou"), pair


def test_sentences_begin_and_end_as_sentences(drawn: list[sentences.Pair]) -> None:
    for english, french in drawn:
        assert english[0].isupper() and french[0].isupper()
        assert (english[-1], french[-1]) in {(".", "."), ("?", "?")}
        assert "  " not in english + french
        assert 2 <= len(_words(english)) <= 20


def test_a_negation_stands_in_both_languages(drawn: list[sentences.Pair]) -> None:
    for english, french in drawn:
        assert ("not" in _words(english)) == ("pas" in _words(french)), (english, french)


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        ("cat", ("chat", "chats", False)),
        ("horse", ("cheval", "chevaux", False)),
        ("bird", ("oiseau", "oiseaux", False)),
        ("mouse", ("souris", "souris", True)),
        ("nut", ("noix", "noix", True)),
    ],
)
def test_nouns_form_their_plural(english: str, expected: tuple[str, str, bool]) -> None:
    noun = _noun(english)
    assert (noun.french, noun.french_many, noun.feminine) == expected


def test_english_plurals_are_irregular_where_they_should_be() -> None:
    plurals = {noun.one: noun.many for noun in sentences.NOUNS}
    expected = {
        "mouse": "mice", "wolf": "wolves", "child": "children", "cherry": "cherries", "box": "boxes",
        "church": "churches", "key": "keys", "boy": "boys", "dress": "dresses", "fish": "fish",
    }  # fmt: skip
    assert {one: plurals[one] for one in expected} == expected


@pytest.mark.parametrize(
    ("noun", "french"),
    [
        ("tree", {"un vieil arbre", "de vieux arbres", "le vieil arbre", "les vieux arbres"}),
        ("cat", {"un vieux chat", "de vieux chats", "le vieux chat", "les vieux chats"}),
        ("house", {"une vieille maison", "de vieilles maisons", "la vieille maison"}),
        ("church", {"une vieille église", "la vieille église", "cette vieille église"}),
        ("friend", {"ce vieil ami", "mon vieil ami", "ces vieux amis"}),
    ],
)
def test_an_adjective_before_its_noun_agrees(noun: str, french: set[str]) -> None:
    rng = random.Random(0)
    phrases = (sentences.noun_phrase(rng, _noun(noun)) for _ in range(20_000))
    found = {phrase.french for phrase in phrases if " old " in f" {phrase.english} "}
    assert french <= found
    wrong = {text for text in found if not re.search(r"\bvieux\b|\bvieil(les?)?\b", text)}
    assert not wrong


def test_an_adjective_after_its_noun_agrees() -> None:
    rng = random.Random(0)
    forms = {False: ("vert", "verts"), True: ("verte", "vertes")}
    for noun in ("cat", "house", "church"):
        for phrase in (sentences.noun_phrase(rng, _noun(noun)) for _ in range(2000)):
            if " green " in phrase.english:
                assert phrase.french.split()[-1] == forms[_noun(noun).feminine][phrase.many]


def test_verbs_follow_their_subject() -> None:
    eat, see = lexicon.EAT, next(verb for verb in lexicon.TRANSITIVE if verb.english == "see")
    assert (eat.he, eat.french) == ("eats", ("mange", "manges", "mange", "mangeons", "mangent"))
    assert (see.he, see.french) == ("sees", ("vois", "vois", "voit", "voyons", "voient"))
    by_english = {verb.english: verb.he for verb in (*lexicon.TRANSITIVE, *lexicon.INTRANSITIVE)}
    assert (by_english["look at"], by_english["cry"], by_english["touch"], by_english["play"]) == (
        "looks at", "cries", "touches", "plays",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("word", "expected"),
    [("arbre", True), ("homme", True), ("œuf", True), ("île", True), ("École", True), ("chat", False),
     ("yeux", False)],
)
def test_vowels(word: str, expected: bool) -> None:
    assert begins_with_vowel(word) is expected


def test_a_topic_is_what_the_sentence_is_about() -> None:
    rng = random.Random(0)
    fox = _noun("fox")
    for _ in range(300):
        words = _words(sentences.sample_sentence(rng, fox).english)
        assert {"fox", "foxes"} & set(words[:4])


def test_a_sentence_has_one_translation(drawn: list[sentences.Pair]) -> None:
    french = {}
    for pair in drawn:
        assert french.setdefault(pair.english, pair.french) == pair.french


def test_splits_hang_on_the_english_alone(drawn: list[sentences.Pair]) -> None:
    splits = [sentences.split_of(pair) for pair in drawn]
    assert [round(8 * splits.count(name) / len(drawn)) for name in SPLITS] == [6, 1, 1]
    assert splits == [sentences.split_of(pair._replace(french="")) for pair in drawn]
    rng = random.Random(0)
    assert {sentences.split_of(sentences.train_sentence(rng)) for _ in range(200)} == {"train"}
