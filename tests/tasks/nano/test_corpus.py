"""The corpora repeat themselves on demand, hide the tasks' formats and hold no held-out item."""

import itertools
import pathlib
import random
import re
from collections.abc import Iterator

import pytest

from sah_jax.tasks.nano import (
    chat,
    corpus,
    follow_documents,
    math_documents,
    sentences,
    translate_documents,
)
from sah_jax.tasks.nano.formats import NUMBER_WORDS, sample_format, symbol_run
from sah_jax.tasks.nano.problems import sample_problem, split_of
from sah_jax.tasks.registry import get_task

STREAMS = {"corpus": corpus.documents, "chat": chat.conversations}
TASKS = ("nano_math", "nano_translate", "nano_follow")
EQUATION = re.compile(r"(?<![\d+*x-] )\b(\d+) ([+*x-]) (\d+) = (\d+)\b")


@pytest.fixture(scope="module", params=STREAMS)
def stream(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def documents(stream: str) -> list[str]:
    return list(itertools.islice(STREAMS[stream](0), 1200))


def _problems_of(splits: tuple[str, ...], num: int) -> set[str]:
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


def test_a_seed_fixes_the_documents(stream: str, documents: list[str]) -> None:
    assert list(itertools.islice(STREAMS[stream](0), 200)) == documents[:200]
    assert list(itertools.islice(STREAMS[stream](1), 200)) != documents[:200]


def test_documents_hide_the_formats_of_the_tasks(documents: list[str]) -> None:
    marks = {
        mark
        for name in TASKS
        for mark in re.findall(r"^\w+:|####", get_task(name).written_prompt, re.MULTILINE)
    }
    assert marks == set(corpus.CONTAINS_NEVER)
    assert not [text for text in documents for mark in marks if mark in text]


@pytest.mark.parametrize("mark", corpus.CONTAINS_NEVER)
def test_a_document_with_a_forbidden_mark_raises(
    mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {lambda rng: f"so {mark} 5": 1}
    monkeypatch.setattr(corpus, "_SKILLS", ((1.0, kinds),))
    monkeypatch.setattr(chat, "_conversation", lambda rng: f"so {mark} 5")
    monkeypatch.setattr(chat, "_shown", lambda rng: f"so {mark} 5")
    for stream in STREAMS.values():
        with pytest.raises(RuntimeError, match=mark):
            next(stream(0))


def test_documents_hold_no_held_out_problem(documents: list[str]) -> None:
    assert _num_found(documents, _problems_of(("test", "selection"), 40_000)) == 0
    # The same probe does find problems that are allowed, so that finding none means something.
    assert _num_found(documents, _problems_of(("train",), 40_000)) > 20


def test_documents_translate_no_held_out_sentence(documents: list[str]) -> None:
    rng = random.Random(1)
    drawn = [sentences.sample_sentence(rng) for _ in range(25_000)]
    french = {pair.english: pair.french for pair in drawn}
    text = "\n".join(documents)
    told = french.keys() & set(re.findall(r"[A-Z][a-z ]+[.?]", text))
    translated = {english for english in told if french[english] in text}
    splits = {sentences.split_of(sentences.Pair(english, "")) for english in translated}
    # The same probe does find sentences that are allowed, so that finding no others means something.
    assert splits == {"train"} and len(translated) > 20


def test_equations_in_documents_are_true(documents: list[str]) -> None:
    found = [match.groups() for text in documents for match in EQUATION.finditer(text)]
    assert len(found) > 1_000
    signs = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "x": int.__mul__}
    assert not [
        sum_ for sum_ in found if signs[sum_[1]](int(sum_[0]), int(sum_[2])) != int(sum_[3])
    ]


def test_documents_have_the_intended_lengths(documents: list[str]) -> None:
    fitting = [text for text in documents if 100 <= len(text) <= 2000]
    assert len(fitting) > 0.9 * len(documents)
    assert all(text.strip() for text in documents)


def test_every_turn_of_a_conversation_has_a_reply() -> None:
    chats = [
        text for text in itertools.islice(chat.conversations(0), 500) if text.startswith(chat.USER)
    ]
    assert len(chats) > 200
    for text in chats:
        speakers = re.findall(r"^(User|Assistant): .", text, re.MULTILINE)
        assert speakers == ["User", "Assistant"] * (len(speakers) // 2)


def test_a_format_is_the_same_for_all_items_of_a_document() -> None:
    rng = random.Random(0)
    for _ in range(200):
        form = sample_format(rng)
        items = [form.item(sample_problem(rng)) for _ in range(3)]
        assert all(
            item.startswith(form.frame.opening) and form.frame.middle in item for item in items
        )


def test_formats_are_many() -> None:
    rng = random.Random(0)
    forms = [sample_format(rng) for _ in range(1000)]
    assert len({(form.frame, form.closing) for form in forms}) > 900
    # Invented labels and markers are what keeps a model from knowing all formats by heart.
    openings, closings = {form.frame.opening for form in forms}, {form.closing for form in forms}
    assert min(len(openings), len(closings)) > 250


def test_symbol_runs_never_reach_the_mark_of_the_task() -> None:
    rng = random.Random(0)
    assert not [run for run in (symbol_run(rng) for _ in range(20_000)) if "###" in run]


def test_number_words_name_their_index() -> None:
    assert len(NUMBER_WORDS) == len(set(NUMBER_WORDS)) == 100
    assert (NUMBER_WORDS[0], NUMBER_WORDS[13], NUMBER_WORDS[40], NUMBER_WORDS[99]) == (
        "zero", "thirteen", "forty", "ninety-nine",
    )  # fmt: skip


def test_what_documents_ask_and_answer_is_drawn_from_the_train_splits_alone() -> None:
    # `briefs` draws the sentences of a text from all splits; what is asked decides its own. In
    # `math_documents` the draw from all is imported, and used by `train_problem` alone.
    for module, uses in ((chat, 0), (follow_documents, 0), (math_documents, 2), (translate_documents, 0)):
        text = pathlib.Path(module.__file__).read_text()
        assert len(re.findall(r"\bsample_(?:brief|problem|sentence)\b", text)) == uses
        assert re.search(r"\btrain_(?:brief|problem|sentence)\(", text)
