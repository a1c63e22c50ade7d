"""Several random continuations of one text, for making training data.

The rows share the text before them, so they stand at one position, and the decoder's step reads it
token by token. Suffixes: B rows, L tokens of the text, C of a continuation, V vocabulary.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib


def sample(
    base: base_lib.BaseModel,
    variables: dict,
    prompt: str,
    *,
    num: int,
    seed: int,
    context: Sequence[int] = (),
    temperature: float = 1.0,
    max_new_tokens: int,
    stop: Sequence[str] = (),
) -> list[str]:
    """Returns `num` continuations of a prompt.

    Args:
      base, variables, prompt, context, max_new_tokens: as in `generate.generate`.
      num: how many.
      seed: of the random numbers; the same seed gives the same continuations.
      temperature: what logits are divided by, above 0.
      stop: special tokens of the tokenizer among these end a continuation, see `BaseModel.ends`; where
        others stand, the caller cuts.

    Raises:
      UserError: the temperature is not above 0, or context, prompt and new tokens together exceed the
        model's positions.
    """
    if not temperature > 0:
        raise errors.UserError(
            f"the temperature is {temperature}, expected a number above 0; near 0 the likeliest is drawn.")
    tokens = [base.spec.start_token, *context, *base.encode(prompt)]
    if len(tokens) + max_new_tokens > base.spec.max_positions:
        raise errors.UserError(
            f"the prompt {prompt[:40]!r} needs {len(tokens) + max_new_tokens} positions of "
            f"{base.spec.max_positions}; shorten context, prompt or max_new_tokens.")
    tokens_L = np.zeros(_power_of_two(len(tokens)), np.int32)
    tokens_L[: len(tokens)] = tokens
    out_BC, counts_B = jax.device_get(_sample(
        base.decoder, variables, tokens_L, np.int32(len(tokens)), np.array(base.ends(stop), np.int32),
        jax.random.key(seed), np.float32(temperature), np.int32(max_new_tokens), num,
        _power_of_two(max_new_tokens)))
    return [base.decode(row[:count].tolist()) for row, count in zip(out_BC, counts_B, strict=True)]


def _power_of_two(size: int) -> int:
    """Returns the next one, so that few shapes are compiled."""
    return 1 << (size - 1).bit_length()


@functools.partial(jax.jit, static_argnames=("decoder", "num", "most"))
def _sample(decoder, variables, tokens_L, length, end_tokens, key, temperature, limit, num, most):
    """Returns tokens [B, C] and how many of them count [B]; `most` is C, at least `limit`."""
    step = base_lib.cached_step(decoder)
    places = tokens_L.shape[0] + most

    def going_on(carry):
        position, _, _, _, _, done_B = carry
        return (position < length + limit - 1) & ~jnp.all(done_B)

    def body(carry):
        position, cache, next_B, out_BC, counts_B, done_B = carry
        token_B = jnp.where(position < length, tokens_L[jnp.minimum(position, len(tokens_L) - 1)], next_B)
        cache, logits_BV = step(variables, cache, token_B, position)
        scaled_BV = logits_BV.astype(jnp.float32) / temperature
        drawn_B = jax.random.categorical(jax.random.fold_in(key, position), scaled_BV).astype(jnp.int32)
        place = position + 1 - length  # of what was drawn, in the continuation
        done_B |= (place >= 0) & jnp.any(drawn_B[:, None] == end_tokens, axis=-1)
        out_BC = jnp.where(place >= 0, out_BC.at[:, jnp.maximum(place, 0)].set(drawn_B), out_BC)
        return position + 1, cache, drawn_B, out_BC, counts_B + ((place >= 0) & ~done_B), done_B

    cache = decoder_lib.init_cache(decoder.spec, num, places, decoder.dtype)
    zeros_B = jnp.zeros(num, jnp.int32)
    carry = (jnp.int32(0), cache, zeros_B, jnp.zeros((num, most), jnp.int32), zeros_B, zeros_B > 0)
    *_, out_BC, counts_B, _ = jax.lax.while_loop(going_on, body, carry)
    return out_BC, counts_B
