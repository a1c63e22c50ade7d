"""Logits to integer frequencies, and the interval of a token under them.

This is the only place where a float becomes a probability the coder uses. After it only
integers exist, and integer sums are exact in any order.

Shape suffixes: B rows, V vocabulary, N blocks of the vocabulary, M tokens of a block.
"""

import jax
import jax.numpy as jnp

from sah_jax.coding import arithmetic

# The part of the total that float32 rounding of the normaliser is allowed to use up; it
# costs every token but the most likely one 9e-5 bits.
_SLACK = 2.0**-14


def from_logits(logits_BV: jax.Array) -> jax.Array:
    """Turns logits into positive integers of which each row sums to exactly 2**30.

    freq = floor(p * (2**30 - V) * (1 - 2**-14)) + 1, and what is left over goes to the most
    likely token. So every token of the vocabulary can be coded. NaN counts as -inf.

    Args:
      logits_BV: float32.

    Returns:
      uint32 [B, V].

    Raises:
      ValueError: the logits are not float32 or the vocabulary is larger than 2**20.
    """
    vocab = logits_BV.shape[-1]
    if logits_BV.dtype != jnp.float32 or not 2 <= vocab <= 1 << 20:
        raise ValueError(
            f"logits are {logits_BV.dtype} over {vocab} tokens, expected float32 over 2 to 2**20")
    logits_BV = jnp.where(jnp.isnan(logits_BV), -jnp.inf, logits_BV)
    top_B1 = jnp.max(logits_BV, axis=-1, keepdims=True)
    # The clip keeps a row of -inf alone, or with +inf, from becoming inf - inf.
    limit = jnp.finfo(jnp.float32).max
    weights_BV = jnp.exp(jnp.clip(logits_BV, -limit, limit) - jnp.clip(top_B1, -limit, limit))
    # Two short sums: the rounding error stays far below the slack at any vocabulary.
    norm_B1 = jnp.sum(jnp.sum(_blocks(weights_BV), axis=-1), axis=-1, keepdims=True)
    scale = (arithmetic.TOTAL - vocab) * (1 - _SLACK)
    freqs_BV = jnp.floor(weights_BV * (scale / norm_B1)).astype(jnp.uint32) + 1
    rest_B = arithmetic.TOTAL - jnp.sum(freqs_BV, axis=-1, dtype=jnp.uint32)
    rows = jnp.arange(logits_BV.shape[0])
    return freqs_BV.at[rows, jnp.argmax(logits_BV, axis=-1)].add(rest_B)


def interval(freqs_BV: jax.Array, tokens_B: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns (start, freq), uint32 [B], of one token a row; freq 0 outside the vocabulary."""
    below_BV = jnp.arange(freqs_BV.shape[-1]) < tokens_B[:, None]
    starts_B = jnp.sum(jnp.where(below_BV, freqs_BV, 0), axis=-1, dtype=jnp.uint32)
    known_B = (tokens_B >= 0) & (tokens_B < freqs_BV.shape[-1])
    freqs_B = jnp.take_along_axis(freqs_BV, jnp.where(known_B, tokens_B, 0)[:, None], axis=-1)[:, 0]
    return starts_B, jnp.where(known_B, freqs_B, 0)


def find(freqs_V: jax.Array, slot: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the token whose interval holds `slot` (uint32 scalar), with its start and freq."""
    freqs_NM = _blocks(freqs_V)
    ends_N = jnp.cumsum(jnp.sum(freqs_NM, axis=-1, dtype=jnp.uint32))
    block = jnp.sum(ends_N <= slot, dtype=jnp.int32)
    freqs_M = freqs_NM[block]
    ends_M = ends_N[block] - jnp.sum(freqs_M, dtype=jnp.uint32) + jnp.cumsum(freqs_M)
    inside = jnp.sum(ends_M <= slot, dtype=jnp.int32)
    freq = freqs_M[inside]
    return block * freqs_M.shape[0] + inside, ends_M[inside] - freq, freq


def _blocks(x: jax.Array) -> jax.Array:
    """Splits the last axis into [N, M], M about the square root, padded with zeros."""
    size = x.shape[-1]
    block = 1 << (max(size - 1, 1).bit_length() + 1) // 2
    pad = [(0, 0)] * (x.ndim - 1) + [(0, -size % block)]
    return jnp.pad(x, pad).reshape(*x.shape[:-1], -1, block)
