"""The decoder: Flax Linen, layers stacked on axis 0 and scanned.

Shape suffixes: B batch, L tokens, T cache slots, D width, N query heads, K key/value heads,
G = N/K, H head dimension, F ffn, V vocabulary, R rank, J layers, E distinct rotary embeddings.

Variables live in three collections, and a caller passes what it has:
  params   the frozen base
  program  what a program adds: on any projection a low-rank pair `a` [J, in, R], `b` [J, R, out]
  cache    keys [J, B, K, H, T] and values [J, B, K, T, H], so that both products of attention read
           them as they lie; slot s of a row holds the token at position s

A key is seen by a query when its slot is not after the query's position (and within the layer's
window). So right padding needs no mask: whatever lies beyond a row's end is overwritten before
it can be seen.

An unrolled decoder has a module and variables of its own for each layer (`unrolled_variables`). It
is for decoding: a scan copies a layer's weights and cache out of the stack at every step.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sah_jax.models import config as config_lib
from sah_jax.models import layers as layers_lib
from sah_jax.models import rope as rope_lib

REMAT_POLICIES = {
    "none": None,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}
"""What a layer keeps for the backward pass: everything, its matrix products, its input only."""


class Decoder(nn.Module):
    """A decoder-only transformer.

    Attributes:
      spec: the architecture.
      dtype: what activations and matrix products are in.
      remat: a name of `REMAT_POLICIES`.
      unrolled: whether layers stand one by one and not in a stack.
    """

    spec: config_lib.ModelConfig
    dtype: jnp.dtype = jnp.float32
    remat: str = "none"
    unrolled: bool = False

    def setup(self):
        spec = self.spec
        init = nn.initializers.normal(spec.init_std)
        self.embed = self.param("embed", init, (spec.vocab_size, spec.width))
        if not spec.tied_embedding:
            self.head = self.param("head", init, (spec.width, spec.vocab_size))
        block = layers_lib.Block
        if self.remat != "none":
            block = nn.remat(block, prevent_cse=False, policy=REMAT_POLICIES[self.remat])
        if self.unrolled:
            self.layers = [block(spec) for _ in range(spec.layers)]
        else:
            self.layers = nn.scan(
                block, variable_axes={"params": 0, "program": 0}, variable_carry="cache",
                split_rngs={"params": True}, in_axes=(nn.broadcast, 0), length=spec.layers)(spec)
        self.final_norm = layers_lib.RMSNorm(spec.norm_eps)

    def hidden(self, tokens_BL: jax.Array, positions_BL: jax.Array | None = None) -> jax.Array:
        """Returns the normed last hidden states [B, L, D]; positions default to 0 .. L-1."""
        spec = self.spec
        if positions_BL is None:
            positions_BL = jnp.broadcast_to(jnp.arange(tokens_BL.shape[1]), tokens_BL.shape)
        ropes = tuple(dict.fromkeys(spec.ropes))
        place = layers_lib.Place(positions_BL, *rope_lib.angles(ropes, spec.head_dim, positions_BL))
        layer = layers_lib.Layer(
            # Of an unrolled decoder, each layer's cache is a stack of one.
            index=np.arange(spec.layers, dtype=np.int32) * (not self.unrolled),
            rope=np.array([ropes.index(rope) for rope in spec.ropes], np.int32),
            window=np.array(spec.windows or (config_lib.NO_WINDOW,) * spec.layers, np.int32))
        x_BLD = self.embed[tokens_BL].astype(self.dtype)
        if self.unrolled:
            for number, block in enumerate(self.layers):
                x_BLD, _ = block(x_BLD, place, layers_lib.Layer(*(values[number] for values in layer)))
        else:
            x_BLD, _ = self.layers(x_BLD, place, layer)
        return self.final_norm(x_BLD)

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Returns float32 logits [..., V] of hidden states [..., D]."""
        head_DV = self.embed.T if self.spec.tied_embedding else self.head
        return jnp.matmul(hidden, head_DV.astype(self.dtype), preferred_element_type=jnp.float32)

    def __call__(self, tokens_BL: jax.Array, positions_BL: jax.Array | None = None) -> jax.Array:
        return self.logits(self.hidden(tokens_BL, positions_BL))


def init_cache(
    spec: config_lib.ModelConfig, batch: int, slots: int, dtype: jnp.dtype, unrolled: bool = False
) -> dict:
    """Returns an empty `cache` collection: keys [J, B, K, H, T] and values [J, B, K, T, H].

    Of an unrolled decoder, each layer has a stack of one.
    """
    def empty(stacked: int) -> dict:
        return {"attention": {
            "k": jnp.zeros((stacked, batch, spec.kv_heads, spec.head_dim, slots), dtype),
            "v": jnp.zeros((stacked, batch, spec.kv_heads, slots, spec.head_dim), dtype)}}

    if unrolled:
        return {f"layers_{layer}": empty(1) for layer in range(spec.layers)}
    return {"layers": empty(spec.layers)}


def unrolled_variables(variables: dict) -> dict:
    """Returns collections of stacked layers, without a cache, as an unrolled decoder has them: a copy."""
    out = {}
    for name, collection in variables.items():
        stack = collection.get("layers", {})
        layers = len(jax.tree.leaves(stack)[0]) if stack else 0
        out[name] = {key: value for key, value in collection.items() if key != "layers"} | {
            f"layers_{layer}": jax.tree.map(lambda leaf, layer=layer: leaf[layer], stack)
            for layer in range(layers)}
    return out


def abstract_params(decoder: Decoder) -> dict:
    """Returns the `params` tree as `jax.ShapeDtypeStruct`s; nothing is allocated."""
    return jax.tree.map(lambda leaf: leaf, _abstract_params(decoder))  # the caller's own dictionaries


@functools.cache
def _abstract_params(decoder: Decoder) -> dict:
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    return jax.eval_shape(decoder.init, jax.random.key(0), tokens)["params"]
