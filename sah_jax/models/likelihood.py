"""How likely continuations are: the log-likelihoods that multiple choice is decided by.

As lm-evaluation-harness has it: prompt and continuation are tokenised together, spaces at the
prompt's end counting as the continuation's, and the sum is over the continuation's tokens.
"""

import functools
import logging
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax import errors, hosts
from sah_jax.coding import costs
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import padding, sharding

_BATCH_SIZE = 64


class Likelihood(NamedTuple):
    """A continuation's log-likelihood in nats, and whether each of its tokens is the likeliest one."""

    nats: float
    greedy: bool


def loglikelihoods(
    base: base_lib.BaseModel,
    variables: dict,
    pairs: Sequence[tuple[str, str]],
    *,
    context: Sequence[int] = (),
    cut: bool = False,
    start: bool = True,
) -> list[Likelihood]:
    """Returns the likelihood of each continuation after its prompt.

    Args:
      base: tokenizer and architecture.
      variables: `params` and, for an adapted model, `program`.
      pairs: (prompt, continuation).
      context: tokens before every prompt.
      cut: drops the first tokens of a prompt that is too long, and then, without a context, the start
        token too, as the harness does.
      start: puts the start token first; without, only where nothing else is before the continuation.

    Raises:
      UserError: they exceed the model's positions, or a continuation has no token of its own.
    """
    rows = []
    for prompt, continuation in pairs:
        inner, after = encode_pair(base, prompt, continuation)
        prefix = [base.spec.start_token] if start or not (context or inner) else []
        prefix += context
        # The last token is predicted only.
        left = base.spec.max_positions + 1 - len(prefix) - len(after)
        if not after or left < 0 or len(inner) > left and not cut:
            raise errors.UserError(
                f"the continuation {continuation[:40]!r} has {len(after)} tokens after {len(inner)} of its "
                f"prompt and {len(prefix)} before, expected at least one, and {base.spec.max_positions} "
                "in all but the last; shorten context or prompt.")
        if len(inner) > left:
            logging.warning(
                "The prompt %r has %d tokens, of which the first are left out.", prompt[:40], len(inner))
            prefix = prefix if context else []
            inner = inner[-(base.spec.max_positions + 1 - len(prefix) - len(after)) :]
        rows.append((prefix + inner, after))
    return of_rows(base, variables, rows)


def encode_pair(base: base_lib.BaseModel, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
    """Returns the tokens of prompt and continuation, split where the prompt alone would end."""
    bare = prompt.rstrip()
    whole = base.encode(prompt + continuation)
    inner = len(base.encode(bare))
    return whole[:inner], whole[inner:]


def of_rows(
    base: base_lib.BaseModel, variables: dict, rows: Sequence[tuple[list[int], list[int]]]
) -> list[Likelihood]:
    """Returns the likelihood of each row's second tokens after its first ones.

    Neither may be empty, and all but the last token must fit the model's positions.
    """
    parts = sharding.row_parts(base.decoder.mesh)
    batch_size = -(-_BATCH_SIZE // parts) * parts
    found: list = [None] * len(rows)
    by_length = sorted(range(len(rows)), key=lambda index: len(rows[index][0]) + len(rows[index][1]))
    for first in range(0, len(rows), batch_size):
        batch = by_length[first : first + batch_size]
        filled = batch + batch[-1:] * (batch_size - len(batch))
        tokens_BL = padding.padded([rows[index][0] + rows[index][1] for index in filled])
        nats_BL, greedy_BL = hosts.fetch(_of_tokens(base.decoder, variables, tokens_BL))
        for index, nats_L, greedy_L in zip(batch, nats_BL, greedy_BL, strict=False):
            before, after = rows[index]
            own = slice(len(before) - 1, len(before) - 1 + len(after))
            found[index] = Likelihood(float(np.sum(nats_L[own], dtype=np.float64)), bool(greedy_L[own].all()))
    return found


@functools.partial(jax.jit, static_argnames="decoder")
def _of_tokens(decoder: decoder_lib.Decoder, variables: dict, tokens_BL: jax.Array):
    """Returns log-probability [B, L - 1] in nats, and whether it is the largest, of all but first tokens."""

    def of_block(logits_MV, targets_M):
        chosen_M = jnp.take_along_axis(logits_MV, targets_M[:, None], axis=-1)[:, 0]
        return chosen_M - jax.nn.logsumexp(logits_MV, axis=-1), jnp.argmax(logits_MV, axis=-1) == targets_M

    hidden_BLD = decoder.apply(variables, tokens_BL[:, :-1], method="hidden")
    return costs.blocked(
        of_block, decoder_lib.logits_of(decoder, variables), hidden_BLD, tokens_BL[:, 1:],
        sharding.batch_parts(len(hidden_BLD), decoder.mesh))
