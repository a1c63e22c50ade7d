"""The training step: one jitted function per family, with the base as an argument."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from sah_jax.models import decoder as decoder_lib
from sah_jax.models import sharding
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


class Places(NamedTuple):
    """Where a step's arguments live: a `NamedSharding` for each leaf. The base stays where it is."""

    state: FitState
    batch: Batch


def places(decoder: decoder_lib.Decoder, state: FitState, rows: int) -> Places | None:
    """Returns where a step's arguments live on the decoder's mesh; None without one.

    Args:
      decoder: the model.
      state: arrays or their shapes.
      rows: of a batch.

    Raises:
      UserError: see `sharding.partition_specs`.
    """
    if decoder.mesh is None:
        return None
    batch = Batch(*(jax.ShapeDtypeStruct((rows, 1), dtype) for dtype in (jnp.int32, jnp.float32)))
    return Places(*(sharding.shardings(tree, decoder.mesh) for tree in (state, batch)))


def mean_loss(decoder: decoder_lib.Decoder, variables: dict, batch: Batch) -> jax.Array:
    """Returns the mean cross entropy in nats over the tokens that count (0 if none does)."""
    hidden_BLD = decoder.apply(variables, batch.tokens_BL[:, :-1], method="hidden")
    weights_BL = batch.weights_BL[:, 1:]
    total = losses.summed_cross_entropy(
        decoder_lib.logits_of(decoder, variables), hidden_BLD, batch.tokens_BL[:, 1:], weights_BL,
        sharding.batch_parts(len(hidden_BLD), decoder.mesh))
    return total / jnp.maximum(jnp.sum(weights_BL), 1.0)


def make_step(
    decoder: decoder_lib.Decoder,
    optimizer: optax.GradientTransformation,
    expand: Callable[[Any, dict], dict],
    placed: Places | None = None,
) -> Callable[[FitState, dict, Batch], tuple[FitState, jax.Array]]:
    """Returns the jitted step (state, params, batch) -> (state, loss before the update).

    `expand(theta, params)` gives the variables of the adapted model; the loss is
    differentiated with respect to θ alone. The state is donated. Where `placed` is given, the step
    runs on its mesh, and a new state lies as the old one.
    """

    def step(state: FitState, params: dict, batch: Batch) -> tuple[FitState, jax.Array]:
        loss_of = lambda theta: mean_loss(decoder, expand(theta, params), batch)
        loss, gradient = jax.value_and_grad(loss_of)(state.theta)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.theta)
        return FitState(optax.apply_updates(state.theta, updates), opt_state), loss

    if placed is None:
        return jax.jit(step, donate_argnums=0)
    everywhere = NamedSharding(decoder.mesh, P())
    return jax.jit(
        step, donate_argnums=0, in_shardings=(placed.state, None, placed.batch),
        out_shardings=(placed.state, everywhere))
