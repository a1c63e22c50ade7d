"""The nano decoder is trained on packed documents, goes on where it was stopped, and saves what it is."""

import dataclasses
import itertools
import math
import shutil

import jax
import numpy as np
import optax
import pytest

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.tasks.nano import chat, corpus
from sah_jax.training import pretrain

END = 0
FAMILY = ("nano-step0", "nano-step200", "nano-step800", "nano", "nano-chat")


@pytest.mark.parametrize("name", FAMILY)
def test_the_shipped_models_have_the_architecture_that_is_trained(name, nano):
    base = base_lib.load_base(name)
    assert base.spec == pretrain.nano_spec(nano.spec.vocab_size)
    assert base.tokenizer.to_str() == nano.tokenizer.to_str()


@pytest.mark.parametrize("documents", [corpus.documents, chat.conversations])
@pytest.mark.parametrize("batch, length", [(1, 7), (3, 50), (4, 64)])
def test_packed_rows_are_the_documents_end_to_end(nano, batch, length, documents):
    stream = [END]
    for document in itertools.islice(documents(5), 64):
        stream += [*nano.encode(document), END]
    batches = pretrain.packed_batches(nano.tokenizer, documents(5), batch, length, END)
    for number, rows in enumerate(itertools.islice(batches, 4)):
        assert rows.shape == (batch, length + 1) and rows.dtype == np.int32
        for index, row in enumerate(rows):
            # Each row begins with the token that the one before it ended with.
            first = (number * batch + index) * length
            assert row.tolist() == stream[first : first + length + 1]


def test_halves_predict_the_same_tokens():
    whole = np.arange(3 * 9).reshape(3, 9)
    halves = pretrain.halved(whole)
    assert halves.shape == (6, 5)
    pairs = lambda rows: sorted(zip(rows[:, :-1].ravel(), rows[:, 1:].ravel(), strict=True))
    assert pairs(halves) == pairs(whole)


@pytest.fixture
def small(monkeypatch):
    """A spec, its tokenizer and its first weights; steps are few and saved after each."""
    monkeypatch.setattr(pretrain, "_TOKENIZER_DOCUMENTS", 50)
    monkeypatch.setattr(pretrain, "_WARMUP", 1)
    monkeypatch.setattr(pretrain, "_CHECKPOINT_EVERY", 1)
    # Muon takes seconds to compile, and the loop does not hang on it.
    monkeypatch.setattr(pretrain, "_optimizer", lambda rate, steps, params: optax.adam(rate))
    tokenizer = pretrain.train_corpus_tokenizer(0, 300)
    spec = pretrain.nano_spec(300, width=8, ffn=8, layers=1, heads=1, kv_heads=1)
    return spec, pretrain.initial_params(spec, 0), tokenizer


def _stage(steps, saved=None, learning_rate=0.1):
    return pretrain.Stage("pretrain", corpus.documents, 1, steps, learning_rate, saved or {})


def _run(folder, reports=None):
    report = (lambda *line: None) if reports is None else (lambda *line: reports.append(line))
    return pretrain.Run(folder, folder / "checkpoints", 2, 8, report)


def _largest_difference(one, other):
    return max(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(a - b).max()), one, other)))


def test_a_stage_writes_the_models_along_it_and_says_its_loss(tmp_path, small):
    spec, start, tokenizer = small
    reports = []
    end = pretrain.train(_run(tmp_path, reports), _stage(3, {1: "first", 3: "last"}), *small)
    (stage, step, tokens, loss), = reports
    assert (stage, step, tokens) == ("pretrain", 3, 3 * 2 * 8)
    assert abs(loss - math.log(300)) < 0.5  # nothing is known yet
    first, last = (base_lib.load_base(tmp_path / name) for name in ("first", "last"))
    assert first.spec == last.spec == spec
    assert first.tokenizer.to_str() == tokenizer.to_str()
    # Files hold bfloat16.
    assert _largest_difference(last.params, end) < 0.01 < _largest_difference(last.params, start)
    assert _largest_difference(first.params, last.params) > 0.01


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path, small, monkeypatch):
    spec, start, tokenizer = small
    whole = pretrain.train(_run(tmp_path / "whole"), _stage(6), *small)
    monkeypatch.setattr(pretrain, "_LOG_EVERY", 1)
    stop = tmp_path / "stopped"

    def killed(stage, step, tokens, loss):
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain.train(pretrain.Run(stop, stop / "checkpoints", 2, 8, killed), _stage(6), *small)
    reports = []
    resumed = pretrain.train(_run(stop, reports), _stage(6), *small)
    assert [step for _, step, _, _ in reports] == [4, 5, 6]
    assert _largest_difference(whole, resumed) == 0


def test_only_a_run_of_the_same_settings_and_weights_is_gone_on_from(tmp_path, small):
    spec, start, tokenizer = small
    end = pretrain.train(_run(tmp_path), _stage(3), *small)
    for stage, params in (
            (dataclasses.replace(_stage(3), seed=8), start),
            (dataclasses.replace(_stage(3), peak_learning_rate=0.5), start), (_stage(3), end)):
        reports = []
        pretrain.train(_run(tmp_path, reports), stage, spec, params, tokenizer)
        assert reports[-1][:2] == ("pretrain", 3)
    reports = []
    assert _largest_difference(pretrain.train(_run(tmp_path, reports), _stage(3), *small), end) == 0
    assert not reports


def test_a_finished_stage_writes_its_last_model_again(tmp_path, small):
    stage = _stage(3, {3: "last"})
    pretrain.train(_run(tmp_path), stage, *small)
    shutil.rmtree(tmp_path / "last")
    pretrain.train(_run(tmp_path), stage, *small)
    assert base_lib.load_base(tmp_path / "last").spec == small[0]


def test_another_number_of_steps_is_refused_once_the_rate_falls(tmp_path, small):
    # Of 10 steps the rate falls after the 7th.
    pretrain.train(_run(tmp_path), _stage(6), *small)
    with pytest.raises(errors.UserError, match="at step 6 of 6, where the rate falls, and cannot go on"):
        pretrain.train(_run(tmp_path), _stage(10), *small)


def test_steps_before_the_rate_falls_do_not_depend_on_how_many_there_are():
    params = {"embed": np.ones((3, 2), np.float32), "layers": np.ones((2, 2, 2), np.float32)}
    moved = {}
    for steps in (200, 400):
        optimizer = pretrain._optimizer(0.1, steps, params)
        update, state, moved[steps] = jax.jit(optimizer.update), optimizer.init(params), []
        for _ in range(160):
            updates, state = update(params, state, params)
            moved[steps].append(float(np.abs(updates["embed"]).max()))
    first = pretrain.falling_from(200)
    assert first == 140 and moved[200][: first + 1] == moved[400][: first + 1]
    assert moved[200][first + 1 :] < moved[400][first + 1 :]


def test_a_loss_that_is_not_finite_is_named(tmp_path, small):
    spec, start, tokenizer = small
    broken = {**start, "embed": start["embed"] * np.nan}
    with pytest.raises(errors.UserError, match="loss is nan at step 2 of pretrain"):
        pretrain.train(_run(tmp_path), _stage(2), spec, broken, tokenizer)
