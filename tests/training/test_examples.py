"""A batch holds the examples, its loss is on answers and ends, and its shape is fixed."""

import dataclasses

import numpy as np
import pytest

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.tasks import base as task_lib
from sah_jax.training import examples as examples_lib

PROMPTS = ("a", "Question: what?", "one two three four five six seven")
ANSWERS = (" yes", " no", " one two three four five six seven eight nine")


class Listed:
    """A task with the given examples, of which it hands out the first ones again and again."""

    name = "listed"

    def __init__(self, *examples):
        self._examples = examples
        self.asked = []

    def examples(self, split, num, seed=0):
        self.asked.append((split, seed))
        return tuple(self._examples[index % len(self._examples)] for index in range(num))


def _example(prompt, answer):
    return task_lib.Example(prompt, answer, answer)


@pytest.fixture(scope="module")
def base(step0: base_lib.BaseModel) -> base_lib.BaseModel:
    """The shipped model, with start and end tokens that differ from each other and from padding."""
    spec = dataclasses.replace(step0.spec, start_token=1022, end_tokens=(1023, 1021))
    return dataclasses.replace(step0, spec=spec)


@pytest.fixture(scope="module")
def examples(base):
    return [
        examples_lib.TokenExample(tuple(base.encode(prompt)), tuple(base.encode(answer)))
        for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)]


def test_a_row_is_start_prompt_answer_end_and_padding(base, examples):
    tokens_BL, weights_BL = examples_lib.batch_of(base, examples, rows=3, max_tokens=64)
    for row, example in enumerate(examples):
        sequence = [1022, *example.prompt, *example.answer, 1023]
        assert tokens_BL[row].tolist() == sequence + [0] * (65 - len(sequence))
        weighted = [0.0] * (1 + len(example.prompt)) + [1.0] * (len(example.answer) + 1)
        assert weights_BL[row].tolist() == weighted + [0.0] * (65 - len(weighted))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_shape_does_not_hang_on_the_examples(base, examples, count):
    batch = examples_lib.batch_of(base, examples[:count], rows=4, max_tokens=48)
    assert batch.tokens_BL.shape == batch.weights_BL.shape == (4, 49)
    assert (batch.tokens_BL.dtype, batch.weights_BL.dtype) == (np.int32, np.float32)
    assert not batch.weights_BL[count:].any()


def test_a_sequence_that_is_cut_has_no_end_token(base, examples):
    example = examples[2]
    size = len(example.prompt) + len(example.answer)
    for max_tokens in range(1, size + 1):
        tokens_1L, weights_1L = examples_lib.batch_of(base, [example], 1, max_tokens)
        assert tokens_1L[0].tolist() == [
            1022, *(example.prompt + example.answer)[:max_tokens]]
        assert weights_1L.sum() == max(0, max_tokens - len(example.prompt))
    tokens_1L, weights_1L = examples_lib.batch_of(base, [example], 1, size + 1)
    assert tokens_1L[0, -1] == 1023 and weights_1L[0, -1] == 1


def test_batches_follow_their_orders(base, examples):
    orders = [(2, 0, 1), (1, 2, 0)]
    got = list(examples_lib.batches(base, examples, rows=2, max_tokens=48, orders=orders))
    expected = [
        examples_lib.batch_of(base, [examples[index] for index in chosen], 2, 48)
        for chosen in ((2, 0), (1,), (1, 2), (0,))]
    assert len(got) == len(expected)
    for batch, other in zip(got, expected, strict=True):
        assert all(np.array_equal(*pair) for pair in zip(batch, other, strict=True))


def test_the_first_fitting_examples_are_taken_in_order(base, examples):
    task = Listed(*map(_example, PROMPTS, ANSWERS))
    room = max(len(one.prompt) + len(one.answer) for one in examples[:2]) + 1
    assert len(examples[2].prompt) + len(examples[2].answer) >= room
    chosen = examples_lib.first_fitting(base, task, num=4, max_tokens=room, seed=7)
    assert chosen == [examples[0], examples[1], examples[0], examples[1]]
    assert set(task.asked) == {("train", 7)}


@pytest.mark.parametrize("index", range(len(PROMPTS)))
def test_what_fits_just_keeps_its_end_token(base, examples, index):
    task = Listed(_example(PROMPTS[index], ANSWERS[index]))
    size = len(examples[index].prompt) + len(examples[index].answer)
    chosen = examples_lib.first_fitting(base, task, num=1, max_tokens=size + 1, seed=0)
    tokens_1L, _ = examples_lib.batch_of(base, chosen, 1, size + 1)
    assert tokens_1L[0, -1] == 1023
    with pytest.raises(errors.UserError, match="only 0 of 2"):
        examples_lib.first_fitting(base, task, num=1, max_tokens=size, seed=0)


def test_examples_that_mostly_do_not_fit_are_an_error(base, examples):
    room = len(examples[2].prompt) + len(examples[2].answer)
    long, short = _example(PROMPTS[2], ANSWERS[2]), _example(PROMPTS[0], ANSWERS[0])
    half = examples_lib.first_fitting(base, Listed(long, short), num=5, max_tokens=room, seed=0)
    assert half == [examples[0]] * 5
    with pytest.raises(
            errors.UserError, match=f"only 4 of 10 training examples of listed .*{room} tokens.*5;"):
        task = Listed(long, short, long, short, long, short, long, short, long, long)
        examples_lib.first_fitting(base, task, num=5, max_tokens=room, seed=0)


def test_a_training_example_that_spells_out_the_end_token_is_passed_over(step0):
    spelled, plain = _example("a", "b<|endoftext|>"), _example("a", "b")
    (chosen,) = examples_lib.first_fitting(step0, Listed(spelled, plain), num=1, max_tokens=64, seed=0)
    assert step0.decode(chosen.answer) == "b"
    with pytest.raises(errors.UserError, match="only 0 of 2.*end token"):
        examples_lib.first_fitting(step0, Listed(spelled), num=1, max_tokens=64, seed=0)


def test_no_more_is_asked_of_a_task_than_is_needed(base):
    """So that all of a training source can be used."""
    asked = []

    class Three(Listed):
        def examples(self, split, num, seed=0):
            asked.append(num)
            return super().examples(split, num, seed)

    examples_lib.first_fitting(base, Three(*map(_example, PROMPTS, ANSWERS)), num=3, max_tokens=64, seed=0)
    assert asked == [3]
