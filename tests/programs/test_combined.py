"""Steps of training on coded examples, reweighted by coded numbers: the reader replays and weighs them."""

import dataclasses

import jax
import letters
import numpy as np
import pytest

from sah_jax import errors
from sah_jax.coding import file, scales
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, combined, header, latents, lowrank, online, quantised, registry
from sah_jax.programs import learner as learner_lib
from sah_jax.training import examples as examples_lib
from sah_jax.training import step as step_lib

FAMILY, TASK, SEED = combined.Combined(), letters.Letters(), 2
STEPS, EXAMPLES, ROWS, TOKENS, RANK, ALPHA = 3, 14, 4, 16, 2, 6
GIVEN = {
    "coded_examples": EXAMPLES, "data_rate": 0.01, "steps": STEPS, "batch_size": ROWS, "rank": RANK,
    "alpha": ALPHA, "max_tokens": TOKENS, "learning_rate": 0.05, "num_examples": 8, "epochs": 15}
EXPONENT = -12


def _setting(**changes):
    return family_lib.parse_setting(FAMILY, {**GIVEN, **changes})


def _theta(extra, symbols_of, exponent=EXPONENT, steps=STEPS):
    form = combined.CombinedForm(steps=steps)
    names = [f"{group}/{name}/coefficients" for group, name in lowrank.PROJECTIONS]
    symbols = {name: np.asarray(symbols_of(number), np.int32) for number, name in enumerate(names)}
    return quantised.Theta(form, SEED, latents.Latents(symbols, dict.fromkeys(names, exponent)), extra)


def _zeros(number):
    return np.zeros((3, STEPS))


def _drawn(number):
    return np.random.default_rng(number).integers(-9, 10, (3, STEPS))


@pytest.fixture(scope="module")
def extra(tiny_base) -> online.OnlineTheta:
    """Phase one: what it codes."""
    return FAMILY.extra(_setting(), tiny_base, TASK, SEED)


@pytest.fixture(scope="module")
def learned(tiny_base, extra) -> list:
    """θ of a learner before and after each step on the blocks of phase one."""
    learner = online.make_learner(extra.form, SEED, tiny_base)
    found = [jax.device_get(learner.theta)]
    for first in range(0, EXAMPLES, ROWS):
        learner.train(extra.examples[first : first + ROWS])
        found.append(jax.device_get(learner.theta))
    return found


@pytest.fixture(scope="module")
def drawn(tiny_base, extra) -> codec.Program:
    """A program of random coefficients."""
    return codec.write(FAMILY, _theta(extra, _drawn), tiny_base)


def test_phase_one_is_what_online_codes(tiny_base, extra, drawn):
    family = online.Online()
    setting = family_lib.parse_setting(family, {
        "num_examples": EXAMPLES, "learning_rate": 0.01, "rank": RANK, "alpha": ALPHA, "optimizer": "adamw",
        "batch_size": ROWS, "max_tokens": TOKENS})
    assert family.fit(setting, tiny_base, TASK, SEED, codec.silent) == extra
    alone = codec.write(family, extra, tiny_base)
    bits = [{entry.field: entry.ideal_bits for entry in program.ledger} for program in (alone, drawn)]
    assert bits[0]["examples"] == bits[1]["examples"] > EXAMPLES
    assert bits[0]["answer cue"] == bits[1]["answer cue"]


def test_zeros_are_phase_one_after_so_many_steps(tiny_base, extra, learned):
    program = codec.write(FAMILY, _theta(extra, _zeros), tiny_base)
    assert not program.adapted.unchanged and not program.adapted.portable
    expected = lowrank.expand(learned[STEPS], np.float32(ALPHA / RANK))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
                 program.adapted.program, expected)
    # Phase one went on after that, and did something before.
    for other in (STEPS - 1, STEPS + 1):
        assert any(not np.allclose(x, y, atol=1e-4) for x, y in zip(
            jax.tree.leaves(learned[STEPS]), jax.tree.leaves(learned[other]), strict=True))


def test_steps_that_are_all_taken_back_are_the_base_model(tiny_base, extra):
    theta = _theta(extra, lambda number: _zeros(number) - 1, exponent=0)  # coefficients of -1
    adapted = codec.write(FAMILY, theta, tiny_base).adapted
    tokens, apply = np.arange(1, 13)[None], jax.jit(tiny_base.decoder.apply)
    np.testing.assert_array_equal(
        apply(adapted.variables(tiny_base), tokens), apply({"params": tiny_base.params}, tokens))


def test_each_layer_and_projection_weighs_its_own_steps(drawn, extra, learned):
    for number, (group, name) in enumerate(lowrank.PROJECTIONS):
        weights = 1 + _drawn(number) * float(scales.step(EXPONENT))  # [layers, steps]
        for factor, scale in (("a", 1.0), ("b", ALPHA / RANK)):
            seen = np.float64([theta[f"{group}/{name}"][factor] for theta in learned[: STEPS + 1]])
            summed = seen[0] + np.einsum("js,sj...->j...", weights, np.diff(seen, axis=0))
            found = drawn.adapted.program["layers"][group][name][factor]
            np.testing.assert_allclose(found, scale * summed, rtol=1e-5, atol=1e-6)


def test_the_file_decodes_to_the_model_that_was_written(drawn, tiny_base):
    read = codec.read(drawn.data, tiny_base)
    assert read.family == "combined"
    assert read.adapted.digest() == drawn.adapted.digest()
    assert read.ledger == drawn.ledger


