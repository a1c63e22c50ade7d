"""Cross entropy without a [B, L, V] array: blocked over the tokens.

Shape suffixes as in `sah_jax.models.decoder`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from sah_jax.coding import costs


def summed_cross_entropy(
    logits_of: Callable[[jax.Array], jax.Array],
    hidden_BLD: jax.Array,
    targets_BL: jax.Array,
    weights_BL: jax.Array,
    parts: int = 1,
) -> jax.Array:
    """Returns the sum of weights * -log p(target), in nats, as a float32 scalar.

    Args:
      logits_of: maps hidden states [block, D] to float32 logits [block, V].
      hidden_BLD: last hidden states.
      targets_BL: int32 token after each position.
      weights_BL: float32, 0 where a position does not count.
      parts: how many devices the rows are split over, evenly.
    """
    block = costs.block_tokens(logits_of, hidden_BLD, parts)

    # The block's logits are computed again in the backward pass rather than kept.
    @jax.checkpoint
    def block_sum(hidden_MD, targets_M, weights_M):
        logits_MV = logits_of(hidden_MD)
        chosen_M = jnp.take_along_axis(logits_MV, targets_M[:, None], axis=-1)[:, 0]
        return jnp.sum(weights_M * (jax.nn.logsumexp(logits_MV, axis=-1) - chosen_M))

    def add(total, inputs):
        return total + block_sum(*inputs), None

    inputs = tuple(costs.in_blocks(x, block, parts) for x in (hidden_BLD, targets_BL, weights_BL))
    return jax.lax.scan(add, jnp.float32(0), inputs)[0]
