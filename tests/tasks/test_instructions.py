"""Verifiable instructions: the same verdict each time, offline, whatever chance and files upstream has."""

import random
import sys

import pytest

from sah_jax import errors
from sah_jax.tasks import instructions

pytest.importorskip("lm_eval", reason="IFEval's checkers are the extra `lm_eval`")

TEXTS = ["Dr. Smith met her. The two talked.", "He saw the sea. It was the end of the day."]


@pytest.fixture(scope="module")
def splitter():
    """Sentences without upstream's model."""
    return instructions.sentences(TEXTS)


def _follows(splitter, name, response, prompt="", **arguments):
    (strict,), (loose,) = instructions.follows(prompt, [name], [arguments], response, splitter)
    return strict, loose


def test_a_response_is_judged_strictly_and_loosely(splitter):
    name = "punctuation:no_comma"
    assert _follows(splitter, name, "No comma") == (True, True)
    assert _follows(splitter, name, "Well, sure:\nNo comma") == (False, True)
    assert _follows(splitter, name, "Well, sure:\nNo, comma") == (False, False)
    assert _follows(splitter, name, " \n") == (False, False)


@pytest.mark.parametrize("letter, text, least", [
    ("#", "#a #b #c #d", 4), ("!", "Go! Q!", 2), ("a", "aA q", 2)])
def test_the_character_asked_for_is_counted(splitter, letter, text, least):
    """Upstream counts a random letter where the character is none."""
    for frequency in (least, least + 1):
        for seed in range(3):
            random.seed(seed)
            assert _follows(
                splitter, "keywords:letter_frequency", text, let_relation="at least", letter=letter,
                let_frequency=frequency) == (frequency == least, frequency == least)


def test_nothing_outside_is_left_changed(splitter):
    import langdetect
    import nltk

    random.seed(5)
    before = random.getstate(), langdetect.DetectorFactory.seed, nltk.word_tokenize
    _follows(splitter, "change_case:english_lowercase", "all of this is in lower case")
    assert (random.getstate(), langdetect.DetectorFactory.seed, nltk.word_tokenize) == before


def test_sentences_are_counted_without_the_model_that_upstream_downloads(splitter):
    import nltk

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk.data, "path", [])
        text = "Mrs. Jones left at 5 p.m. on Friday. It rained in the U.S. all day! Why?"
        for count in (3, 4):
            told = _follows(
                splitter, "length_constraints:number_sentences", text, relation="at least",
                num_sentences=count)
            assert told == (count == 3, count == 3)
        assert _follows(
            splitter, "change_case:capital_word_frequency", "ONE two. THREE", capital_relation="at least",
            capital_frequency=2) == (True, True)
        with pytest.raises(errors.UserError, match="nltk.downloader punkt_tab, or leave the option"):
            instructions.check_model()


def test_the_prompt_is_what_is_to_be_repeated(splitter):
    prompt = "Say it again."
    name = "combination:repeat_prompt"
    assert _follows(splitter, name, "Say it again. There.", prompt, prompt_to_repeat=prompt) == (True, True)
    assert _follows(splitter, name, "There.", prompt, prompt_to_repeat=prompt) == (False, False)


def test_unknown_instructions_and_absent_checkers_are_named(splitter, monkeypatch):
    with pytest.raises(errors.UserError, match="'make:coffee'"):
        _follows(splitter, "make:coffee", "here")
    instructions._checkers.cache_clear()
    monkeypatch.setitem(sys.modules, "lm_eval.tasks.ifeval", None)
    monkeypatch.delitem(sys.modules, "lm_eval.tasks.ifeval.utils", raising=False)
    with pytest.raises(errors.UserError, match=r"pip install sah_jax\[lm_eval\]"):
        _follows(splitter, "punctuation:no_comma", "here")
    instructions._checkers.cache_clear()