def test_a_coefficient_costs_its_bits(drawn, tiny_base, extra):
    zeros = codec.write(FAMILY, _theta(extra, _zeros), tiny_base)
    count = len(lowrank.PROJECTIONS) * 3 * STEPS
    assert 2 * count < drawn.ideal_bits - zeros.ideal_bits < 8 * count
    assert sum(entry.ideal_bits for entry in zeros.ledger if "coefficients" in entry.field) < 3 * 7


def test_the_file_gives_the_model_that_was_trained(tiny_base, extra):
    told = []
    theta = FAMILY.fit(_setting(), tiny_base, TASK, SEED, told.append)
    assert theta.extra == extra
    batch = examples_lib.batch_of(
        tiny_base, examples_lib.first_fitting(tiny_base, TASK, 8, TOKENS, SEED), 8, TOKENS)
    after, before = (
        float(step_lib.mean_loss(tiny_base.decoder, adapted.variables(tiny_base), batch)) for adapted in (
            codec.read(codec.write(FAMILY, theta, tiny_base).data, tiny_base).adapted,
            codec.write(FAMILY, _theta(extra, _zeros), tiny_base).adapted))
    trained = float(told[-1].split("loss ")[1].split()[0])
    assert after < 1.1 * trained and trained < before


def test_a_fit_hangs_on_the_seed_alone(tiny_base):
    short = _setting(epochs=2, learning_rate=0.2)
    first, again, other = (
        FAMILY.fit(short, tiny_base, TASK, seed, codec.silent) for seed in (SEED, SEED, SEED + 1))
    jax.tree.map(np.testing.assert_array_equal, first.latents.symbols, again.latents.symbols)
    assert first.extra == again.extra != other.extra


@pytest.mark.parametrize("changes, message", [
    # Four blocks of up to four examples.
    ({"steps": 5}, "combined reweights 5 steps, phase one has 4; code more examples or set steps to fewer"),
    ({"steps": 257}, "steps is 257, expected 1 to 256"), ({"rank": 3}, "combined's setting rank is 3"),
    ({"batch_size": 3}, "batch_size is 3"), ({"data_rate": 0.00123}, "data_rate is 0.00123"),
    ({"optimizer": "sgd"}, "optimizer is sgd, expected one of adam, adamw")])
def test_impossible_settings_are_refused(changes, message, tiny_base):
    with pytest.raises(errors.UserError, match=message):
        FAMILY.fit(_setting(**changes), tiny_base, TASK, SEED, codec.silent)


def test_a_phase_one_that_diverges_is_an_error(tiny_base):
    head = np.full(tiny_base.params["head"].shape, np.nan, np.float32)
    broken = dataclasses.replace(tiny_base, params={**tiny_base.params, "head": head})
    with pytest.raises(errors.UserError, match="training loss of combined with learning rate 0.01 is not"):
        FAMILY.fit(_setting(), broken, TASK, SEED, codec.silent)


def test_as_many_steps_as_phase_one_has_are_enough(tiny_base, extra, learned):
    theta = _theta(extra, lambda number: np.zeros((3, 4)), steps=4)
    adapted = FAMILY._adapted(theta, tiny_base)
    expected = lowrank.expand(learned[4], np.float32(ALPHA / RANK))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
                 adapted.program, expected)


def _file(base, extra, steps=STEPS):
    """A file up to its coefficients, some of which follow."""
    writer = file.ProgramWriter()
    codec.write_header(writer, registry.names().index("combined"), codec.PLAIN)
    header.write(writer, combined.CombinedForm(steps=steps), SEED, base)
    online.write_examples("combined", extra, writer, base, codec.silent)
    for group, name in lowrank.PROJECTIONS:
        found = latents.Latents({f"{group}/{name}": np.ones((3, steps), np.int32)}, {f"{group}/{name}": 0})
        latents.write(writer, found, 8, {f"{group}/{name}": None}, True)
    return writer.close()


def test_a_file_whose_phase_one_trains_all_weights_is_refused(tiny_base, extra):
    whole = dataclasses.replace(extra, form=dataclasses.replace(extra.form, learner="full"))
    with pytest.raises(errors.UserError, match="phase one trains full, which has no pairs to reweight"):
        codec.read(_file(tiny_base, whole), tiny_base)


def test_a_file_that_reweights_more_steps_than_it_has_is_refused(tiny_base, extra):
    with pytest.raises(errors.UserError, match="reweights 5 steps, phase one has 4"):
        codec.read(_file(tiny_base, extra, steps=5), tiny_base)


def test_phase_one_is_counted_as_often_as_it_is_trained(tiny_base, extra, drawn, monkeypatch):
    trained, train = [], learner_lib.Learner.train
    monkeypatch.setattr(
        learner_lib.Learner, "train", lambda self, batch: trained.append(1) or train(self, batch))
    codec.read(drawn.data, tiny_base)
    times = len(trained) // -(-EXAMPLES // ROWS)
    found = FAMILY.accounts(_setting(), _theta(extra, _zeros), tiny_base)
    once = online.Online().accounts(extra.form, extra, tiny_base).decode_flops
    assert found.decode_flops == times * once > 0
    # A fit trains both phases, and more epochs are of the second alone.
    longer = FAMILY.accounts(_setting(epochs=2 * GIVEN["epochs"]), _theta(extra, _zeros), tiny_base)
    assert 2 * found.train_flops - longer.train_flops == once
