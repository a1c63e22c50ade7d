"""The nano_math task: sound problems, disjoint splits, strict extraction, honest scores."""

import math
import random
import re
from dataclasses import replace

import pytest

from sah_jax.tasks.base import Example, Score
from sah_jax.tasks.nano.problems import Problem, sample_problem, split_of
from sah_jax.tasks.nano_math import NanoMath

TASK = NanoMath()
SPLITS = ("train", "selection", "test")


def _last_result(answer: str) -> int:
    """Evaluates all equations of an answer and returns what the last one is worth."""
    equations = re.findall(r"(\d+) ([-+*]) (\d+) = (\d+)", answer)
    signs = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
    values = [signs[op](int(left), int(right)) for left, op, right, _ in equations]
    assert values == [int(result) for *_, result in equations]
    return values[-1]


def test_a_story_belongs_to_one_split_whatever_is_asked_about_it() -> None:
    rng = random.Random(0)
    for _ in range(200):
        problem = sample_problem(rng)
        other = replace(problem, question="How many are there?")
        assert split_of(other) == split_of(problem)


def test_split_shares_are_an_eighth_an_eighth_and_the_rest() -> None:
    rng = random.Random(0)
    drawn = [split_of(sample_problem(rng)) for _ in range(8000)]
    assert [round(drawn.count(split) / 1000) for split in SPLITS] == [6, 1, 1]


def test_answers_follow_from_their_equations() -> None:
    for example in TASK.examples("test", 1000):
        assert str(_last_result(example.answer)) == example.gold == TASK.extract(example.answer)


def test_solutions_are_sound_and_small() -> None:
    rng = random.Random(0)
    for _ in range(5000):
        problem = sample_problem(rng)
        told = {int(number) for number in re.findall(r"\d+", problem.story)}
        for step in problem.steps:
            assert 0 <= step.result <= 99
            # Every operand is told in the story or was worked out before.
            assert {step.left, step.right} <= told
            told.add(step.result)
        assert problem.answer == problem.steps[-1].result
        # Nothing in the story is left unused.
        used = [number for step in problem.steps for number in (step.left, step.right, step.result)]
        assert told <= set(used)


def test_step_counts_have_the_intended_shares() -> None:
    rng = random.Random(0)
    counts = [len(sample_problem(rng).steps) for _ in range(5000)]
    for num, share in ((1, 0.35), (2, 0.45), (3, 0.2)):
        assert counts.count(num) / 5000 == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (" Tom has 1 + 2 = 3 pears.\n#### 3", "3"),
        ("#### 1,234.", "1234"),
        ("#### -7", "-7"),
        ("#### 17.5", "17.5"),
        ("#### 4\n#### 5", "4"),
        ("#### 4\n\nQuestion: and then\n#### 5", "4"),
        ("so\n\n#### 5", ""),
        ("so\nQuestion: x\n#### 5", ""),
        ("the answer is 5", ""),
        ("### 5", ""),
        ("#### five", ""),
        ("#### .", ""),
        ("", ""),
    ],
)
def test_extraction(response: str, expected: str) -> None:
    assert TASK.extract(response) == expected


def test_gold_answers_score_one_and_exchanged_ones_score_zero() -> None:
    examples = TASK.examples("test", 300)
    assert TASK.score(examples, [example.answer for example in examples]).value == 1.0
    wrong = [example.answer.replace("#### ", "#### 1") for example in examples]
    assert TASK.score(examples, wrong).value == 0.0
    assert TASK.score(examples, [f" {example.gold}" for example in examples]).value == 0.0


def test_a_response_without_a_number_is_wrong_even_for_an_empty_gold() -> None:
    examples = TASK.examples("test", 3)
    assert TASK.score(examples, ["", "####", "#### x"]).outcomes == (0.0, 0.0, 0.0)
    assert TASK.score([Example("p", "a", gold="")], ["no number"]).value == 0.0


def test_score_reports_mean_standard_error_and_outcomes() -> None:
    examples = TASK.examples("test", 4)
    responses = [examples[0].answer, "", examples[2].answer, examples[3].answer]
    score = TASK.score(examples, responses)
    assert (score.value, score.outcomes, score.num_scored) == (0.75, (1.0, 0.0, 1.0, 1.0), 4)
    assert score.stderr == pytest.approx(math.sqrt(0.75 * 0.25 / 3))
    assert math.isnan(Score.of([1.0]).stderr)


def test_the_written_prompt_shows_the_format_with_true_sums_from_the_train_side() -> None:
    worked = TASK.written_prompt.split(TASK.demonstration_separator)[1:-1]
    assert len(worked) == 2 and TASK.written_prompt.endswith(TASK.demonstration_separator)
    for item in worked:
        prompt, answer = item.split("\nAnswer:")
        story = prompt.removeprefix("Question: ").partition(" How many")[0]
        assert split_of(Problem(story, "", (), 0, "")) == "train"
        assert str(_last_result(answer)) == TASK.extract(answer)
        told = re.findall(r"\d+", prompt)
        assert set(told) <= set(re.findall(r"\d+", answer))
