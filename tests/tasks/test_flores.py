"""FLORES: published scores of published outputs, and the reference's mean over batches."""

import csv

import pytest
import sacrebleu

from sah_jax.tasks import registry, scores

TASK, REFERENCE = registry.get_task("flores"), registry.get_task("flores:reference")
NUM = 1012


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Values are what is looked at here."""
    monkeypatch.setattr(scores, "RESAMPLES", 20)


@pytest.fixture(scope="module")
def outputs(paper_data):
    """The published systems: output lines, and BLEU, chrF and chrF++ as published."""
    folder = paper_data / "translation" / "flores200" / "systems"
    with open(folder / "published_scores_eng_fra.csv") as file:
        published = {row["file ID"]: row for row in csv.DictReader(file)}
    return [(path.read_text().split("\n")[:NUM], published[path.stem.split("_")[-1]])
            for path in sorted(folder.glob("*.txt"))]


def test_scores_equal_the_published_ones(outputs):
    assert TASK.test_size() == NUM and len(outputs) == 2
    examples = TASK.examples("test", NUM)
    for lines, published in outputs:
        metrics = TASK.score(examples, lines).metrics
        assert [f"{metrics[name].value:.2f}" for name in ("bleu", "chrf", "chrf++")] == [
            published[name] for name in ("BLEU", "chrF", "chrF++")]


def test_the_reference_averages_batches_of_16_by_their_size(outputs):
    lines, _ = outputs[0]
    examples = REFERENCE.examples("test", NUM)
    golds = [example.gold for example in examples]
    parts = [slice(first, first + 16) for first in range(0, NUM, 16)]
    expected = sum(
        sacrebleu.corpus_bleu(lines[part], [golds[part]]).score * len(lines[part]) for part in parts) / NUM
    score = REFERENCE.score(examples, lines)
    assert score.value == pytest.approx(expected, abs=1e-9)
    assert next(iter(score.metrics)) == "bleu_batch_mean"
    assert score.metrics["bleu"].value == sacrebleu.corpus_bleu(lines, [golds]).score != score.value


def test_the_outcomes_pool_to_the_score(outputs):
    """So that the spread of any comparison can be had from them."""
    lines, _ = outputs[0]
    score = TASK.score(TASK.examples("test", 60), lines[:60])
    sums = list(map(sum, zip(*score.outcomes, strict=True)))
    assert sacrebleu.metrics.BLEU()._compute_score_from_stats(sums).score == score.value
    assert 0 < score.stderr < 10


def test_a_response_is_its_first_line_and_in_the_reference_the_first_that_is_not_empty(outputs):
    examples = TASK.examples("test", 20)
    golds = [example.gold for example in examples]
    # What a study generates ends at the first line break.
    assert TASK.score(examples, [f"\n{gold}" for gold in golds]).value == 0
    for task, before in ((TASK, ""), (REFERENCE, "\n")):
        noisy = [f"{before} {gold} \nEnglish: more" for gold in golds]
        assert task.score(examples, noisy).value == task.score(examples, golds).value == pytest.approx(100)
        assert task.score(examples, [""] * 20).value == 0


def test_templates(paper_data):
    (ours,), (theirs,) = TASK.examples("test", 1), REFERENCE.examples("test", 1)
    assert ours.prompt == theirs.prompt == f"English: {ours.item}\nFrench:"
    assert ours.item.startswith('"We now have 4-month-old mice')
    assert ours.gold.startswith("«\N{NO-BREAK SPACE}Nous avons")
    assert (ours.answer, theirs.answer) == (f" {ours.gold}", f" {ours.gold}\n")
    assert (TASK.stop, REFERENCE.stop, TASK.max_new_tokens) == (("\n",), (), 128)
    assert REFERENCE.written_prompt.endswith("commitments.\n\nFrench: Pour Bauman, les humains modernes ont "
                                             "besoin d’engagements forts.\n")
    assert TASK.written_prompt.endswith("forts.\n\n") and "\n\nFrench" not in TASK.written_prompt


def test_training_pairs_come_from_the_source_that_is_named(paper_data):
    pairs = (paper_data / "translation" / "tatoeba" / "eng-fra.5000.tsv").read_text()
    dev = (paper_data / "translation" / "flores200" / "eng_Latn.dev").read_text()
    for split in ("train", "selection"):
        assert all(f"{one.item}\t{one.gold}\t" in pairs for one in TASK.examples(split, 50))
        assert all(one.item in dev for one in registry.get_task("flores:train=dev").examples(split, 20))
