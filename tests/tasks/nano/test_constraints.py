"""Constraints hold where they should, strictly and loosely, and nowhere else."""

import pytest

from sah_jax.tasks.nano import constraints
from sah_jax.tasks.nano.constraints import Constraint

CASES = {
    ("upper", ""): (["THE CAT.", '"A DOG!"'], ["The CAT.", "the cat", "..."]),
    ("lower", ""): (["the cat.", "* a dog"], ["The cat.", "THE CAT", "..."]),
    ("sentences", "2"): (
        ["One here. Two there!", 'A "quoted. One."', "* One.\n* Two."], ["One.", "A. B. C.", "a.b"]),
    ("bullets", "2"): (["* One.\n* Two.", "Here:\n* a\n* b"], ["* One.", "*a\n*b", "- a\n- b", "a * b * c"]),
    ("least_words", "3"): (["one two three", "It's two words"], ["one two", "..."]),
    ("most_words", "3"): (["one two three", "one"], ["one two three four"]),
    ("start", "well"): (["Well, a cat.", '"well then"', "* WELL"], ["Wells dry.", "A well.", "So, well"]),
    ("end", "Good night, Tom."): (
        ["So. Good night, Tom.", '"GOOD NIGHT, TOM."'], ["Good night, Tom. Bye.", "Good night, Tom"]),
    ("quote", ""): (['"a"', '"A cat. A dog."'], ['"a', "'a'", '""', 'a "b"']),
    ("use", "cat"): (["A cat.", "CAT"], ["cats", "concatenate"]),
    ("avoid", "cat"): (["cats", "A dog."], ["A cat.", "The CAT!"]),
}


@pytest.mark.parametrize(("given", "texts"), CASES.items(), ids=str)
def test_a_constraint_holds_for_some_texts_and_not_for_others(given, texts):
    constraint = Constraint(*given)
    held, broken = texts
    assert [text for text in held if not constraint.holds(text)] == []
    assert [text for text in broken if constraint.holds(text)] == []
    assert not constraint.holds("") and not constraint.holds(" \n")


def test_all_kinds_are_covered():
    assert {kind for kind, _ in CASES} == set(constraints.KINDS)


@pytest.mark.parametrize("response", [
    "Sure, here it is:\nTHE CAT.", "THE CAT.\nHope it helps!", "Sure!\nTHE CAT.\nBye now."])
def test_loose_scoring_forgives_what_stands_around(response):
    upper = Constraint("upper")
    assert not constraints.holds_strictly(upper, response)
    assert constraints.holds_loosely(upper, response)


def test_loose_scoring_forgives_emphasis_and_no_more():
    end, start = Constraint("end", "The end."), Constraint("start", "well")
    assert not constraints.holds_strictly(end, "A cat. **The end.**")
    assert constraints.holds_loosely(end, "A cat. **The end.**")
    for text in ("So, a cat.", "", "first\nSo, a cat.\nlast"):
        assert not constraints.holds_loosely(start, text)


def test_loose_scoring_accepts_all_that_strict_scoring_does():
    for (kind, value), (held, _) in CASES.items():
        assert all(constraints.holds_loosely(Constraint(kind, value), text) for text in held)


def test_constraints_come_back_from_their_text():
    given = [Constraint(*one) for one in CASES]
    assert constraints.from_text(constraints.to_text(given)) == tuple(given)
