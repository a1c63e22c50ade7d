"""Prequentially coded data: the reader learns what the writer learned."""

import dataclasses
import json
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import orders
import pytest

from sah_jax import errors
from sah_jax.coding import file
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, header, online, registry
from sah_jax.tasks import base as task_lib
from sah_jax.training import metrics


def _fit(base, task, seed=0, **changes) -> online.OnlineTheta:
    setting = family_lib.parse_setting(
        online.Online(), {"num_examples": 12, "learning_rate": 1e-3, "max_tokens": 128, **changes})
    return online.Online().fit(setting, base, task, seed, codec.silent)


def _bits(program: codec.Program, field: str) -> float:
    return sum(entry.ideal_bits for entry in program.ledger if entry.field == field)


def test_later_examples_cost_less_after_training_on_earlier_ones(nano, nano_math):
    cost = {}
    for rate in (1e-9, 3e-3):
        cost[rate] = _bits(
            codec.write(online.Online(), _fit(nano, nano_math, num_examples=64, learning_rate=rate), nano),
            "examples")
    assert cost[3e-3] < cost[1e-9]


def test_more_epochs_cost_no_bits_but_change_the_model(nano, nano_math):
    once, twice = (
        codec.write(online.Online(), _fit(nano, nano_math, epochs=epochs), nano) for epochs in (1, 2))
    assert once.bits == twice.bits
    assert once.adapted.digest() != twice.adapted.digest()


def test_answer_positions_are_found_by_a_cue_or_coded(nano, nano_math):
    theta = _fit(nano, nano_math)
    assert "Answer:".endswith(nano.decode(theta.cue))
    by_cue = codec.write(online.Online(), theta, nano)
    by_position = codec.write(
        online.Online(), dataclasses.replace(theta, cue=()), nano)
    assert _bits(by_cue, "answer positions") == 0 < _bits(by_position, "answer positions")
    assert by_cue.adapted.digest() == by_position.adapted.digest()
    assert codec.read(by_position.data, nano).adapted.digest() == by_cue.adapted.digest()


def test_longest_examples_are_coded_without_an_end(nano, nano_math):
    lengths = [len(e.prompt) + len(e.answer) for e in _fit(nano, nano_math).examples]
    # Just long enough: the longest example has no room for its end token.
    theta = _fit(nano, nano_math)
    exact = dataclasses.replace(theta, form=dataclasses.replace(theta.form, max_tokens=max(lengths)))
    program = codec.write(online.Online(), exact, nano)
    assert codec.read(program.data, nano).adapted.digest() == program.adapted.digest()


@pytest.mark.parametrize("claim, message", [
    (200, "end before the program does"), (1 << 20, "claims 1048576 examples"),
    ((1 << 32) - 1, "claims 4294967295 examples")])
def test_claims_beyond_the_file_are_refused_early(claim, message, nano, nano_math):
    theta = _fit(nano, nano_math)
    # A header that claims more examples than follow it.
    writer = file.ProgramWriter()
    codec.write_header(writer, registry.names().index("online"), codec.PLAIN)
    header.write(writer, dataclasses.replace(theta.form, num_examples=claim), theta.seed, nano)
    online._write_cue(writer, theta.cue, nano)
    with pytest.raises(errors.UserError, match=message):
        codec.read(writer.close() + codec.write(online.Online(), theta, nano).data, nano)


@pytest.mark.parametrize("changes, message", [
    ({"batch_size": 3}, "batch_size is 3"), ({"epochs": 0}, "epochs is 0"),
    ({"learning_rate": 0.00123}, "learning_rate is 0.00123"), ({"num_examples": 0}, "num_examples is 0")])
def test_impossible_settings_are_refused(changes, message, nano, nano_math):
    with pytest.raises(errors.UserError, match=message):
        _fit(nano, nano_math, **changes)


def test_the_losses_of_all_steps_are_told_and_change_nothing(nano, nano_math, monkeypatch):
    theta, told, learners = _fit(nano, nano_math, num_examples=12, batch_size=2, epochs=5, replay=1), [], []
    make = online.make_learner
    monkeypatch.setattr(online, "make_learner", lambda *given: learners.append(make(*given)) or learners[-1])
    report = metrics.Report(codec.silent, lambda lane, before, own: told.append((lane, before, own)))
    heard = codec.write(online.Online(), theta, nano, report)
    # Six blocks of a step and a replayed one, then four epochs: told when 20 have gathered, and at the end.
    assert [(lane, before, len(own)) for lane, before, own in told] == [(0, 0, 20), (0, 20, 16)]
    losses = [float(loss) for loss in learners[0].losses]
    assert np.concatenate([own for _, _, own in told]).tolist() == losses and len(set(losses)) > 30
    assert codec.write(online.Online(), theta, nano).data == heard.data


def test_divergence_is_an_error(nano, nano_math):
    broken = {**nano.params, "embed": nano.params["embed"].at[5].set(jnp.nan)}
    with pytest.raises(errors.UserError, match="is not finite|is nan"):
        codec.write(
            online.Online(), _fit(nano, nano_math), dataclasses.replace(nano, params=broken))


class _Gsm8k:
    """GSM8K's training questions, as a source of examples."""

    name = "gsm8k"

    def __init__(self, path):
        self._rows = [json.loads(line) for line in path.read_text().splitlines()]

    def examples(self, split, num, seed=0):
        return [task_lib.Example(f"Question: {row['question']}\nAnswer:", f" {row['answer']}", "")
                for row in self._rows[:num]]


@pytest.mark.long
def test_real_text_decodes_in_a_fresh_process(nano, shared_data, tmp_path, child_environment):
    task = _Gsm8k(shared_data / "gsm8k" / "train.jsonl")
    program = codec.write(
        online.Online(), _fit(nano, task, num_examples=40, max_tokens=320), nano)
    orders.write(tmp_path, {"program.sah": program.data})
    done = subprocess.run(
        [sys.executable, "-m", "sah_jax", "rebuild", tmp_path], env=child_environment, capture_output=True,
        text=True, check=False)
    assert done.returncode == 0, done.stderr
    (got,) = orders.answers(done.stdout)
    assert got["adapted_digest"] == program.adapted.digest()
    size = (tmp_path / "program.sah").stat().st_size
    assert got["bits"] == 8 * size == sum(bits for _, bits in got["ledger"])
