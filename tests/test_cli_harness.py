"""The model class for lm-evaluation-harness: its runner gets what a study gets."""

import os
import subprocess
import sys
import types

import harness_tasks
import numpy as np
import pytest

from sah_jax import cli, errors
from sah_jax.models import generate, likelihood
from sah_jax.programs import codec, registry
from sah_jax.studies import rows
from sah_jax.tasks import evaluate
from sah_jax.tasks import registry as task_registry

pytestmark = pytest.mark.long

lm_eval = pytest.importorskip("lm_eval", reason="the harness is the extra `lm_eval`")
NAMES = ("sums", "choice", "blank")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return harness_tasks.write(tmp_path_factory.mktemp("harness"))


@pytest.fixture(scope="module")
def adapted(nano, nano_math, tmp_path_factory):
    """The arguments that name a model with a program, and what that adapts it to."""
    family = registry.get_family("icl")
    setting = codec.family_lib.parse_setting(family, {"num_examples": 1})
    theta = family.fit(setting, nano, nano_math, 0, codec.silent)
    program = codec.write(family, theta, nano)
    path = tmp_path_factory.mktemp("program") / "program.sah"
    path.write_bytes(program.data)
    return f"model=nano,program={path}", program.adapted


def _run(arguments, folder, **options):
    from sah_jax.cli import harness  # noqa: F401  (registers the class)

    return lm_eval.simple_evaluate(
        "sah_jax", arguments, tasks=[f"{folder}/{name}.yaml" for name in NAMES], num_fewshot=0,
        bootstrap_iters=0, **options)


def test_the_runner_s_scores_are_a_study_s(nano, adapted, folder, monkeypatch):
    arguments, program = adapted
    found = _run(arguments, folder)["results"]
    monkeypatch.setenv(task_registry.FILES, str(folder))
    for name in NAMES:
        task = task_registry.get_task(f"lm_eval:{name}")
        score = evaluate.evaluate(
            nano, program.variables(nano), task, "test", task.test_size(), program.context)
        for metric, one in score.metrics.items():
            assert found[name][metric if "," in metric else f"{metric},none"] == pytest.approx(one.value)


@pytest.fixture
def model(tiny_base, tmp_path):
    from sah_jax.cli import harness

    return harness.SahJax(model=tiny_base.source)


def test_a_study_of_its_tasks_is_verified(folder, tmp_path):
    (tmp_path / "config.py").write_text("""
import ml_collections

def get_config():
    return ml_collections.ConfigDict(dict(
        models=("nano-step0",), dtype="float32", tasks=("lm_eval:choice",),
        families=dict(icl=({"num_examples": 2},)), seeds=(0,), num_selection=2, num_test=12,
        selection="selection", check=False))
""")
    subprocess.run(
        [sys.executable, "-m", "sah_jax", "study", f"--config={tmp_path}/config.py",
         f"--workdir={tmp_path}/out"], check=True, env={**os.environ, task_registry.FILES: str(folder)})
    (row,) = rows.read_rows(tmp_path / "out" / "results.jsonl")
    assert (row.dataset_name, row.verified, row.num_scored) == ("lm_eval:choice", True, 12)


def _requests(*arguments):
    return [types.SimpleNamespace(args=one) for one in arguments]


def test_long_texts_are_rolled_over(model, tiny_base):
    positions = tiny_base.spec.max_positions
    text = "".join(chr(97 + 7 * index % 26) for index in range(2 * positions + 9))
    found = model.loglikelihood_rolling(_requests((text,), ("abc",)))
    tokens = tiny_base.encode(text)
    # Each window but the first begins with the token before it; the last one is filled up from before.
    windows = [([0], tokens[:positions]), ([tokens[positions - 1]], tokens[positions : 2 * positions]),
               (tokens[positions + 8 : 2 * positions], tokens[2 * positions :])]
    variables = {"params": tiny_base.params}
    expected = sum(one.nats for one in likelihood.of_rows(tiny_base, variables, windows))
    assert found[0] == pytest.approx(expected, rel=1e-5)
    assert found[1] == pytest.approx(
        likelihood.loglikelihoods(tiny_base, variables, [("", "abc")])[0].nats, rel=1e-5)


