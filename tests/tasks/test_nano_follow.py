"""The nano_follow task: constraints by prompt and one by one, strict and loose."""

import random

import pytest

from sah_jax.tasks import nano_follow
from sah_jax.tasks.base import Example
from sah_jax.tasks.nano import constraints
from sah_jax.tasks.nano.briefs import Brief, NUMBERS, phrased, split_of
from sah_jax.tasks.nano.constraints import Constraint
from sah_jax.tasks.nano_follow import NanoFollow

TASK = NanoFollow()


def _example(*given: Constraint) -> Example:
    return Example("Instruction: x\nResponse:", " x", constraints.to_text(given))


def test_examples_are_briefs_of_their_split() -> None:
    for split in ("train", "selection", "test"):
        for example in TASK.examples(split, 300):
            topic = example.prompt.split(".")[0].split(" ")[-1]
            brief = Brief(topic, constraints.from_text(example.gold), example.answer)
            assert split_of(brief) == split


def test_prompts_say_their_constraints() -> None:
    telling = {"upper": "capital letters", "lower": "small letters", "quote": "in quotes"}
    for example in TASK.examples("test", 300):
        for kind, value in constraints.from_text(example.gold):
            said = telling.get(kind, value)
            spelt = NUMBERS[int(said)] if said.isdigit() and int(said) < len(NUMBERS) else said
            assert any(
                text in example.prompt for text in (f" {said}", f'"{said}', f" {spelt} "))


def test_metrics_count_prompts_and_constraints_strictly_and_loosely() -> None:
    upper, two = Constraint("upper"), Constraint("sentences", "2")
    examples = [_example(upper, two), _example(upper)]
    score = TASK.score(examples, ["THE CAT SITS.", "Sure:\nTHE CAT."])
    assert {name: (metric.value, metric.num) for name, metric in score.metrics.items()} == {
        "prompt_level_strict_acc": (0, 2), "prompt_level_loose_acc": (0.5, 2),
        "inst_level_strict_acc": (1 / 3, 3), "inst_level_loose_acc": (2 / 3, 3)}
    assert list(score.metrics)[0] == "prompt_level_strict_acc" and score.outcomes == (0.0, 0.0)
    assert TASK.score(examples, ["THE CAT. A DOG.", "THE CAT."]).outcomes == (1.0, 1.0)


def test_loose_scores_are_never_lower() -> None:
    examples = TASK.examples("test", 200)
    responses = [f"Sure!\n{one.answer}" if index % 2 else one.answer.lower()
                 for index, one in enumerate(examples)]
    scores = TASK.score(examples, responses).metrics
    for level in ("prompt", "inst"):
        assert scores[f"{level}_level_strict_acc"].value < scores[f"{level}_level_loose_acc"].value
    assert scores["prompt_level_strict_acc"].value < scores["inst_level_strict_acc"].value


@pytest.mark.parametrize(("response", "expected"), [
    (" A cat.", "A cat."), (" A cat.\nA dog.\n\nSo", "A cat.\nA dog."), (" A\nInstruction: x", "A")])
def test_a_response_may_have_lines(response: str, expected: str) -> None:
    assert TASK.extract(response) == expected


def test_the_written_prompt_obeys_itself_and_holds_no_item_that_is_selected_or_tested_on() -> None:
    answers = [item.split("\nResponse: ")[1] for item in TASK.written_prompt.split("\n\n")[1:-1]]
    asked = (
        ("cat", (Constraint("upper"), Constraint("sentences", "2"))),
        ("king", (
            Constraint("start", "now"), Constraint("avoid", "the"), Constraint("end", "Good night, Tom."))),
    )
    for answer, (topic, given) in zip(answers, asked, strict=True):
        assert split_of(Brief(topic, given, "")) == "train"
        for constraint in given:
            assert constraint.holds(answer)
            assert phrased(random.Random(0), nano_follow._WORDING, constraint) in TASK.written_prompt
