"""The nano_translate task: true French in its prompt, held-out sentences, corpus BLEU."""

import random

import pytest

from sah_jax.tasks.nano import sentences
from sah_jax.tasks.nano_translate import NanoTranslate

TASK = NanoTranslate()


@pytest.mark.parametrize(("response", "expected"), [
    (" Le chat dort.", "Le chat dort."), (" Le chat dort.\nEnglish: x", "Le chat dort."),
    ("\nLe chat dort.", ""), ("", "")])
def test_only_the_first_line_counts(response: str, expected: str) -> None:
    assert TASK.extract(response) == expected


def test_examples_are_sentences_of_their_split() -> None:
    for split in ("train", "selection", "test"):
        for example in TASK.examples(split, 300):
            english = example.prompt.removeprefix("English: ").removesuffix("\nFrench:")
            assert sentences.split_of(sentences.Pair(english, example.gold)) == split
            assert example.answer == f" {example.gold}"


def test_the_written_prompt_is_of_the_grammar_and_the_train_side() -> None:
    rng = random.Random(0)
    shown = [item.removeprefix("English: ").split("\nFrench: ")
             for item in TASK.written_prompt.split("\n\n")[1:-1]]
    words = {word for pair in (sentences.sample_sentence(rng) for _ in range(20_000))
             for text in pair for word in text.lower().rstrip(".").split()}
    for english, french in shown:
        assert sentences.split_of(sentences.Pair(english, french)) == "train"
        assert {*english.lower().rstrip(".").split(), *french.lower().rstrip(".").split()} <= words


def test_a_near_translation_scores_between_none_and_all() -> None:
    examples = TASK.examples("test", 50)
    near = [example.answer.rsplit(" ", 1)[0] + " chose." for example in examples]
    score = TASK.score(examples, near)
    assert 20 < score.value < 90
    assert list(score.metrics) == ["bleu", "chrf"] and score.metrics["bleu"].value == score.value