def test_rolling_goes_on_under_a_program_s_context(nano, nano_math, tmp_path):
    from sah_jax.cli import harness

    theta = nano.encode("Tom has 3 apples.")
    path = tmp_path / "program.sah"
    path.write_bytes(codec.write(registry.get_family("urial"), theta, nano).data)
    model = harness.SahJax(model="nano", program=str(path))
    text = " He has 4 pears." * 90
    (found,) = model.loglikelihood_rolling(_requests((text,)))
    context, tokens = [0, *theta], nano.encode(text)
    assert len(tokens) > nano.spec.max_positions
    size = nano.spec.max_positions - len(context)
    rows = [(context, tokens[:size])]
    for first in range(size, len(tokens), size):
        after = tokens[first : first + size]
        start = first - 1 - (size - len(after))
        rows.append((context + tokens[start:first], after))
    expected = sum(one.nats for one in likelihood.of_rows(nano, {"params": nano.params}, rows))
    assert found == pytest.approx(expected, rel=1e-5)


def test_requests_are_answered_in_their_order_whatever_they_ask(model):
    requests = _requests(("abc", {"until": ["e"], "max_gen_toks": 9}), ("xy", {"max_gen_toks": 3}),
                         ("b", {"until": ["e"], "max_gen_toks": 9}), ("xy", {"max_gen_toks": 7}))
    texts = model.generate_until(requests)
    assert texts == [model.generate_until([one])[0] for one in requests]
    assert texts[3].startswith(texts[1]) and len(texts[1]) == 3 and len(texts[3]) == 7


def test_long_prompts_lose_their_beginning(model, tiny_base):
    room = tiny_base.spec.max_positions - 5
    long = "".join(chr(97 + index * index % 25) for index in range(room + 40))
    asked = {"max_gen_toks": 5}
    # The start token is the first to go.
    expected = generate.continue_rows(
        tiny_base, {"params": tiny_base.params}, [tiny_base.encode(long)[-room:]], [], max_new_tokens=5)
    assert model.generate_until(_requests((long, asked))) == expected
    fits = long[: room - 1]
    assert model.generate_until(_requests((fits, asked))) == generate.generate(
        tiny_base, {"params": tiny_base.params}, [fits], max_new_tokens=5)
    with pytest.raises(errors.UserError, match="lower max_gen_toks"):
        model.generate_until(_requests(("ab", {"max_gen_toks": tiny_base.spec.max_positions})))
    with pytest.raises(errors.UserError, match="which samples"):
        model.generate_until(_requests(("ab", {"do_sample": True})))


@pytest.mark.parametrize(("given", "said"), [
    ({}, "expected model=NAME"), ({"model": "nano", "size": 3}, "size"),
    ({"model": "nowhere"}, "nowhere"),
    ({"model": "nano", "program": "x.sah", "add_bos_token": False}, "start token wherever"),
])
def test_mistakes_in_model_args_are_named(given, said):
    from sah_jax.cli import harness

    with pytest.raises(errors.UserError, match=said):
        harness.SahJax(**given)


def test_the_command_runs_the_harness_s_own(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["sah"])
    assert cli.main([
        "lm_eval", "run", "--model=sah_jax", "--model_args=model=nano", f"--tasks={folder}/choice.yaml",
        "--limit=4"]) == 0
    out = capsys.readouterr().out
    assert "choice" in out and "acc_norm" in out
    assert cli.main(["lm_eval", "run", "--model=sah_jax", "--model_args=model=nowhere",
                     f"--tasks={folder}/choice.yaml"]) == cli.USER_ERROR
    assert capsys.readouterr().err.splitlines()[-1].startswith("sah lm_eval: ")


def test_answers_are_told_to_the_runner_s_cache(model):
    seen = []
    model.set_cache_hook(types.SimpleNamespace(add_partial=lambda *said: seen.append(said)))
    (found,) = model.loglikelihood(_requests(("ab", "c")))
    assert seen == [("loglikelihood", ("ab", "c"), found)] and np.isfinite(found[0])
    assert isinstance(found, tuple) and isinstance(found[1], bool)
