"""Greedy decoding on the device: a prefill, then steps in a loop until every row is done.

Every row stands at its own position (right padding, see `sah_jax.models.decoder`).
Shape suffixes as there, and P prefix tokens, C tokens of a stretch of steps.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from sah_jax.models import decoder as decoder_lib
from sah_jax.models import sharding

# Weights of layers that take no more than this are copied out of their stack.
_UNROLLED_BYTES = 1 << 30


class Rows(NamedTuple):
    """Where a batch stands.

    cache: keys and values of all that was read and written, but the next token.
    next_B: int32, the token after them.
    positions_B: int32, its position.
    done_B: bool, rows that want no more.
    """

    cache: dict
    next_B: jax.Array
    positions_B: jax.Array
    done_B: jax.Array


def for_decoding(
    decoder: decoder_lib.Decoder, variables: dict, mesh: jax.sharding.Mesh | None
) -> tuple[decoder_lib.Decoder, dict]:
    """Returns decoder and variables as decoding wants them.

    On a mesh the weights are split over `tensor` alone; small layers are unrolled.

    Args:
      decoder: the model.
      variables: `params` and perhaps `program`.
      mesh: where to decode; of the devices of the decoder's own.
    """
    decoder, variables = decoder.clone(mesh=mesh, parent=None), sharding.for_decoding(variables, mesh)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(variables["params"]["layers"]))
    if size > _UNROLLED_BYTES:
        return decoder, variables
    return decoder.clone(unrolled=True, parent=None), _unrolled_variables(variables)


_unrolled_variables = jax.jit(decoder_lib.unrolled_variables)


def _split(decoder: decoder_lib.Decoder, rows: dict | jax.Array) -> dict | jax.Array:
    """Splits rows [B], or a cache [J, B, K, ...], over the decoder's mesh."""
    mesh = decoder.mesh
    if mesh is None:
        return rows
    spec = PartitionSpec(sharding.BATCH)
    if isinstance(rows, dict):
        heads = "tensor" if decoder.spec.kv_heads % mesh.shape["tensor"] == 0 else None
        spec = PartitionSpec(None, sharding.BATCH, heads)
    return jax.lax.with_sharding_constraint(rows, NamedSharding(mesh, spec))


@functools.partial(jax.jit, static_argnames=("decoder", "slots"))
def prefill(decoder, variables, prefix_1P, prefix_length, tokens_BL, lengths_B, slots) -> Rows:
    """Reads prefix and prompts.

    Args:
      decoder, variables: what `for_decoding` returned.
      prefix_1P: int32, tokens before every row, right-padded; of no length where there are none.
      prefix_length: int32 scalar, how many of them there are.
      tokens_BL: int32, the rows, right-padded.
      lengths_B: int32, how many tokens each row has, at least one.
      slots: places of the cache returned.
    """
    spec, (batch, length) = decoder.spec, tokens_BL.shape
    # No more places than can be seen now; those for new tokens come after.
    read = prefix_1P.shape[1] + length
    make = functools.partial(
        decoder_lib.init_cache, spec, slots=read, dtype=decoder.dtype, unrolled=decoder.unrolled)
    extend = functools.partial(decoder.apply, mutable=["cache"], method="hidden")
    if prefix_1P.shape[1]:
        # The prefix is the same in every row: computed once, then repeated.
        _, state = extend(
            {**variables, "cache": make(1)}, prefix_1P, jnp.arange(prefix_1P.shape[1])[None])
        cache = jax.tree.map(lambda leaf: jnp.repeat(leaf, batch, axis=1), state["cache"])
    else:
        cache = make(batch)
    cache, tokens_BL = _split(decoder, cache), _split(decoder, tokens_BL)
    positions_BL = jnp.broadcast_to(prefix_length + jnp.arange(length), tokens_BL.shape)
    hidden_BLD, state = extend({**variables, "cache": cache}, tokens_BL, positions_BL)
    last_BD = hidden_BLD[jnp.arange(batch), lengths_B - 1]
    next_B = _likeliest(decoder.apply(variables, last_BD, method="logits"))
    cache = jax.tree_util.tree_map_with_path(
        lambda path, leaf: _widen(leaf, 4 if path[-1].key == "k" else 3, slots), state["cache"])
    positions_B = prefix_length + lengths_B
    return Rows(*(_split(decoder, part) for part in (cache, next_B, positions_B, jnp.zeros(batch, bool))))


def _widen(leaf: jax.Array, axis: int, slots: int) -> jax.Array:
    pad = [(0, 0)] * leaf.ndim
    pad[axis] = (0, slots - leaf.shape[axis])
    return jnp.pad(leaf, pad)


def _likeliest(logits_BV: jax.Array) -> jax.Array:
    return jnp.argmax(logits_BV, axis=-1).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames=("decoder", "length"), donate_argnames="rows")
def stretch(decoder, variables, rows: Rows, end_tokens, steps, length: int):
    """Appends up to `steps` tokens to each row that is not done; ends early when all are.

    Args:
      decoder, variables: what `for_decoding` returned.
      rows: where the batch stands; donated.
      end_tokens: int32, each ends a row and does not count.
      steps: int32 scalar, at most `length`.
      length: C.

    Returns:
      The rows, and int32 tokens [B, C] with how many of them count [B].
    """
    batch = rows.next_B.shape[0]

    def unfinished(carry):
        step, rows, *_ = carry
        return (step < steps) & ~jnp.all(rows.done_B)

    def body(carry):
        step, rows, out_BC, counts_B = carry
        done_B = rows.done_B | jnp.any(rows.next_B[:, None] == end_tokens, axis=-1)
        out_BC = out_BC.at[:, step].set(rows.next_B)
        logits_B1V, state = decoder.apply(
            {**variables, "cache": rows.cache}, rows.next_B[:, None], rows.positions_B[:, None],
            mutable=["cache"])
        rows = Rows(state["cache"], _likeliest(logits_B1V[:, 0]), rows.positions_B + 1, done_B)
        return step + 1, rows, out_BC, counts_B + ~done_B

    carry = (jnp.int32(0), rows, jnp.zeros((batch, length), jnp.int32), jnp.zeros(batch, jnp.int32))
    _, rows, out_BC, counts_B = jax.lax.while_loop(unfinished, body, carry)
    return rows, out_BC, counts_B
