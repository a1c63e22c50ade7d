"""Files of predictions: items are found by number or text, and what does not fit is named."""

import dataclasses
import json

import pytest

from sah_jax import cli, errors
from sah_jax.tasks import declared, predictions, registry

LINES = ['{"index": 2, "response": " 4"}', '{"prompt": "Q: 1?", "response": " 2"}']


@pytest.fixture
def task(tmp_path):
    """Four test items, two of which ask the same."""
    rows = [{"q": number, "a": number + 1} for number in (1, 2, 3, 3)]
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "task.toml").write_text(
        'train = "train.jsonl"\ntest = "test.jsonl"\nprompt = "Q: {q}?"\nanswer = " {a}"\ngold = "{a}"\n'
        "extract = '\\d+'\nmax_new_tokens = 4\n")
    return registry.get_task(str(tmp_path / "task.toml"))


def _score(task, tmp_path, *lines, num=None):
    (tmp_path / "p.jsonl").write_text("\n".join(lines) + "\n\n")
    return predictions.score(task, tmp_path / "p.jsonl", num)


def test_items_are_found_by_number_or_prompt_and_scored_in_the_order_of_the_test(task, tmp_path):
    found = _score(task, tmp_path, *LINES)
    assert found.score.outcomes == (1.0, 1.0) and (found.missing, found.unknown) == ((1, 3), ())
    found = _score(task, tmp_path, LINES[0], '{"index": 0, "response": "5"}')
    assert found.score.outcomes == (0.0, 1.0)


def test_it_is_the_score_that_a_study_gives(task, tmp_path):
    examples = task.examples("test", 4)
    responses = [" 2", " 3", " 5", "none"]
    lines = [json.dumps({"index": i, "response": text}) for i, text in enumerate(responses)]
    assert _score(task, tmp_path, *lines[::-1]).score == task.score(examples, responses)


def test_two_files_are_compared_on_what_both_predict(task, tmp_path, capsys):
    files = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    files[0].write_text('{"index": 0, "response": "2"}\n{"index": 1, "response": "3"}\n')
    files[1].write_text('{"index": 1, "response": "7"}\n{"index": 2, "response": "4"}\n')
    found = predictions.compare(task, *files)
    assert (found.value, found.num) == (1.0, 1)
    command = ["score", f"--task={task.name}", f"--predictions={files[0]}", f"--against={files[1]}"]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert f"less {files[1]}, on the 1 items" in out and "1.0000 ± nan  p = 1.0000" in out
    assert cli.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["difference"] == {
        "value": 1.0, "stderr": None, "p_value": 1.0, "num": 1}
    lines = [json.dumps({"index": index, "response": str(2 + index)}) + "\n" for index in range(3)]
    files[0].write_text("".join(lines))
    files[1].write_text(lines[0] + lines[1].replace('"3"', '"9"') + lines[2])
    found = predictions.compare(task, *files)
    assert (found.value, found.num) == (pytest.approx(1 / 3), 3)
    files[1].write_text('{"index": 3, "response": "7"}\n')
    with pytest.raises(errors.UserError, match="predicts no item that"):
        predictions.compare(task, *files)


def test_unknown_items_are_named_and_left_out(task, tmp_path):
    odd = ('{"index": 4, "response": ""}', '{"index": -1, "response": ""}', '{"prompt": "?", "response": ""}')
    found = _score(task, tmp_path, *odd, *LINES)
    assert [where.split(":")[-1] for where in found.unknown] == ["1", "2", "3"]
    assert found.score.num_scored == 2
    with pytest.raises(errors.UserError, match="none of the 4 test items"):
        _score(task, tmp_path, *odd)


@pytest.mark.parametrize("line, message", [
    ('{"index": 0, "response": "x"}', "jsonl:3: got a second prediction of item 0 after .*jsonl:2"),
    ('{"prompt": "Q: 3?", "response": "x"}', "jsonl:3: got the prompt of the items 2, 3"),
    ('{"index": "0", "response": "x"}', "jsonl:3: index is '0', expected a whole number"),
    ('{"index": 1, "prompt": "Q: 1?", "response": "x"}', "jsonl:3: got the index 1 with the prompt of anot"),
    ('{"index": true, "response": "x"}', "jsonl:3: index is True, expected a whole number"),
    ('{"index": 0, "response": 5}', "jsonl:3: response is 5, expected a text"),
    ('{"response": "x"}', "jsonl:3: has no field 'prompt'"),
    ("5", "jsonl:3: got a JSON int, expected an object"),
    ('{"index": 0', "jsonl:3: is not JSON"),
])
def test_lines_that_cannot_be_scored_are_named(task, tmp_path, line, message):
    with pytest.raises(errors.UserError, match=message):
        _score(task, tmp_path, *LINES, line)


