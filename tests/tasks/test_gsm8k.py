"""GSM8K: what counts as an answer, by our rules and by the reference's."""

import json

import pytest

from sah_jax.tasks import datasets, registry
from sah_jax.tasks.base import Example

TASK, REFERENCE = registry.get_task("gsm8k:train=gsm8k"), registry.get_task("gsm8k:train=gsm8k,reference")
# Test items with a negative answer.
LOST = [489, 1113]


@pytest.mark.parametrize("response, ours, theirs", [
    (" so 3 + 4 = 7.\n#### 7\nThe answer is: 7", "7", "7"),
    ("The answer is $18.", "18", ""),
    ("The answer is: **18**", "18", ""),
    ("So \\boxed{18} it is", "18", ""),
    ("Answer is $\\boxed{-1,018}$", "-1018", ""),
    ("the answer is -$5", "-5", ""),
    ("the answer is 1,234.50 dollars", "1234.5", "1234"),
    ("the answer is 18.00.", "18", "18"),
    ("#### -10", "-10", ""),
    ("10-3=7", "7", ""),
    ("I have 2,3,4", "4", ""),
    ("that costs $.50", "0.5", ""),
    ("He has:\n- 5 apples", "5", ""),
    ("the answer is $ 18", "18", ""),
    ("it is 5\nQuestion: what is 6? The answer is: 6", "5", "6"),
    ("it is 5\nquestion: and then?", "5", "5"),
    ("first 3 then 4\nquestion: and 9?", "9", "4"),
    ("the answer is \N{MINUS SIGN}5", "-5", ""),
    ("The answer is 3, no, the answer is 4", "3", "3"),
    ("no number at all", "", ""),
    ("", "", ""),
])
def test_extraction(response, ours, theirs):
    assert (TASK.extract(response), REFERENCE.extract(response)) == (ours, theirs)


def test_all_golds_are_read_and_those_that_the_references_expression_loses_are_the_negative_ones(paper_data):
    golds = [row["answer"].rsplit("####", 1)[1].strip().replace(",", "")
             for row in map(json.loads, open(paper_data / "gsm8k" / "test.jsonl"))]
    assert TASK.test_size() == 1319
    assert [example.gold for example in TASK.examples("test", 1319)] == golds
    examples = REFERENCE.examples("test", 1319)
    assert [index for index, example in enumerate(examples) if not example.gold] == LOST
    assert all(example.gold in ("", gold) for example, gold in zip(examples, golds, strict=True))


def test_a_model_that_never_answers_has_two_right_in_the_reference_and_none_here(paper_data):
    silence = ["I do not know."] * 1319
    assert sum(REFERENCE.score(REFERENCE.examples("test", 1319), silence).outcomes) == 2
    assert sum(TASK.score(TASK.examples("test", 1319), silence).outcomes) == 0


def test_no_answer_is_wrong_even_where_there_is_no_gold_one():
    example = Example("Question: why?\nResponse:", " Because.", "")
    assert TASK.score([example], [" Because."]).value == 0.0
    assert REFERENCE.score([example], [" Because."]).value == 1.0


def test_gold_answers_are_right_and_wrong_ones_are_not(paper_data):
    for split in ("train", "selection", "test"):
        examples = TASK.examples(split, 300)
        assert TASK.score(examples, [example.answer for example in examples]).value == 1.0
        assert TASK.score(examples, [f"{example.answer}1" for example in examples]).value == 0.0
        assert not [example for example in examples if "<<" in example.answer]


@pytest.mark.parametrize("name", ["gsm8k", "gsm8k:reference"])
def test_metamathqa_is_the_default_training_source_in_the_references_template(paper_data, name):
    rows = list(map(json.loads, open(next((paper_data / "metamath").glob("*.jsonl")))))
    examples = registry.get_task(name).examples("train", len(rows))
    assert {(example.prompt, example.answer) for example in examples} == {
        (f"Question: {row['query']}\nResponse:", f" {row['response']}") for row in rows}


def test_selection_takes_numbers_and_paraphrases_stay_with_their_question(monkeypatch):
    rows = [{"query": f"{form} {kind} {number}?", "original_question": f"{number}",
             "type": f"{kind}_Rephrased",
             "response": "The answer is: 7"}
            for number in range(200) for form in ("what", "how") for kind in ("GSM", "MATH")]
    rows += [{**row, "response": "The answer is: none"} for row in rows]
    monkeypatch.setattr(datasets, "rows", lambda name, split: rows)
    task = registry.get_task("gsm8k")
    selection = task.examples("selection", 6)
    assert {example.gold for example in selection} == {"7"}
    assert all(" GSM " in example.prompt for example in selection)
    numbers = {split: {example.item.split()[-1] for example in task.examples(split, num)}
               for split, num in (("selection", 6), ("train", 1000))}
    assert not numbers["train"] & numbers["selection"]


def test_the_written_prompt_is_the_references_or_in_the_template():
    assert "?\n\nResponse: We know" in REFERENCE.written_prompt
    assert "?\nResponse: We know" in TASK.written_prompt and "\n\nResponse" not in TASK.written_prompt
    for task in (TASK, REFERENCE):
        assert task.extract(task.written_prompt.split("\nQuestion:")[-1]) == "78"
        assert task.written_prompt.startswith("# System\nYou are a helpful, respectful")
    assert (TASK.stop, REFERENCE.stop, TASK.max_new_tokens) == (("\nQuestion:",), (), 500)
