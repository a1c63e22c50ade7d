"""What the tokens of sequences cost under a model, by teacher forcing."""

import functools

import jax

from sah_jax.coding import costs
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import sharding


@functools.partial(jax.jit, static_argnames="decoder")
def token_costs(decoder: decoder_lib.Decoder, variables: dict, tokens_BL: jax.Array) -> costs.Costs:
    """Returns the costs [B, L - 1] of all tokens but each row's first.

    Args:
      decoder: the model.
      variables: `params` and, for an adapted model, `program`.
      tokens_BL: int32, right-padded; what follows a row's end costs something too.
    """
    hidden_BLD = decoder.apply(variables, tokens_BL[:, :-1], method="hidden")
    return costs.of_tokens(
        decoder_lib.logits_of(decoder, variables), hidden_BLD, tokens_BL[:, 1:],
        sharding.batch_parts(len(hidden_BLD), decoder.mesh))
