"""What tokens cost, all positions at once: the fast path, which codes nothing.

Blocked over the tokens, so that no [B, L, V] array is alive. The floats are not those of the
step that `tokens` codes with (another executable rounds otherwise), so a sum of these costs
is near the length of a file and never the length itself.

Shape suffixes: B rows, L positions, D width, M tokens of a block, V vocabulary,
P parts of the rows, S blocks, N tokens of a part.
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


def block_tokens(logits_of: Callable[[jax.Array], jax.Array], hidden_BLD: jax.Array, parts: int) -> int:
    """Returns how many tokens' logits a device has at a time, its rows being one of so many parts."""
    one = jax.eval_shape(logits_of, jax.ShapeDtypeStruct((1, hidden_BLD.shape[-1]), hidden_BLD.dtype))
    tokens = hidden_BLD.shape[0] * hidden_BLD.shape[1] // parts
    return max(1, min(tokens, _BLOCK_TOKENS, _BLOCK_ELEMENTS // one.shape[-1]))


def in_blocks(x_BL: jax.Array, block: int, parts: int) -> jax.Array:
    """Returns [B, L, ...] as [blocks, parts * block, ...], padded with zeros.

    A block has `block` tokens of each part of the rows, so what is split over devices stays there.
    """
    x_PN = x_BL.reshape(parts, -1, *x_BL.shape[2:])
    pad = [(0, 0), (0, -x_PN.shape[1] % block)] + [(0, 0)] * (x_PN.ndim - 2)
    x_PSM = jnp.pad(x_PN, pad).reshape(parts, -1, block, *x_PN.shape[2:])
    return jnp.moveaxis(x_PSM, 1, 0).reshape(-1, parts * block, *x_PN.shape[2:])


def _from_blocks(x_SM: jax.Array, parts: int, shape: tuple[int, int]) -> jax.Array:
    """Undoes `in_blocks` for an array of a shape [B, L]."""
    x_PN = jnp.moveaxis(x_SM.reshape(len(x_SM), parts, -1), 0, 1).reshape(parts, -1)
    return x_PN[:, : shape[0] * shape[1] // parts].reshape(shape)


def of_tokens(
    logits_of: Callable[[jax.Array], jax.Array], hidden_BLD: jax.Array, targets_BL: jax.Array, parts: int = 1
) -> Costs:
    """Returns the costs of the tokens after each position.

    Args:
      logits_of: maps hidden states [M, D] to float32 logits [M, V].
      hidden_BLD: last hidden states.
      targets_BL: int32, the token after each position.
      parts: how many devices the rows are split over, evenly.
    """
    return Costs(*blocked(freqs.lengths, logits_of, hidden_BLD, targets_BL, parts))


def blocked(
    function: Callable, logits_of: Callable, hidden_BLD: jax.Array, targets_BL: jax.Array, parts: int = 1
):
    """Returns what a function makes of the logits and the token after each position, a block at a time.

    Args:
      function: from float32 logits [M, V] and int32 tokens [M] to a tree of arrays [M].
      logits_of, hidden_BLD, targets_BL, parts: as in `of_tokens`.

    Returns:
      The tree, its arrays [B, L].
    """
    block = block_tokens(logits_of, hidden_BLD, parts)

    def of_block(inputs):
        hidden_MD, targets_M = inputs
        return function(logits_of(hidden_MD), targets_M)

    found = jax.lax.map(of_block, tuple(in_blocks(x, block, parts) for x in (hidden_BLD, targets_BL)))
    return jax.tree.map(lambda x: _from_blocks(x, parts, targets_BL.shape), found)
