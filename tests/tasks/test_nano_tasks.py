"""What holds for all nano tasks: sound examples, disjoint splits, refusals, room for answers."""

import itertools

import pytest
from tokenizers import Tokenizer

from sah_jax.errors import UserError
from sah_jax.tasks.base import SPLITS, Task
from sah_jax.tasks.nano.corpus import documents
from sah_jax.tasks.nano.tokenizer import train_tokenizer
from sah_jax.tasks.registry import get_task

NAMES = ("nano_follow", "nano_math", "nano_translate")


@pytest.fixture(scope="module", params=NAMES)
def task(request: pytest.FixtureRequest) -> Task:
    return get_task(request.param)


@pytest.mark.parametrize("split", SPLITS)
def test_examples_are_deterministic_prefixes_without_repeats(task: Task, split: str) -> None:
    many = task.examples(split, 400)
    assert task.examples(split, 400) == many
    assert task.examples(split, 50) == many[:50]
    assert task.examples(split, 50, seed=1) != many[:50]
    assert len({example.prompt for example in many}) == 400


def test_splits_are_disjoint(task: Task) -> None:
    prompts = [{example.prompt for example in task.examples(split, 1500)} for split in SPLITS]
    assert len(set().union(*prompts)) == 4500


def test_answers_score_best_and_empty_responses_worst(task: Task) -> None:
    examples = task.examples("test", 200)
    best = 100 if task.name == "nano_translate" else 1
    assert task.score(examples, [example.answer for example in examples]).value == pytest.approx(best)
    assert task.score(examples, [""] * 200).value == 0
    exchanged = [example.answer for example in (*examples[1:], examples[0])]
    assert task.score(examples, exchanged).value < 0.2 * best


def test_a_response_ends_where_the_next_item_begins(task: Task) -> None:
    first, second = task.examples("train", 2)
    running_on = first.answer + task.demonstration_separator + second.prompt + second.answer
    assert task.extract(running_on) == task.extract(first.answer)
    for example in task.examples("train", 300):
        assert not [stop for stop in task.stop if stop in example.answer]


def test_the_written_prompt_is_in_the_format_and_its_answers_are_right(task: Task) -> None:
    opening = task.examples("train", 1)[0].prompt.split(" ")[0]
    cue = task.examples("train", 1)[0].prompt.rsplit("\n", 1)[1]
    items = task.written_prompt.split(task.demonstration_separator)[1:-1]
    assert len(items) == 2 and task.written_prompt.endswith(task.demonstration_separator)
    assert all(item.startswith(opening) and item.count(f"\n{cue} ") == 1 for item in items)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A tokenizer of the corpus, with as many tokens as that of the family."""
    return train_tokenizer(itertools.islice(documents(0), 1000), 1536)


def test_a_generation_has_room_for_every_answer(task: Task, tokenizer: Tokenizer) -> None:
    answers = [example.answer + "\n\n" for example in task.examples("train", 1000)]
    assert max(map(len, tokenizer.encode_batch(answers))) <= task.max_new_tokens


def test_three_examples_fit_beside_a_prompt_and_its_answer(task: Task, tokenizer: Tokenizer) -> None:
    texts = [f"{one.prompt}{one.answer}\n\n" for one in task.examples("train", 900)]
    shown = [sum(map(len, tokenizer.encode_batch(texts[i : i + 3]))) for i in range(0, 900, 3)]
    # `icl` leaves a quarter of the positions to the prompt.
    assert max(shown) <= 512 * 3 // 4 - task.max_new_tokens


def test_unusable_requests_are_refused(task: Task) -> None:
    examples = task.examples("test", 2)
    with pytest.raises(UserError, match="1 responses for 2 examples"):
        task.score(examples, [""])
    with pytest.raises(UserError, match="at least one"):
        task.score((), ())
    with pytest.raises(UserError, match="train, selection, test"):
        task.examples("validation", 1)
    with pytest.raises(UserError, match="at least 0"):
        task.examples("test", -1)


def test_the_registry_knows_the_tasks_and_names_them() -> None:
    assert [get_task(name).name for name in NAMES] == list(NAMES)
    with pytest.raises(UserError, match=r"'gsm'.*nano_follow.*nano_math.*nano_translate"):
        get_task("gsm")
