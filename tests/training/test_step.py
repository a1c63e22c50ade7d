"""A step moves θ down the gradient of the mean loss and leaves the base as it is."""

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

SPEC = config_lib.ModelConfig(
    vocab_size=29, width=16, ffn=24, layers=2, heads=4, kv_heads=2, head_dim=6, max_positions=32,
    norm_eps=1e-5, ropes=(rope.Rope(1e4),) * 2, tied_embedding=True, start_token=0, end_tokens=(0,))
DECODER = decoder_lib.Decoder(SPEC)
ROWS, LENGTH = 3, 10


def _expand(theta, params):
    return {"params": params, "program": lowrank.expand(theta, 1.0)}


def _batch(seed):
    rng = np.random.default_rng(seed)
    return step_lib.Batch(
        rng.integers(0, SPEC.vocab_size, (ROWS, LENGTH)).astype(np.int32),
        (rng.uniform(size=(ROWS, LENGTH)) < 0.6).astype(np.float32))


def _copy(tree):
    return jax.tree.map(np.array, tree)


def _assert_same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.fixture(scope="module")
def params():
    new = jax.jit(DECODER.init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    # Of order 1, so that the loss is smooth enough for a difference quotient.
    return new | {"embed": 20 * new["embed"]}


@pytest.fixture(scope="module")
def loss_of():
    return jax.jit(lambda variables, batch: step_lib.mean_loss(DECODER, variables, batch))


class Trained:
    """Twenty steps on one batch, with what could be seen on the way."""

    def __init__(self, params):
        self.params, self.params_before = params, _copy(params)
        self.batch = _batch(0)
        self.theta_before = lowrank.start(DECODER, rank=2, seed=0)
        self.traces, self.gradients = 0, []
        optimizer = optax.adam(1e-2)

        def update(gradient, state, theta):
            self.gradients.append(jax.tree.map(jnp.shape, gradient))
            return optimizer.update(gradient, state, theta)

        def expand(theta, params):
            self.traces += 1
            return _expand(theta, params)

        step = step_lib.make_step(
            DECODER, optax.GradientTransformation(optimizer.init, update), expand)
        # The state is donated, so a copy goes in.
        theta = jax.tree.map(jnp.array, self.theta_before)
        state = step_lib.FitState(theta, optimizer.init(theta))
        self.losses = []
        for _ in range(20):
            state, loss = step(state, params, self.batch)
            self.losses.append(float(loss))
        self.theta = state.theta


@pytest.fixture(scope="module")
def trained(params):
    return Trained(params)


def test_the_loss_falls(trained):
    assert trained.losses[-1] < trained.losses[0] - 0.1
    assert min(trained.losses) == trained.losses[-1]


def test_the_base_is_untouched(trained):
    _assert_same(trained.params, trained.params_before)


def test_twenty_steps_are_traced_once(trained):
    assert trained.traces == 1


def test_only_theta_is_differentiated(trained):
    (gradient,) = trained.gradients
    assert gradient == jax.tree.map(jnp.shape, trained.theta_before)


def test_every_part_of_theta_moves(trained):
    moved = jax.tree.map(
        lambda new, old: bool(np.any(new != old)), trained.theta, trained.theta_before)
    assert all(jax.tree.leaves(moved))


def test_the_loss_returned_is_that_before_the_update(trained, params, loss_of):
    before, after = (
        float(loss_of(_expand(theta, params), trained.batch))
        for theta in (trained.theta_before, trained.theta))
    np.testing.assert_allclose(trained.losses[0], before, rtol=1e-5)
    assert after < trained.losses[-1]


def test_a_step_goes_down_the_gradient(params, loss_of):
    """One step of plain descent, compared with what the loss does nearby."""
    rng = np.random.default_rng(1)
    draw = lambda like, size: jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * size, jnp.float32), like)
    theta = draw(lowrank.start(DECODER, rank=2, seed=0), 0.3)
    optimizer = optax.sgd(1.0)
    step = step_lib.make_step(DECODER, optimizer, _expand)
    state = step_lib.FitState(jax.tree.map(jnp.array, theta), optimizer.init(theta))
    state, _ = step(state, params, _batch(0))
    gradient = jax.tree.map(jnp.subtract, theta, state.theta)
    # Along the gradient, and a little in every direction.
    direction = optax.tree.add(gradient, draw(theta, 0.01 * float(optax.tree.norm(gradient))))
    distance = 1e-2 / float(optax.tree.norm(direction))
    ahead, behind = (
        float(loss_of(_expand(optax.tree.add_scale(theta, way, direction), params), _batch(0)))
        for way in (distance, -distance))
    slope = float(optax.tree.vdot(gradient, direction))
    np.testing.assert_allclose((ahead - behind) / (2 * distance), slope, rtol=2e-3)


def test_the_mean_loss_is_that_of_the_tokens_that_count(params, loss_of):
    tokens_BL, weights_BL = _batch(0)
    log_probs_BLV = jax.nn.log_softmax(
        jax.jit(DECODER.apply)({"params": params}, tokens_BL[:, :-1]), axis=-1)
    counted = [
        -log_probs_BLV[row, column - 1, tokens_BL[row, column]]
        for row in range(ROWS) for column in range(1, LENGTH) if weights_BL[row, column]]
    got = loss_of({"params": params}, step_lib.Batch(tokens_BL, weights_BL))
    np.testing.assert_allclose(got, np.mean(counted), rtol=1e-5)


def test_the_first_column_and_tokens_without_weight_do_not_count(params, loss_of):
    tokens_BL, weights_BL = _batch(0)
    weights_BL[:, 7:] = 0
    loss = loss_of({"params": params}, step_lib.Batch(tokens_BL, weights_BL))
    others_BL, start_BL = tokens_BL.copy(), weights_BL.copy()
    others_BL[:, 7:] = (others_BL[:, 7:] + 1) % SPEC.vocab_size
    start_BL[:, 0] = 5.0
    assert loss == loss_of({"params": params}, step_lib.Batch(others_BL, weights_BL))
    assert loss == loss_of({"params": params}, step_lib.Batch(tokens_BL, start_BL))


def test_a_batch_without_weights_has_no_loss(params, loss_of):
    empty = step_lib.Batch(_batch(0).tokens_BL, np.zeros((ROWS, LENGTH), np.float32))
    assert loss_of({"params": params}, empty) == 0
