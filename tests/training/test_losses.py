"""The blocked cross entropy is the plain one, without its memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sah_jax.coding import costs
from sah_jax.training import losses

WIDTH, VOCABULARY = 6, 37


def _plain(logits_of, hidden_BLD, targets_BL, weights_BL):
    log_probs_BLV = jax.nn.log_softmax(logits_of(hidden_BLD), axis=-1)
    chosen_BL = jnp.take_along_axis(log_probs_BLV, targets_BL[..., None], axis=-1)[..., 0]
    return -jnp.sum(weights_BL * chosen_BL)


def _problem(batch, length):
    rng = np.random.default_rng(0)
    head_DV = jnp.asarray(rng.normal(size=(WIDTH, VOCABULARY)), jnp.float32)
    hidden_BLD = jnp.asarray(rng.normal(size=(batch, length, WIDTH)), jnp.float32)
    targets_BL = jnp.asarray(rng.integers(0, VOCABULARY, (batch, length)), jnp.int32)
    weights_BL = rng.uniform(0.5, 2, (batch, length)) * rng.integers(0, 2, (batch, length))
    weights_BL[-1, -1] = 1.5  # the last token counts, wherever the last block begins
    return head_DV, hidden_BLD, targets_BL, jnp.asarray(weights_BL, jnp.float32)


def _of(loss, targets_BL, weights_BL):
    """The loss as a function of head and hidden states."""
    return lambda head_DV, hidden_BLD: loss(
        lambda hidden: hidden @ head_DV, hidden_BLD, targets_BL, weights_BL)


def _sizes(jaxpr):
    """The sizes of all arrays in a jaxpr, those of the jaxprs inside it included."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.size for variable in equation.outvars)
        for parameter in jax.tree.leaves(
                equation.params, is_leaf=lambda leaf: isinstance(leaf, jax.extend.core.ClosedJaxpr)):
            inner = getattr(parameter, "jaxpr", parameter)
            if isinstance(inner, jax.extend.core.Jaxpr):
                yield from _sizes(inner)


@pytest.mark.parametrize("block, batch, length", [
    (1024, 3, 5),  # one block, smaller than its limit
    (15, 3, 5),  # exactly one block
    (5, 3, 5),  # several full blocks
    (4, 3, 5),  # the last block is filled up
    (14, 3, 5),
    (1, 1, 7),
])
def test_blocks_give_the_plain_loss_and_gradient(monkeypatch, block, batch, length):
    monkeypatch.setattr(costs, "_BLOCK_TOKENS", block)
    head_DV, hidden_BLD, targets_BL, weights_BL = _problem(batch, length)
    blocked, plain = (
        jax.value_and_grad(_of(loss, targets_BL, weights_BL), argnums=(0, 1))(head_DV, hidden_BLD)
        for loss in (losses.summed_cross_entropy, _plain))
    assert blocked[0].dtype == jnp.float32 and blocked[0].shape == ()
    jax.tree.map(
        lambda got, expected: np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5),
        blocked, plain)


def test_a_position_without_weight_has_neither_loss_nor_gradient():
    head_DV, hidden_BLD, targets_BL, _ = _problem(2, 4)
    loss = _of(losses.summed_cross_entropy, targets_BL, jnp.zeros((2, 4)))
    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(head_DV, hidden_BLD)
    assert value == 0
    assert not any(np.any(gradient) for gradient in gradients)


def test_no_array_holds_the_logits_of_all_tokens():
    head_DV, hidden_BLD, targets_BL, weights_BL = _problem(8, 1024)
    largest = {}
    for loss in (losses.summed_cross_entropy, _plain):
        gradient = jax.grad(_of(loss, targets_BL, weights_BL), argnums=(0, 1))
        largest[loss] = max(_sizes(jax.make_jaxpr(gradient)(head_DV, hidden_BLD).jaxpr))
    assert largest[_plain] >= 8 * 1024 * VOCABULARY  # so the search sees it where it is
    assert largest[losses.summed_cross_entropy] < 8 * 1024 * VOCABULARY / 4
