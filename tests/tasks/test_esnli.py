"""e-SNLI: labels in responses, by our rules and by the reference's."""

import pytest

from sah_jax.tasks import datasets, registry

TASK = registry.get_task("esnli:train=validation")
REFERENCE = registry.get_task("esnli:train=validation,reference")


@pytest.mark.parametrize("response, ours, theirs", [
    (" A man is outside. Therefore, the answer is entailment.", "entailment", "entailment"),
    ("the relationship is Neutral", "neutral", "neutral"),
    ("the answer is **contradiction**", "contradiction", "contradiction"),
    ("it is not neutral. The answer is **contradiction**", "contradiction", "neutral"),
    ("the answer is: entailment", "entailment", "entailment"),
    ("the premise entails it, so the answer is that it entails", "entailment", "that"),
    ("the premise contradicts the hypothesis", "contradiction", ""),
    ("not entailment but neutral", "neutral", "entailment"),
    ("the answer is unclear, neutral", "neutral", "unclear"),
    ("so the answer is neutral.\nPremise: x the answer is entailment", "neutral", "neutral"),
    ("I cannot say.\n\nPremise: x Therefore, the answer is entailment", "", "entailment"),
    ("", "", ""),
])
def test_extraction(response, ours, theirs):
    assert (TASK.extract(response), REFERENCE.extract(response)) == (ours, theirs)


@pytest.mark.parametrize("task", [TASK, REFERENCE], ids=["ours", "reference"])
def test_gold_answers_are_right_and_others_wrong(paper_data, task):
    for split in ("train", "selection", "test"):
        examples = task.examples(split, 100)
        assert {example.gold for example in examples} == {"entailment", "neutral", "contradiction"}
        assert task.score(examples, [example.answer for example in examples]).value == 1.0
        assert task.score(examples, ["the answer is no"] * 100).value == 0.0


def test_the_template(paper_data):
    (example,) = TASK.examples("test", 1)
    assert example.prompt == (
        "Premise: This church choir sings to the masses as they sing joyous songs from the book at a "
        "church.\n"
        "Hypothesis: The church has cracks in the ceiling.\n"
        "Does the premise entail, contradict, or is neutral to the hypothesis? "
        "Explain your reasoning, then answer.")
    assert example.answer == " Not all churches have cracks in the ceiling Therefore, the answer is neutral."
    assert (TASK.max_new_tokens, REFERENCE.stop) == (200, ())


def test_items_without_a_label_or_explanation_are_passed_over_before_they_are_counted(monkeypatch):
    row = {"premise": "p", "hypothesis": "h", "explanation_1": "e", "label": 0}
    rows = [{**row, "premise": f"p{number}", **change} for number in range(64) for change in (
        {}, {"label": -1}, {"explanation_1": " "})]
    monkeypatch.setattr(datasets, "rows", lambda name, split: rows)
    assert TASK.test_size() == 64
    examples = TASK.examples("train", 50)
    assert {(example.gold, example.answer[:3]) for example in examples} == {("entailment", " e ")}


def test_items_of_one_premise_are_on_one_side(monkeypatch):
    rows = [{"premise": f"p{number // 4}", "hypothesis": f"h{number}", "explanation_1": "e", "label": 0}
            for number in range(800)]
    monkeypatch.setattr(datasets, "rows", lambda name, split: rows)
    premises = [{example.prompt.splitlines()[0] for example in TASK.examples(*asked)}
                for asked in (("train", 700), ("selection", 20))]
    assert not premises[0] & premises[1]


def test_the_written_prompt_is_the_references_or_in_the_template():
    turns = REFERENCE.written_prompt
    assert turns.count("<|im_start|>user\nPremise: ") == turns.count("<|im_start|>assistant\n") == 2
    plain = TASK.written_prompt.split(TASK.demonstration_separator)
    assert "<|" not in TASK.written_prompt and len(plain) == 4 and plain[-1] == ""
    answers = [one.split("then answer.")[-1] for one in plain[1:3]]
    assert list(map(TASK.extract, answers)) == ["entailment", "contradiction"]
