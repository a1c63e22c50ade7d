"""IFEval: the published verdicts on published responses, and the chat template."""

import json

import pytest

from sah_jax import cli, errors
from sah_jax.tasks import datasets, instructions, registry, scores

pytest.importorskip("lm_eval", reason="IFEval's checkers are the extra `lm_eval`")

TASK, REFERENCE = registry.get_task("ifeval"), registry.get_task("ifeval:reference")
RESPONSES = "input_response_data_gpt4_20231107_145030.jsonl"


def test_published_responses_have_their_published_scores(paper_data, monkeypatch, capsys):
    """GPT-4's, by `sah score`. One prompt (key 2785) is worded otherwise in the two files."""
    monkeypatch.setattr(scores, "RESAMPLES", 50)
    path = paper_data / "ifeval" / RESPONSES
    assert cli.main(["score", "--task=ifeval", f"--predictions={path}", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    counts = {name: (round(one["value"] * one["num"]), one["num"]) for name, one in said["metrics"].items()}
    assert counts == {
        "prompt_level_strict_acc": (417, 540), "inst_level_strict_acc": (697, 832),
        "prompt_level_loose_acc": (431, 540), "inst_level_loose_acc": (713, 832)}
    keys = [row["key"] for row in map(json.loads, open(paper_data / "ifeval" / "input_data.jsonl"))]
    assert [keys[index] for index in said["missing"]] == [2785]
    assert len(said["unknown"]) == 1 and said["num_scored"] == 540


def test_the_primary_metric_is_the_strictest_and_the_references_the_most_lenient(paper_data):
    examples = TASK.examples("test", 4)
    responses = ["", "A short, wrong answer.", "x" * 100, "No commas *here* at all"]
    ours, theirs = TASK.score(examples, responses), REFERENCE.score(examples, responses)
    assert next(iter(ours.metrics)) == "prompt_level_strict_acc" and set(ours.outcomes) <= {0.0, 1.0}
    assert next(iter(theirs.metrics)) == "inst_level_loose_acc" and ours.metrics == theirs.metrics
    asked = sum(len(json.loads(example.gold)[0]) for example in examples)
    assert sum(total for _, total in theirs.outcomes) == theirs.metrics["inst_level_loose_acc"].num == asked


def test_a_response_ends_before_the_next_turn_but_not_in_the_reference():
    text = "\nyes\n<|im_start|>user\nmore"
    assert TASK.extract(text) == "yes" and REFERENCE.extract(text) == text
    assert REFERENCE.extract("a\ufffdb<im_start>c") == "a\ufffdb" and REFERENCE.extract("a\ufffdb") == "a"
    assert TASK.stop[0] == "<|im_start|>" and REFERENCE.stop == ()
    assert (TASK.max_new_tokens, REFERENCE.max_new_tokens) == (1280, 500)


def _conversations(monkeypatch, **more):
    rows = [{"conversations": [f"question {number}", "an answer"], **more} for number in range(100)]
    told = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": "[{}]"}
    test = [{"prompt": "The end of a day.", **told}]
    monkeypatch.setattr(datasets, "rows", lambda name, split: rows if name == "ifeval_train" else test)


def test_templates(monkeypatch):
    _conversations(monkeypatch)
    (ours,), (theirs,) = TASK.examples("train", 1), REFERENCE.examples("train", 1)
    assert ours.prompt == theirs.prompt == f"<|im_start|>user\n{ours.item}\n<|im_start|>assistant"
    assert (ours.answer, theirs.answer) == ("\nan answer", "\nan answer\n<|im_start|>user")
    assert (TASK.demonstration_separator, REFERENCE.demonstration_separator) == ("\n", "\n\n")
    assert TASK.written_prompt.endswith("<|im_start|>assistant\nCHINA\n")


def test_held_out_conversations_are_scored_by_the_instructions_they_tell(monkeypatch):
    _conversations(monkeypatch, instruction_id_list=["punctuation:no_comma"], kwargs="[{}]")
    examples = registry.get_task("ifeval").examples("selection", 2)
    assert registry.get_task("ifeval").score(examples, ["fine", "no, not"]).outcomes == (1.0, 0.0)
    _conversations(monkeypatch)
    with pytest.raises(errors.UserError, match="instruction_id_list and kwargs.*selection to 'test'"):
        TASK.examples("selection", 2)


def test_upstreams_sentences_are_taken_where_they_are_asked_for(monkeypatch):
    _conversations(monkeypatch)
    asked = []
    monkeypatch.setattr(instructions, "check_model", lambda: asked.append(True))
    task = registry.get_task("ifeval:punkt")
    assert task.score(task.examples("test", 1), ["fine"]).value == 1.0 and asked
