"""Briefs come with texts that satisfy them, and each belongs to one split."""

import random
from collections import Counter

import pytest

from sah_jax.tasks import nano_follow
from sah_jax.tasks.base import SPLITS
from sah_jax.tasks.nano import briefs, chat, constraints, follow_documents

WORDINGS = {
    "task": nano_follow._WORDING, "chat": chat._BRIEFS, "notes": follow_documents._NOTES,
    "sentences": follow_documents._SENTENCES,
}


@pytest.fixture(scope="module")
def drawn() -> list[briefs.Brief]:
    rng = random.Random(0)
    return [briefs.sample_brief(rng) for _ in range(3000)]


def test_responses_satisfy_their_constraints(drawn):
    for brief in drawn:
        assert all(constraint.holds(brief.response) for constraint in brief.constraints), brief


def test_briefs_have_one_to_three_constraints_that_go_together(drawn):
    for brief in drawn:
        kinds = [constraint.kind for constraint in brief.constraints]
        assert 1 <= len(kinds) <= 3 and len(set(kinds)) == len(kinds)
        assert not {"upper", "lower"} <= set(kinds)
        assert set(kinds) - {"use", "avoid", "least_words", "most_words"}


def test_every_kind_of_constraint_is_asked_for_often(drawn):
    counts = Counter(constraint.kind for brief in drawn for constraint in brief.constraints)
    assert set(counts) == set(constraints.KINDS)
    assert min(counts.values()) > 100


def test_a_text_that_was_written_for_another_brief_rarely_does(drawn):
    pairs = zip(drawn, drawn[1:], strict=False)
    satisfied = [all(one.holds(other.response) for one in brief.constraints) for brief, other in pairs]
    assert sum(satisfied) / len(satisfied) < 0.2


@pytest.mark.parametrize("text", ["Zu mok Ra ta . ( vi" * 12, "Mok", "Zu. mok! Ra? " * 9])
def test_a_text_without_sense_meets_next_to_no_brief(text, drawn):
    met = [all(constraint.holds(text) for constraint in brief.constraints) for brief in drawn]
    assert sum(met) / len(met) < 0.01


@pytest.mark.parametrize("name", WORDINGS)
def test_a_wording_knows_every_kind_and_says_every_value(name, drawn):
    wording = WORDINGS[name]
    assert set(wording) == {"topic", *constraints.KINDS}
    rng = random.Random(0)
    for brief in drawn[:300]:
        for constraint in brief.constraints:
            said = briefs.phrased(rng, wording, constraint)
            assert "{" not in said
            number = constraint.value.isdigit() and int(constraint.value) < len(briefs.NUMBERS)
            spelt = briefs.NUMBERS[int(constraint.value)] if number else constraint.value
            assert constraint.value in said or spelt in said
        assert brief.topic in briefs.instruction(rng, wording, brief)


def test_the_task_puts_no_constraint_as_a_corpus_does():
    # Of what both say, nothing is said in the same words.
    for kind in constraints.KINDS:
        others = {text for name in WORDINGS if name != "task" for text in WORDINGS[name][kind]}
        assert not set(WORDINGS["task"][kind]) & others


def test_splits_hang_on_what_is_asked_and_not_on_the_text(drawn):
    splits = [briefs.split_of(brief) for brief in drawn]
    eighths = [round(8 * splits.count(name) / len(drawn)) for name in SPLITS]
    assert eighths == [6, 1, 1]
    turned = [brief._replace(constraints=brief.constraints[::-1], response="") for brief in drawn]
    assert splits == [briefs.split_of(brief) for brief in turned]
    rng = random.Random(0)
    assert {briefs.split_of(briefs.train_brief(rng)) for _ in range(200)} == {"train"}
