"""The corpus repeats itself on demand, hides the task's format and holds no held-out problem."""

import itertools
import random
import re
from collections.abc import Iterator

import pytest

from sah_jax.tasks.nano import corpus
from sah_jax.tasks.nano.formats import NUMBER_WORDS, sample_format, symbol_run
from sah_jax.tasks.nano.problems import sample_problem, split_of

EQUATION = re.compile(r"(?<![\d+*x-] )\b(\d+) ([+*x-]) (\d+) = (\d+)\b")


@pytest.fixture(scope="module")
def documents() -> list[str]:
    return list(itertools.islice(corpus.documents(0), 3000))


def _texts_of(splits: tuple[str, ...], num: int) -> set[str]:
    rng = random.Random(1)
    problems = (sample_problem(rng) for _ in range(num))
    return {
        f"{problem.story} {problem.question}" for problem in problems if split_of(problem) in splits
    }


def _candidates(text: str) -> Iterator[str]:
    """Yields every stretch of a text that could be a problem: from a capital to a question mark."""
    starts = [match.start() for match in re.finditer(r"(?<!\S)[A-Z]", text)]
    for match in re.finditer(r"\?", text):
        for start in [start for start in starts if start < match.start()][-20:]:
            yield text[start : match.end()]


def _num_found(documents: list[str], problems: set[str]) -> int:
    return sum(candidate in problems for text in documents for candidate in _candidates(text))


def test_a_seed_fixes_the_documents(documents: list[str]) -> None:
    assert list(itertools.islice(corpus.documents(0), 200)) == documents[:200]
    assert list(itertools.islice(corpus.documents(1), 200)) != documents[:200]


def test_documents_hide_the_format_of_the_task(documents: list[str]) -> None:
    assert not [
        text for text in documents for mark in ("####", "Question:", "Answer:") if mark in text
    ]


@pytest.mark.parametrize("mark", corpus.CONTAINS_NEVER)
def test_a_document_with_a_forbidden_mark_raises(
    mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "_KINDS", {lambda rng: f"so {mark} 5": 1})
    with pytest.raises(RuntimeError, match=mark):
        next(corpus.documents(0))


def test_documents_hold_no_held_out_problem(documents: list[str]) -> None:
    assert _num_found(documents, _texts_of(("test", "selection"), 80_000)) == 0
    # The same probe does find problems that are allowed, so that finding none means something.
    assert _num_found(documents, _texts_of(("train",), 80_000)) > 100


def test_equations_in_documents_are_true(documents: list[str]) -> None:
    found = [match.groups() for text in documents for match in EQUATION.finditer(text)]
    assert len(found) > 10_000
    signs = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "x": int.__mul__}
    assert not [
        sum_ for sum_ in found if signs[sum_[1]](int(sum_[0]), int(sum_[2])) != int(sum_[3])
    ]


def test_documents_have_the_intended_lengths(documents: list[str]) -> None:
    fitting = [text for text in documents if 200 <= len(text) <= 1500]
    assert len(fitting) > 0.9 * len(documents)
    assert all(text.strip() for text in documents)


def test_a_format_is_the_same_for_all_items_of_a_document() -> None:
    rng = random.Random(0)
    for _ in range(200):
        form = sample_format(rng)
        items = [form.item(sample_problem(rng)) for _ in range(3)]
        assert all(item.startswith(form.opening) and form.middle in item for item in items)


def test_formats_are_many() -> None:
    rng = random.Random(0)
    forms = [sample_format(rng) for _ in range(1000)]
    assert len({(form.opening, form.middle, form.closing) for form in forms}) > 900
    # Invented labels and markers are what keeps a model from knowing all formats by heart.
    assert min(len({form.opening for form in forms}), len({form.closing for form in forms})) > 250


def test_symbol_runs_never_reach_the_mark_of_the_task() -> None:
    rng = random.Random(0)
    assert not [run for run in (symbol_run(rng) for _ in range(20_000)) if "###" in run]


def test_number_words_name_their_index() -> None:
    assert len(NUMBER_WORDS) == len(set(NUMBER_WORDS)) == 100
    assert (NUMBER_WORDS[0], NUMBER_WORDS[13], NUMBER_WORDS[40], NUMBER_WORDS[99]) == (
        "zero", "thirteen", "forty", "ninety-nine",
    )  # fmt: skip
