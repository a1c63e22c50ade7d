"""Rejection sampling: answers that verifiers accept become training data that can be held out."""

import json

import pytest

from sah_jax import cli, errors
from sah_jax.models import sampling
from sah_jax.tasks import datasets, instructions, registry, rejection
from sah_jax.tasks.datasets import preparing

pytest.importorskip("lm_eval", reason="IFEval's checkers are the extra `lm_eval`")

NO_COMMA = {"prompt": "Say hello.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}


def _write(path, *rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_what_verifiers_accept_is_kept_once_and_can_be_trained_on(tmp_path, monkeypatch, capsys):
    asked = []

    def answers(base, variables, prompt, **options):
        asked.append((prompt, options["seed"]))
        return ["\nHello there", "\nHello, you", "\nHello there", "hm, <think></think>\nHey",
                "\nHi<|im_start|>user\nyes, "]

    monkeypatch.setattr(sampling, "sample", answers)
    (tmp_path / "ifeval").mkdir()
    out = tmp_path / "ifeval" / "ifeval_train.jsonl"
    prompts = _write(tmp_path / "prompts.jsonl", *({**NO_COMMA, "prompt": f"Say {n}."} for n in range(30)))
    command = ["sample", prompts, "--model=nano-step0", f"--out={out}", "--seed=5"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "30/30 prompts: 90 answers accepted"
    assert asked[1] == ("<|im_start|>user\nSay 1.\n<|im_start|>assistant", 6)
    assert "is there already" in (cli.main(command), capsys.readouterr().err)[1]
    monkeypatch.setenv(preparing.MANUAL_DIR, str(tmp_path))
    monkeypatch.setenv(preparing.DATA_DIR, str(tmp_path / "data"))
    rows = list(datasets.rows("ifeval_train", "train"))
    assert [row["conversations"] for row in rows[:3]] == [
        ["Say 0.", said] for said in ("Hello there", "Hey", "Hi")]
    task = registry.get_task("ifeval")
    assert json.loads(task.examples("selection", 1)[0].gold) == [["punctuation:no_comma"], [{}]]


def test_a_stopped_run_goes_on_to_the_same_file(tmp_path, monkeypatch, capsys):
    stop_at, asked = [13], []

    def answers(base, variables, prompt, **options):
        asked.append(options["seed"])
        if len(asked) == stop_at[0]:
            raise KeyboardInterrupt
        return [f"Hello {options['seed'] % 3}", "no, never"][options["seed"] % 2 :]

    monkeypatch.setattr(sampling, "sample", answers)
    prompts = _write(tmp_path / "prompts.jsonl", *({**NO_COMMA, "prompt": f"Say {n}."} for n in range(20)))
    command = ["sample", prompts, "--model=nano-step0", f"--out={tmp_path / 'out'}"]
    assert cli.main(command) == cli.INTERRUPTED and not (tmp_path / "out").exists()
    partial = tmp_path / "out.partial"
    partial.write_text(partial.read_text()[:-2])  # as if it was killed while it wrote
    capsys.readouterr()
    assert cli.main([*command, "--seed=1"]) == cli.USER_ERROR
    assert "is of a run with other settings" in capsys.readouterr().err
    stop_at[0] = 0
    assert cli.main(command) == 0 and not partial.exists()
    # 12 prompts were done, the last of which was lost.
    assert asked == [*range(13), *range(11, 20)]
    assert cli.main([*command[:-1], f"--out={tmp_path / 'undisturbed'}"]) == 0
    assert (tmp_path / "undisturbed").read_bytes() == (tmp_path / "out").read_bytes() != b""


def test_answers_must_follow_strictly_and_stand_once_in_the_file(tmp_path, monkeypatch, capsys):
    # Without its first line the second answer would do.
    monkeypatch.setattr(sampling, "sample", lambda *_, **__: ["Hello there", "Sure, here:\nHello you"])
    prompts = _write(tmp_path / "prompts.jsonl", NO_COMMA, NO_COMMA)
    assert cli.main(["sample", prompts, "--model=nano-step0", f"--out={tmp_path / 'out'}"]) == 0
    (row,) = map(json.loads, (tmp_path / "out").read_text().splitlines())
    assert row["conversations"] == ["Say hello.", "Hello there"]


def test_nothing_is_written_where_nothing_is_accepted(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sampling, "sample", lambda *_, **__: ["no, never"])
    prompts = _write(tmp_path / "prompts.jsonl", NO_COMMA)
    assert cli.main(["sample", prompts, "--model=nano-step0", f"--out={tmp_path / 'out'}"]) == 2
    assert "none of 6 answers was accepted" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_added_instructions_are_in_the_prompt_and_can_be_checked(tmp_path):
    path = _write(tmp_path / "prompts.jsonl", *({"prompt": f"Tell me about {n}."} for n in range(40)))
    prompts = rejection.read_prompts(path, seed=1)
    assert rejection.read_prompts(path, seed=1) == prompts != rejection.read_prompts(path, seed=2)
    assert {len(prompt.names) for prompt in prompts} == {1, 2, 3}
    splitter = instructions.sentences([prompt.text for prompt in prompts])
    checkers = instructions._checkers().instructions_registry
    for number, prompt in enumerate(prompts):
        assert prompt.text.startswith(f"Tell me about {number}. ")
        json.dumps(prompt.arguments)
        for one in prompt.names:
            assert not checkers.INSTRUCTION_CONFLICTS[one] & set(prompt.names) - {one}
        judged = instructions.follows(prompt.text, prompt.names, prompt.arguments, "Yes. No.", splitter)
        assert len(judged[0]) == len(prompt.names)
        # The arguments are those of the words.
        for name, arguments in zip(prompt.names, prompt.arguments, strict=True):
            assert checkers.INSTRUCTION_DICT[name](name).build_description(**arguments) in prompt.text


@pytest.mark.parametrize("line, message", [
    ({"instruction_id_list": []}, "jsonl:2: has no field 'prompt'"), ({"prompt": " "}, "prompt is empty"),
    ({"prompt": "a", "instruction_id_list": ["a:b"], "kwargs": []}, "1 .*|and 0 kwargs"),
    ({"prompt": "a", "instruction_id_list": ["a:b"], "kwargs": [{}]}, "the instruction 'a:b', expected one"),
    ({"prompt": "a", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [1]}, "got 1 among the"),
    ({"prompt": "a", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{"b": 3}]},
     "takes no such ones"),
    ([], "jsonl:2: got a JSON list"),
])
def test_lines_that_are_no_prompts_are_named(tmp_path, line, message):
    path = _write(tmp_path / "prompts.jsonl", NO_COMMA, line)
    with pytest.raises(errors.UserError, match=message):
        rejection.read_prompts(path)
