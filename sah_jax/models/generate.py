"""Batched greedy generation with a cache.

Every row stands at its own position (right padding, see `sah_jax.models.decoder`). The loop
runs on the device in short stretches; between them the host looks for stop strings.
Shape suffixes: B batch, L tokens, T cache slots, C tokens of a stretch.
"""

import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import sharding

_STRETCH = 16
_BUCKET = 32  # prompt lengths and cache sizes are multiples of it, so few shapes are compiled


def generate(
    base: base_lib.BaseModel,
    variables: dict,
    prompts: Sequence[str],
    *,
    context: Sequence[int] = (),
    max_new_tokens: int,
    stop: Sequence[str] = (),
    batch_size: int = 64,
) -> list[str]:
    """Returns the greedy continuation of each prompt, cut before the first stop string.

    Args:
      base: tokenizer and architecture.
      variables: `params` and, for an adapted model, `program`.
      prompts: texts; each is put after the start token and the context.
      context: tokens before every prompt.
      max_new_tokens: a row ends after so many tokens, at an end token or at a stop string.
      stop: stop strings.
      batch_size: rows at a time; the last batch is filled up.

    Raises:
      UserError: context, prompt and new tokens together exceed the model's positions.
    """
    variables = sharding.for_decoding(variables, base.decoder.mesh)
    prefix = [base.spec.start_token, *context]
    tokens = [base.encode(prompt) for prompt in prompts]
    for prompt, row in zip(prompts, tokens, strict=True):
        needed = len(prefix) + len(row) + max_new_tokens
        if not row or needed > base.spec.max_positions:
            raise errors.UserError(
                f"the prompt {prompt[:40]!r} has {len(row)} tokens and needs {needed} positions of "
                f"{base.spec.max_positions}; give at least one token, and shorten context or prompt.")
    longest = _round_up(max(map(len, tokens), default=1))
    slots = _round_up(len(prefix)) + longest + _round_up(max_new_tokens)
    responses = []
    for first in range(0, len(tokens), batch_size):
        rows = tokens[first : first + batch_size]
        filled = rows + [rows[0]] * (batch_size - len(rows))
        responses += _generate_batch(
            base, variables, prefix, filled, len(rows), longest, slots, max_new_tokens, stop)
    return responses


def _round_up(size: int) -> int:
    return -(-size // _BUCKET) * _BUCKET


def _generate_batch(base, variables, prefix, rows, real, longest, slots, max_new_tokens, stop) -> list[str]:
    prefix_1L = np.zeros((1, _round_up(len(prefix))), np.int32)
    prefix_1L[0, : len(prefix)] = prefix
    tokens_BL = np.zeros((len(rows), longest), np.int32)
    for index, row in enumerate(rows):
        tokens_BL[index, : len(row)] = row
    lengths_B = np.array([len(row) for row in rows], np.int32)
    cache, next_B = _prefill(
        base.decoder, variables, prefix_1L, np.int32(len(prefix)), tokens_BL, lengths_B, slots)
    positions_B = jnp.asarray(len(prefix) + lengths_B)
    end_tokens = np.array(base.spec.end_tokens, np.int32)
    done_B = np.arange(len(rows)) >= real
    written = [[] for _ in rows]
    for first in range(0, max_new_tokens, _STRETCH):
        steps = np.int32(min(_STRETCH, max_new_tokens - first))
        cache, out_BC, counts_B, next_B, positions_B, done_B = _stretch(
            base.decoder, variables, cache, next_B, positions_B, done_B, steps, end_tokens)
        for row, count, new in zip(written, np.asarray(counts_B), np.asarray(out_BC), strict=True):
            row += new[:count].tolist()
        done_B = np.array(done_B)
        for index in np.flatnonzero(~done_B):
            text = base.decode(written[index])
            done_B[index] = any(mark in text for mark in stop)
        if done_B.all():
            break
    return [_cut(base.decode(row), stop) for row in written[:real]]


def _cut(text: str, stop: Sequence[str]) -> str:
    ends = [text.find(mark) for mark in stop if mark in text]
    return text[: min(ends, default=len(text))]


@functools.partial(jax.jit, static_argnames=("decoder", "slots"))
def _prefill(decoder, variables, prefix_1L, prefix_length, tokens_BL, lengths_B, slots):
    """Returns the cache after prefix and prompts, and each row's first new token [B]."""
    batch = tokens_BL.shape[0]
    cache = decoder_lib.init_cache(decoder.spec, 1, slots, decoder.dtype)
    positions_1L = jnp.arange(prefix_1L.shape[1])[None]
    _, state = decoder.apply(
        {**variables, "cache": cache}, prefix_1L, positions_1L, mutable=["cache"], method="hidden")
    # The prefix is the same in every row: computed once, then repeated.
    cache = jax.tree.map(lambda leaf: jnp.repeat(leaf, batch, axis=1), state["cache"])
    positions_BL = jnp.broadcast_to(prefix_length + jnp.arange(tokens_BL.shape[1]), tokens_BL.shape)
    hidden_BLD, state = decoder.apply(
        {**variables, "cache": cache}, tokens_BL, positions_BL, mutable=["cache"], method="hidden")
    last_BD = hidden_BLD[jnp.arange(batch), lengths_B - 1]
    logits_BV = decoder.apply(variables, last_BD, method="logits")
    return state["cache"], jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames="decoder", donate_argnames="cache")
def _stretch(decoder, variables, cache, next_B, positions_B, done_B, steps, end_tokens):
    """Appends up to `steps` tokens a row; stops early when every row is done.

    Returns the cache, tokens [B, C] with how many of them count [B], and the next token,
    position and done flag of each row. An end token is not counted.
    """
    out_BC = jnp.zeros((next_B.shape[0], _STRETCH), jnp.int32)

    def unfinished(carry):
        step, done_B = carry[0], carry[-1]
        return (step < steps) & ~jnp.all(done_B)

    def body(carry):
        step, cache, out_BC, counts_B, next_B, positions_B, done_B = carry
        done_B |= jnp.any(next_B[:, None] == end_tokens, axis=-1)
        out_BC = out_BC.at[:, step].set(next_B)
        counts_B += ~done_B
        logits_B1V, state = decoder.apply(
            {**variables, "cache": cache}, next_B[:, None], positions_B[:, None], mutable=["cache"])
        following_B = jnp.argmax(logits_B1V[:, 0], axis=-1).astype(jnp.int32)
        return step + 1, state["cache"], out_BC, counts_B, following_B, positions_B + 1, done_B

    _, cache, out_BC, counts_B, next_B, positions_B, done_B = jax.lax.while_loop(
        unfinished, body,
        (jnp.int32(0), cache, out_BC, jnp.zeros_like(next_B), next_B, positions_B, done_B))
    return cache, out_BC, counts_B, next_B, positions_B, done_B


def stream(base: base_lib.BaseModel, variables: dict, prompts: Iterator[str], **options) -> Iterator[str]:
    """Yields the continuation of each prompt as it comes; for interactive use."""
    for prompt in prompts:
        yield generate(base, variables, [prompt], batch_size=1, **options)[0]
