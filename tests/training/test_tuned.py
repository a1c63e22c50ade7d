"""One step for many settings: what moves θ are arguments, and lanes of it are fits of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sah_jax.models import config as config_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import rope
from sah_jax.programs import lowrank
from sah_jax.training import step as step_lib
from sah_jax.training import tuned

SPEC = config_lib.ModelConfig(
    vocab_size=29, width=16, ffn=24, layers=2, heads=4, kv_heads=2, head_dim=6, max_positions=32,
    norm_eps=1e-5, ropes=(rope.Rope(1e4),) * 2, tied_embedding=True, start_token=0, end_tokens=(0,))
DECODER = decoder_lib.Decoder(SPEC)
ROWS, LENGTH = 3, 10
STEPS = 6
TUNING = tuned.Tuning(
    np.float32(0.01), np.float32(1), np.float32(0), np.int32(1 << 20), np.int32(0))
KNOBS = {"seed": np.int32(1), "scale": np.float32(2), "weight": np.float32(0)}


def _batch(seed):
    rng = np.random.default_rng(seed)
    return step_lib.Batch(
        rng.integers(0, SPEC.vocab_size, (ROWS, LENGTH)).astype(np.int32),
        (rng.uniform(size=(ROWS, LENGTH)) < 0.6).astype(np.float32))


NO_LOSS = _batch(0)._replace(weights_BL=np.zeros((ROWS, LENGTH), np.float32))
"""A batch in which no token counts: the penalty alone has a gradient."""


def _start(knobs):
    drawn = lowrank.start(DECODER, 2, knobs["seed"])
    # Both factors are not zero, so that both have a gradient from the first step on.
    return jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(x.size), x.shape), drawn)


def _expand(theta, params, knobs, moment):
    return {"params": params, "program": lowrank.expand(theta, knobs["scale"])}


def _squares(theta, knobs, moment):
    return knobs["weight"] * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(theta))


LOW_RANK = tuned.Problem(DECODER, _start, _expand, KNOBS, _squares)


def _penalised(penalty, speeds=None):
    """A problem of three numbers that only a penalty moves."""
    start = lambda knobs: {"x": jnp.float32([1.0, -2.0, 0.0])}
    return tuned.Problem(
        DECODER, start, lambda theta, params, knobs, moment: {"params": params}, {}, penalty, speeds)


@pytest.fixture(scope="module")
def params():
    new = jax.jit(DECODER.init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    return new | {"embed": 20 * new["embed"]}


def _run(problem, params, tuning, knobs, steps=STEPS, batch_of=_batch):
    """Returns the states before and after each step (fetched) and the losses."""
    step = tuned.make_step(problem, ROWS)
    state, losses = step.start(knobs), []
    seen = [jax.device_get(state)]
    for number in range(steps):
        state, loss = step.run(state, params, batch_of(number), tuning, knobs)
        seen.append(jax.device_get(state))
        losses.append(float(loss))
    return seen, losses


def _close(tree, other, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), tree, other)


def _same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_step_is_that_of_adam_and_with_decay_of_adamw(decay, params):
    seen, losses = _run(LOW_RANK, params, TUNING._replace(weight_decay=np.float32(decay)), KNOBS)
    optimizer = optax.adamw(0.01, weight_decay=decay) if decay else optax.adam(0.01)
    step = step_lib.make_step(
        DECODER, optimizer, lambda theta, params: _expand(theta, params, KNOBS, None))
    theta = jax.tree.map(jnp.array, seen[0].theta)
    state = step_lib.FitState(theta, optimizer.init(theta))
    for number in range(STEPS):
        state, loss = step(state, params, _batch(number))
        # Where a gradient is all rounding, Adam's direction is too.
        _close(seen[number + 1].theta, jax.device_get(state.theta), rtol=0, atol=1e-5)
        assert losses[number] == pytest.approx(float(loss), rel=1e-5)
    moved = [np.abs(x - y).max() for x, y in zip(
        jax.tree.leaves(seen[0].theta), jax.tree.leaves(seen[-1].theta), strict=True)]
    assert min(moved) > 0.01


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0, 0.0])
def test_the_rate_falls_as_a_cosine_to_its_final_share(share, params):
    steps = 40
    problem = _penalised(lambda theta, knobs, moment: jnp.sum(theta["x"]))
    tuning = TUNING._replace(final_share=np.float32(share), steps=np.int32(steps))
    seen, _ = _run(problem, params, tuning, {}, steps + 3, lambda number: NO_LOSS)
    # A constant gradient of 1 moves by the rate.
    rates = -np.diff([state.theta["x"] for state in seen], axis=0)[:, 0] / 0.01
    cosine = 0.5 * (1 + np.cos(np.pi * np.arange(steps) / steps))
    np.testing.assert_allclose(rates[:steps], share + (1 - share) * cosine, atol=1e-4)
    assert abs(rates[steps - 1] - share) < 2e-3
    assert not np.any(rates[steps:])


def test_steps_beyond_the_last_change_nothing(params):
    tuning = TUNING._replace(steps=np.int32(2), weight_decay=np.float32(0.1))
    seen, losses = _run(LOW_RANK, params, tuning, KNOBS, 5, lambda number: _batch(0))
    assert any(np.any(x != y) for x, y in zip(*map(jax.tree.leaves, seen[1:3]), strict=True))
    for state in seen[3:]:
        _same(state, seen[2])
    assert seen[-1].opt_state.count == 2
    # The loss is that of θ as it stays.
    assert losses[2] == losses[3] == losses[4] != losses[1]


def test_one_trace_serves_all_settings(params):
    traces = []

    def expand(*arguments):
        traces.append(1)
        return _expand(*arguments)

    problem, found = tuned.Problem(DECODER, _start, expand, KNOBS, _squares), []
    changes = [
        ({}, {}), ({"learning_rate": np.float32(0.1)}, {}), ({"final_share": np.float32(0.1)}, {}),
        ({"weight_decay": np.float32(0.5)}, {}), ({"steps": np.int32(2)}, {}), ({}, {"seed": np.int32(7)}),
        ({}, {"scale": np.float32(1)}), ({}, {"weight": np.float32(1e-1)})]
    for tuning, knobs in changes:
        # Of two steps: the final share tells where there are few.
        tuning = TUNING._replace(**{"steps": np.int32(4), **tuning})
        found.append(_run(problem, params, tuning, KNOBS | knobs, 3)[0][-1].theta)
    assert len(traces) == 1 == tuned.make_step(problem, ROWS).run._cache_size()
    leaves = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(theta)]) for theta in found]
    assert all(not np.allclose(one, other, atol=1e-5) for number, one in enumerate(leaves)
               for other in leaves[:number])


def test_the_same_problem_has_one_step():
    assert tuned.make_step(LOW_RANK, ROWS) is tuned.make_step(LOW_RANK, ROWS)
    other = tuned.Problem(DECODER, _start, _expand, KNOBS, _squares)
    assert tuned.make_step(other, ROWS) is not tuned.make_step(LOW_RANK, ROWS)
    assert tuned.make_step(LOW_RANK, ROWS, 2) is not tuned.make_step(LOW_RANK, ROWS)


def _gradients(seen, name="x"):
    """Recovers each step's gradient from Adam's running mean of them."""
    means = np.array([state.opt_state.mu[name] for state in seen])
    return (means[1:] - 0.9 * means[:-1]) / 0.1


def test_a_moment_tells_the_share_of_the_steps_that_is_done(params):
    problem = _penalised(lambda theta, knobs, moment: moment.progress * jnp.sum(theta["x"]))
    seen, _ = _run(problem, params, TUNING._replace(steps=np.int32(5)), {}, 5, lambda number: NO_LOSS)
    np.testing.assert_allclose(_gradients(seen)[:, 0], [0, 0.2, 0.4, 0.6, 0.8], atol=1e-5)


def test_a_moment_has_a_key_of_its_own_for_each_step_and_seed(params):
    problem = _penalised(
        lambda theta, knobs, moment: jnp.sum(theta["x"] * jax.random.uniform(moment.key, (3,))))
    run = lambda seed: _gradients(
        _run(problem, params, TUNING._replace(seed=np.int32(seed)), {}, 4, lambda number: NO_LOSS)[0])
    first, again, other = run(3), run(3), run(4)
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.round([first, other], 4))) == first.size + other.size


def test_the_loss_that_is_told_is_the_cross_entropy_without_the_penalty(params):
    plain, weighed = (
        _run(LOW_RANK, params, TUNING, KNOBS | {"weight": np.float32(weight)}, 2) for weight in (0, 3))
    assert plain[1][0] == pytest.approx(weighed[1][0], rel=1e-6)
    expected = step_lib.mean_loss(DECODER, _expand(plain[0][0].theta, params, KNOBS, None), _batch(0))
    assert plain[1][0] == pytest.approx(float(expected), rel=1e-5)
    # But the penalty moves θ.
    assert any(not np.allclose(x, y, atol=1e-3) for x, y in zip(
        jax.tree.leaves(plain[0][-1].theta), jax.tree.leaves(weighed[0][-1].theta), strict=True))


def test_speeds_multiply_the_rate_decay_included(params):
    penalty = lambda theta, knobs, moment: jnp.sum(theta["x"])
    speeds = lambda theta, knobs: {"x": jnp.float32([1.0, 10.0, 0.0])}
    tuning = TUNING._replace(weight_decay=np.float32(0.2))
    (before, after), _ = _run(_penalised(penalty, speeds), params, tuning, {}, 1, lambda number: NO_LOSS)
    expected = 0.01 * np.array([1, 10, 0]) * (1 + 0.2 * before.theta["x"])
    np.testing.assert_allclose(before.theta["x"] - after.theta["x"], expected, rtol=1e-4, atol=1e-6)


def test_lanes_are_steps_of_their_own(params):
    settings = [
        (TUNING._replace(learning_rate=np.float32(rate), steps=np.int32(steps), seed=np.int32(seed)),
         KNOBS | {"seed": np.int32(seed), "weight": np.float32(weight)})
        for rate, steps, seed, weight in ((0.01, 9, 1, 0.0), (0.03, 2, 1, 0.0), (0.01, 9, 5, 0.1))]
    step = tuned.make_step(LOW_RANK, ROWS, len(settings))
    tunings, knobs = (tuned.stack(list(part)) for part in zip(*settings, strict=True))
    state, losses = step.start(knobs), []
    for number in range(4):
        # A batch of its own for each.
        batch = step_lib.Batch(*map(np.stack, zip(
            *(_batch(10 * lane + number) for lane in range(3)), strict=True)))
        state, loss = step.run(state, params, batch, tunings, knobs)
        losses.append(np.asarray(loss))
    for lane, (tuning, own) in enumerate(settings):
        own_batch = lambda number, lane=lane: _batch(10 * lane + number)
        seen, alone = _run(LOW_RANK, params, tuning, own, 4, own_batch)
        found = jax.tree.map(lambda leaf, lane=lane: leaf[lane], state.theta)
        _close(found, seen[-1].theta, rtol=0, atol=2e-5)
        np.testing.assert_allclose(np.array(losses)[:, lane], alone, rtol=1e-4)
    assert state.opt_state.count.tolist() == [4, 2, 4]
