"""What tokens cost, all positions at once: the fast path, which codes nothing.

Blocked over the tokens, so that no [B, L, V] array is alive. The floats are not those of the
step that `tokens` codes with (another executable rounds otherwise), so a sum of these costs
is near the length of a file and never the length itself.

Shape suffixes: B rows, L positions, D width, M tokens of a block, V vocabulary.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from sah_jax.coding import freqs

# A block has enough tokens to keep a matrix unit busy, and its logits take at most 128 MB.
_BLOCK_TOKENS = 1024
_BLOCK_ELEMENTS = 1 << 25


class Costs(NamedTuple):
    """What each token costs in bits, float32 [B, L].

    ideal_bits: -log2 of its probability.
    quantised_bits: -log2 of its integer frequency over 2**30.
    """

    ideal_bits: jax.Array
    quantised_bits: jax.Array


def block_tokens(logits_of: Callable[[jax.Array], jax.Array], hidden_BLD: jax.Array) -> int:
    """Returns how many tokens' logits to have at a time."""
    one = jax.eval_shape(logits_of, jax.ShapeDtypeStruct((1, hidden_BLD.shape[-1]), hidden_BLD.dtype))
    tokens = hidden_BLD.shape[0] * hidden_BLD.shape[1]
    return max(1, min(tokens, _BLOCK_TOKENS, _BLOCK_ELEMENTS // one.shape[-1]))


def in_blocks(x_BL: jax.Array, block: int) -> jax.Array:
    """Returns [B, L, ...] as [blocks, block, ...], padded with zeros."""
    x_N = x_BL.reshape(-1, *x_BL.shape[2:])
    pad = [(0, -len(x_N) % block)] + [(0, 0)] * (x_N.ndim - 1)
    return jnp.pad(x_N, pad).reshape(-1, block, *x_N.shape[1:])


def of_tokens(
    logits_of: Callable[[jax.Array], jax.Array], hidden_BLD: jax.Array, targets_BL: jax.Array
) -> Costs:
    """Returns the costs of the tokens after each position.

    Args:
      logits_of: maps hidden states [M, D] to float32 logits [M, V].
      hidden_BLD: last hidden states.
      targets_BL: int32, the token after each position.
    """
    block = block_tokens(logits_of, hidden_BLD)

    def cost(inputs):
        hidden_MD, targets_M = inputs
        return Costs(*freqs.lengths(logits_of(hidden_MD), targets_M))

    costs = jax.lax.map(cost, (in_blocks(hidden_BLD, block), in_blocks(targets_BL, block)))
    return jax.tree.map(lambda x: x.reshape(-1)[: targets_BL.size].reshape(targets_BL.shape), costs)
