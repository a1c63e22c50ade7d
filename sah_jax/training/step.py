"""The training step: one jitted function per family, with the base as an argument."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from sah_jax.models import decoder as decoder_lib
from sah_jax.training import losses


class Batch(NamedTuple):
    """Right-padded token sequences.

    tokens_BL: int32, each row begins with the start token.
    weights_BL: float32; weight of the prediction *of* each token (column 0 never counts).
    """

    tokens_BL: jax.Array
    weights_BL: jax.Array


class FitState(NamedTuple):
    """What training carries; the base `params` are not part of it."""

    theta: Any
    opt_state: Any


def mean_loss(decoder: decoder_lib.Decoder, variables: dict, batch: Batch) -> jax.Array:
    """Returns the mean cross entropy in nats over the tokens that count (0 if none does)."""
    hidden_BLD = decoder.apply(variables, batch.tokens_BL[:, :-1], method="hidden")
    weights_BL = batch.weights_BL[:, 1:]
    total = losses.summed_cross_entropy(
        lambda hidden: decoder.apply(variables, hidden, method="logits"),
        hidden_BLD, batch.tokens_BL[:, 1:], weights_BL)
    return total / jnp.maximum(jnp.sum(weights_BL), 1.0)


def make_step(
    decoder: decoder_lib.Decoder,
    optimizer: optax.GradientTransformation,
    expand: Callable[[Any, dict], dict],
) -> Callable[[FitState, dict, Batch], tuple[FitState, jax.Array]]:
    """Returns the jitted step (state, params, batch) -> (state, loss before the update).

    `expand(theta, params)` gives the variables of the adapted model; the loss is
    differentiated with respect to θ alone. The state is donated.
    """

    def step(state: FitState, params: dict, batch: Batch) -> tuple[FitState, jax.Array]:
        loss_of = lambda theta: mean_loss(decoder, expand(theta, params), batch)
        loss, gradient = jax.value_and_grad(loss_of)(state.theta)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.theta)
        return FitState(optax.apply_updates(state.theta, updates), opt_state), loss

    return jax.jit(step, donate_argnums=0)
