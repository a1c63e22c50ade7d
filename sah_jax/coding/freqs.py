"""Logits to integer frequencies, and the interval of a token under them.

This is the only place where a float becomes a probability the coder uses. After it only
integers exist, and integer sums are exact in any order.

Of a token's frequency its weight decides alone, so that one pass over the vocabulary gives
all of them. What rounding leaves of the total goes to the last token of the vocabulary: its
interval ends where the total does, whatever its own entry says.

Shape suffixes: B rows, V vocabulary, N blocks of the vocabulary, M tokens of a block.
"""

import jax
import jax.numpy as jnp

from sah_jax.coding import arithmetic

# The part of the total that float32 rounding of the normaliser is allowed to use up; it
# costs every token 9e-5 bits.
_SLACK = 2.0**-14

# A float32 sum of so many terms errs by at most 64 * 2**-24, and the largest vocabulary
# needs four such sums of sums: 2**-16, well below the slack.
_TERMS = 64


def from_logits(logits_BV: jax.Array) -> jax.Array:
    """Turns logits into positive integers of which each row sums to at most 2**30.

    NaN counts as -inf. A row of -inf alone is uniform.

    Args:
      logits_BV: float32.

    Returns:
      uint32 [B, V], see `from_weights`.

    Raises:
      ValueError: the logits are not float32 or the vocabulary is not of 2 to 2**20 tokens.
    """
    _check(logits_BV)
    return from_weights(_weights(logits_BV)[0])