def test_fewer_items_can_be_asked_for_and_must_be_of_an_endless_split(task, tmp_path, nano_math):
    assert _score(task, tmp_path, LINES[1], num=1).missing == ()
    answer = json.dumps({"index": 1, "response": nano_math.examples("test", 2)[1].answer})
    assert _score(nano_math, tmp_path, answer, num=3).missing == (0, 2)
    with pytest.raises(errors.UserError, match="has no end; say how many"):
        _score(nano_math, tmp_path, answer)


def test_the_command_prints_metrics_and_what_is_not_scored(task, tmp_path, capsys):
    _score(task, tmp_path, *LINES, '{"index": 9, "response": ""}')
    arguments = ["score", f"--task={task.name}", f"--predictions={tmp_path / 'p.jsonl'}"]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    for name, digest in task.data(("test",)).items():
        assert f"  {name}, SHA-256 {digest[:16]}" in said
    assert "2 test items scored" in said and "exact_match" in said
    assert "2 items without a prediction: 1, 3" in said
    assert f"1 predictions of no test item: {tmp_path / 'p.jsonl'}:3" in said
    (tmp_path / "p.jsonl").write_text(LINES[0])
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "task": task.name, "data": task.data(("test",)), "num_scored": 1, "missing": [0, 1, 3], "unknown": [],
        "metrics": {"exact_match": {"value": 1.0, "stderr": None, "num": 1}}}
    assert cli.main(arguments[:2]) == 2 and cli.main([*arguments[:2], "--predictions=none.jsonl"]) == 2
    said = capsys.readouterr().err
    assert "--task and --predictions are both needed" in said and "none.jsonl: cannot be read" in said


def test_the_flag_is_the_option_of_the_task(monkeypatch, capsys):
    def refuse(name):
        raise errors.UserError(f"<{name}>")

    monkeypatch.setattr(registry, "get_task", refuse)
    for name, expected in (
            ("gsm8k", "gsm8k:reference"), ("gsm8k:reference", "gsm8k:reference"),
            ("gsm8k:train=gsm8k", "gsm8k:train=gsm8k,reference")):
        cli.main(["score", f"--task={name}", "--predictions=none.jsonl", "--reference"])
        assert f"<{expected}>" in capsys.readouterr().err


def test_tasks_without_a_reference_say_so(task, capsys):
    for name in (task.name, "lm_eval:arc_easy"):
        assert cli.main(["score", f"--task={name}", "--predictions=none.jsonl", "--reference"]) == 2
        assert "has no reference; leave it out" in capsys.readouterr().err


def test_an_answer_is_the_expressions_group_or_all_it_finds(task):
    read = lambda expression, text: dataclasses.replace(
        task, extract_by=expression, stop=("\n",)).extract(text)
    assert read(r"is (\w+)", "it is 5.") == "5" and read(r"is \w+", "it is 5.") == "is 5"
    assert read(r"is (\w+)", "it\nis 5") == "" == read(r"is|(was)", "it is 5")


@pytest.mark.parametrize("change, message", [
    ("extract = '('", "no regular expression"),
    ("max_new_tokens = 'x'", "'max_new_tokens' is 'x', expected a whole number"),
    ("stop = [1]", r"'stop' is \[1\], expected a list of texts"),
    ("colour = 1", "'colour' is unknown"),
    ("= 1", "is not TOML"),
])
def test_a_declaration_that_is_wrong_is_named(task, tmp_path, change, message):
    lines = [line for line in (tmp_path / "task.toml").read_text().split("\n")
             if line.split(" =")[0] != change.split(" =")[0]]
    (tmp_path / "wrong.toml").write_text("\n".join([*lines, change]))
    with pytest.raises(errors.UserError, match=f"wrong.toml: .*{message}"):
        declared.read(str(tmp_path / "wrong.toml"))


def test_rows_that_do_not_fill_a_template_are_named(task, tmp_path):
    for row, message in (('{"q": 1}', ":2: does not fill the answer .*'a'"), ("{", ":2: is not JSON"),
                         ("5", ":2: got a JSON int")):
        (tmp_path / "test.jsonl").write_text(f'{{"q": 1, "a": 2}}\n{row}')
        with pytest.raises(errors.UserError, match=f"test.jsonl{message}"):
            task.examples("test", 2)
    (tmp_path / "test.jsonl").unlink()
    with pytest.raises(errors.UserError, match="test.jsonl: cannot be read"):
        task.examples("test", 2)
