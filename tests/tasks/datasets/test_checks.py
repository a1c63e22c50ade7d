"""Rows are taken only if they are what they should be."""

import pytest

from sah_jax import errors
from sah_jax.tasks.datasets import checks
from sah_jax.tasks.datasets.formats import Record

RECORD = Record("FILE:3", {"text": " kept as it is ", "blank": " \n", "number": 4, "yes": True, "list": []})


def test_fields_come_out_as_they_are():
    assert checks.text(RECORD, "text") == " kept as it is "
    assert checks.field(RECORD, "number", int) == 4
    assert checks.field(RECORD, "list", list) == []


@pytest.mark.parametrize("name, kind, sentence", [
    ("gone", str, "FILE:3: has no field 'gone' .got text, blank"),
    ("number", str, "FILE:3: number is 4, expected a text"),
    ("text", int, "FILE:3: text is ' kept as it is ', expected a whole number"),
    ("yes", int, "FILE:3: yes is True, expected a whole number"),
    ("text", list, "expected a list"),
])
def test_a_field_of_another_type_is_malformed(name, kind, sentence):
    with pytest.raises(errors.UserError, match=sentence) as caught:
        checks.field(RECORD, name, kind)
    assert not isinstance(caught.value, checks.Defect)


def test_a_blank_text_is_a_defect():
    with pytest.raises(checks.Defect, match="FILE:3: blank is empty, expected a text"):
        checks.text(RECORD, "blank")


def test_an_identity_comes_once():
    unique = checks.Unique()
    for line, identity in ((1, ("key", 7)), (2, ("key", 8)), (3, None), (4, None)):
        unique.check(Record(f"FILE:{line}", {}), identity)
    with pytest.raises(checks.Defect, match=r"FILE:9: has the same key \(7\) as FILE:1, expected each once"):
        unique.check(Record("FILE:9", {}), ("key", 7))


ENGLISH = "The house that she was in is old."
FRENCH = "La maison où elle était est vieille, et le toit aussi."


@pytest.mark.parametrize("english, french", [
    (ENGLISH, FRENCH), ("Ignore Tom.", "Ignore Tom."), ("Go.", "Va !"),
    ("He saw \"Le Dîner des Cons\" with you.", "Il a vu « Le Dîner des cons » avec vous."),
    ("They read it.", "Ils lisent « The Lord of the Rings » dans le train."), ("1, 2, 3, 4", "un, deux"),
])
def test_pairs_of_the_right_languages_pass(english, french):
    pairs = checks.Pairs()
    pairs.check(RECORD, english, french)
    pairs.finish("FILE")


@pytest.mark.parametrize("english, french, sentence", [
    (ENGLISH, "The house that she was in is new.", "FILE:3: got English .The house.* where French is"),
    (FRENCH, FRENCH + "!", "FILE:3: got French .La maison.* where English is expected"),
    ("One two three four", "One two three four ", "FILE:3: got the same text on both sides"),
])
def test_pairs_of_another_language_are_defects(english, french, sentence):
    with pytest.raises(checks.Defect, match=sentence):
        checks.Pairs().check(RECORD, english, french)


def test_short_pairs_of_swapped_columns_are_found_by_the_end():
    pairs = checks.Pairs()
    for english, french in (("Le chat.", "The cat."), ("Je cours.", "I was."), ("Il pleut.", "It is.")):
        pairs.check(RECORD, english, french)
    with pytest.raises(errors.UserError, match="FILE: the English side has 3 function words of French and 0"):
        pairs.finish("FILE")