def _weights(logits_BV: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the weights of logits, 1 for each row's largest, and those largest logits [B]."""
    logits_BV = jnp.where(jnp.isnan(logits_BV), -jnp.inf, logits_BV)
    # The clip keeps a row of -inf alone, or with +inf, from becoming inf - inf.
    limit = jnp.finfo(jnp.float32).max
    tops_B = jnp.clip(jnp.max(logits_BV, axis=-1), -limit, limit)
    return jnp.exp(jnp.clip(logits_BV, -limit, limit) - tops_B[:, None]), tops_B


def from_weights(weights_BV: jax.Array, totals_B: jax.Array | None = None) -> jax.Array:
    """Turns non-negative weights into positive integers of which each row sums to at most 2**30.

    freq = floor(weight / total * (2**30 - V) * (1 - 2**-14)) + 1, so every token of the
    vocabulary can be coded.

    Args:
      weights_BV: float32.
      totals_B: float32, their sums to a relative error of at most 2**-16; computed if None.

    Returns:
      uint32 [B, V]; the last token's is at least its entry.

    Raises:
      ValueError: the weights are not float32 or the vocabulary is not of 2 to 2**20 tokens.
    """
    _check(weights_BV)
    totals_B = _sum(weights_BV) if totals_B is None else totals_B
    return _scaled(weights_BV, totals_B, weights_BV.shape[-1])


def _scaled(weights_BN: jax.Array, totals_B: jax.Array, vocab: int) -> jax.Array:
    """Returns the frequencies of tokens from their weights alone."""
    scale_B = (arithmetic.TOTAL - vocab) * (1 - _SLACK) / totals_B
    # By way of int32, which processors convert to; towards zero is down.
    return (weights_BN * scale_B[:, None]).astype(jnp.int32).astype(jnp.uint32) + 1


def lengths(logits_BV: jax.Array, tokens_B: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns -log2 of the probability of one token a row, and of its frequency over the total.

    They are what `from_logits` and `interval` come to, without an array of frequencies.

    Args:
      logits_BV: float32.
      tokens_B: int32, tokens of the vocabulary.

    Returns:
      float32 bits [B], twice.
    """
    _check(logits_BV)
    weights_BV, tops_B = _weights(logits_BV)
    totals_B, last = _sum(weights_BV), logits_BV.shape[-1] - 1
    of_token = lambda x_BV: jnp.take_along_axis(x_BV, tokens_B[:, None], axis=-1)
    freqs_B = _scaled(of_token(weights_BV), totals_B, last + 1)[:, 0]
    # The last token's is what the others leave, which is summed up only where it is asked for.
    freqs_B = jax.lax.cond(
        jnp.any(tokens_B == last),
        lambda: interval(from_weights(weights_BV, totals_B), tokens_B)[1], lambda: freqs_B)
    ideal_B = (jnp.log(totals_B) + tops_B - of_token(logits_BV)[:, 0]) / jnp.log(2.0)
    return ideal_B, arithmetic.TOTAL_BITS - jnp.log2(freqs_B.astype(jnp.float32))


def _check(floats_BV: jax.Array) -> None:
    vocab = floats_BV.shape[-1]
    if floats_BV.dtype != jnp.float32 or not 2 <= vocab <= 1 << 20:
        raise ValueError(f"got {floats_BV.dtype} over {vocab} tokens, expected float32 over 2 to 2**20")


def _sum(x_BV: jax.Array) -> jax.Array:
    """Returns the float32 sums of the last axis, by sums of at most `_TERMS` terms."""
    while (size := x_BV.shape[-1]) > 1:
        terms = min(size, _TERMS)
        # Columns are added, not rows: a processor adds many at once without reordering any.
        x_BV = jnp.sum(_fold(x_BV, -(-size // terms)), axis=-2)
    return x_BV[..., 0]


def interval(freqs_BV: jax.Array, tokens_B: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns (start, freq), uint32 [B], of one token a row; freq 0 outside the vocabulary."""
    last = freqs_BV.shape[-1] - 1
    below_BV = jnp.arange(last + 1) < tokens_B[:, None]
    starts_B = jnp.sum(jnp.where(below_BV, freqs_BV, 0), axis=-1, dtype=jnp.uint32)
    freqs_B = jnp.take_along_axis(freqs_BV, jnp.clip(tokens_B, 0, last)[:, None], axis=-1)[:, 0]
    freqs_B = jnp.where(tokens_B == last, arithmetic.TOTAL - starts_B, freqs_B)
    return starts_B, jnp.where((tokens_B >= 0) & (tokens_B <= last), freqs_B, 0)


def block_ends(freqs_BV: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the frequencies in blocks [B, N, M] and where each block ends, uint32 [B, N].

    It is what `find` searches: a search touches two short arrays, and not the vocabulary.
    """
    freqs_BNM = _fold(freqs_BV, _block_size(freqs_BV.shape[-1]))
    return freqs_BNM, jnp.cumsum(jnp.sum(freqs_BNM, axis=-1, dtype=jnp.uint32), axis=-1)


def _block_size(vocab: int) -> int:
    """Returns a power of two near the square root; without padding, which is a copy, if possible."""
    near = 1 << (vocab - 1).bit_length() // 2
    divisor = vocab & -vocab
    return divisor if near // 4 <= divisor <= 4 * near else near


def find(
    freqs_BNM: jax.Array, ends_BN: jax.Array, vocab: int, row: jax.Array, slot: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the token of a row whose interval holds a slot, with its start and freq.

    Args:
      freqs_BNM, ends_BN: what `block_ends` returned.
      vocab: V.
      row: int32 scalar.
      slot: uint32 scalar below 2**30.
    """
    _, blocks, size = freqs_BNM.shape
    # Taken out of the whole here, and not by a scan over rows, which would copy each of them.
    block = jnp.minimum(jnp.sum(ends_BN[row] <= slot, dtype=jnp.int32), blocks - 1)
    freqs_M = freqs_BNM[row, block]
    last = jnp.minimum(size, vocab - block * size) - 1

    # One by one: half a block of additions is less than what a parallel sum would start up.
    def before(place):
        inside, start = place
        return (inside < last) & (start + freqs_M[inside] <= slot)

    inside, start = jax.lax.while_loop(
        before, lambda place: (place[0] + 1, place[1] + freqs_M[place[0]]),
        (jnp.int32(0), ends_BN[row, block] - jnp.sum(freqs_M, dtype=jnp.uint32)))
    token = block * size + inside
    return token, start, jnp.where(token == vocab - 1, arithmetic.TOTAL - start, freqs_M[inside])


def _fold(x: jax.Array, columns: int) -> jax.Array:
    """Splits the last axis into [rows, columns], padded with zeros."""
    pad = [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % columns)]
    return jnp.pad(x, pad).reshape(*x.shape[:-1], -1, columns)
