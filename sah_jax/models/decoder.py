"""The decoder: Flax Linen, layers stacked on axis 0 and scanned.

Shape suffixes: B batch, L tokens, T cache slots, D width, N query heads, K key/value heads,
G = N/K, H head dimension, F ffn, V vocabulary, R rank, S prefix slots, J layers, E distinct rotary
embeddings.

Variables live in three collections, and a caller passes what it has:
  params   the frozen base
  program  what a program adds: on any projection a low-rank pair `a` [J, in, R], `b` [J, R, out];
           on attention S keys and values `prefix_k`, `prefix_v` [J, S, K, H] before every sequence,
           seen by every query and not rotated
  cache    keys [J, B, K, H, T] and values [J, B, K, T, H], so that both products of attention read
           them as they lie; slot s of a row holds the token at position s

A key is seen by a query when its slot is not after the query's position (and within the layer's
window). So right padding needs no mask: whatever lies beyond a row's end is overwritten before
it can be seen.

An unrolled decoder has a module and variables of its own for each layer (`unrolled_variables`). It
is for decoding: a scan copies a layer's weights and cache out of the stack at every step.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from sah_jax import errors
from sah_jax.models import config as config_lib
from sah_jax.models import layers as layers_lib
from sah_jax.models import rope as rope_lib
from sah_jax.models import sharding

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
      vocab_rows: rows of `embed` and columns of `head`, where a mesh wants more of them than the
        vocabulary has; 0 for as many. Those beyond the vocabulary are zero, and have no logits.
      mesh: the mesh that rows are split over, see `sah_jax.models.sharding`; None for one device.
      unrolled: whether layers stand one by one and not in a stack.
    """

    spec: config_lib.ModelConfig
    dtype: jnp.dtype = jnp.float32
    remat: str = "none"
    vocab_rows: int = 0
    mesh: jax.sharding.Mesh | None = None
    unrolled: bool = False

    def setup(self):
        spec = self.spec
        init = nn.initializers.normal(spec.init_std)
        extra = max(0, self.vocab_rows - spec.vocab_size)
        self.embed = self.param("embed", _padded(init, (extra, 0)), (spec.vocab_size, spec.width))
        if not spec.tied_embedding:
            self.head = self.param("head", _padded(init, (0, extra)), (spec.width, spec.vocab_size))
        block = layers_lib.Block
        if self.remat != "none":
            block = nn.remat(block, prevent_cse=False, policy=REMAT_POLICIES[self.remat])
        if self.unrolled:
            self.layers = [block(spec, self.mesh) for _ in range(spec.layers)]
        else:
            self.layers = nn.scan(
                block, variable_axes={"params": 0, "program": 0}, variable_carry="cache",
                split_rngs={"params": True}, in_axes=(nn.broadcast, 0), length=spec.layers)(spec, self.mesh)
        self.final_norm = layers_lib.RMSNorm(spec.norm_eps)

    def hidden(self, tokens_BL: jax.Array, positions_BL: jax.Array | None = None) -> jax.Array:
        """Returns the normed last hidden states [B, L, D]; positions default to 0 .. L-1."""
        if positions_BL is None:
            positions_BL = jnp.broadcast_to(jnp.arange(tokens_BL.shape[1]), tokens_BL.shape)
        return self.hidden_of(self._embedding()[tokens_BL], positions_BL)

    def hidden_of(self, x_BLD: jax.Array, positions_BL: jax.Array, rotated_by: int = 0) -> jax.Array:
        """Returns the normed last hidden states of given embeddings [B, L, D].

        Args:
          x_BLD: what stands in place of the embeddings of tokens.
          positions_BL: their places, and slots of a cache.
          rotated_by: what rotary embeddings add to the positions, so that keys may stand before position 0.
        """
        spec = self.spec
        ropes = tuple(dict.fromkeys(spec.ropes))
        place = layers_lib.Place(
            positions_BL, *rope_lib.angles(ropes, spec.head_dim, positions_BL + rotated_by))
        layer = layers_lib.Layer(
            # Of an unrolled decoder, each layer's cache is a stack of one.
            index=np.arange(spec.layers, dtype=np.int32) * (not self.unrolled),
            rope=np.array([ropes.index(rope) for rope in spec.ropes], np.int32),
            window=np.array(spec.windows or (config_lib.NO_WINDOW,) * spec.layers, np.int32))
        x_BLD = sharding.split_rows(x_BLD.astype(self.dtype), self.mesh)
        if self.unrolled:
            for number, block in enumerate(self.layers):
                x_BLD, _ = block(x_BLD, place, layers_lib.Layer(*(values[number] for values in layer)))
        else:
            x_BLD, _ = self.layers(x_BLD, place, layer)
        return self.final_norm(x_BLD)

    def _embedding(self) -> jax.Array:
        if self.mesh is None or self.mesh.shape["tensor"] == 1:
            return self.embed
        # Where rows and columns are split, XLA would have every device look up all tokens.
        return jax.lax.with_sharding_constraint(self.embed, NamedSharding(self.mesh, P("tensor", None)))

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Returns float32 logits [..., V] of hidden states [..., D]."""
        head_DV = self.embed.T if self.spec.tied_embedding else self.head
        logits = jnp.matmul(hidden, head_DV.astype(self.dtype), preferred_element_type=jnp.float32)
        return logits[..., : self.spec.vocab_size]

    def __call__(self, tokens_BL: jax.Array, positions_BL: jax.Array | None = None) -> jax.Array:
        return self.logits(self.hidden(tokens_BL, positions_BL))


def logits_of(decoder: Decoder, variables: dict) -> Callable[[jax.Array], jax.Array]:
    """Returns `decoder.logits` under these variables, for use in a loop over blocks of positions.

    The head is gathered here, once, where each block of the loop would gather it again.
    """
    if decoder.mesh is not None:
        name = "embed" if decoder.spec.tied_embedding else "head"
        whole = P("tensor", None) if decoder.spec.tied_embedding else P(None, "tensor")
        gathered = jax.lax.with_sharding_constraint(
            variables["params"][name], NamedSharding(decoder.mesh, whole))
        variables = {**variables, "params": {**variables["params"], name: gathered}}
    return lambda hidden: decoder.apply(variables, hidden, method="logits")


def _padded(init: nn.initializers.Initializer, extra: tuple[int, int]) -> nn.initializers.Initializer:
    """Returns an initializer of so many more rows and columns, which are zero."""
    return lambda key, shape, dtype=jnp.float32: jnp.pad(init(key, shape, dtype), [(0, n) for n in extra])


def pad_vocabulary(decoder: Decoder, params: dict) -> dict:
    """Returns weights as read with the zero rows and columns that `decoder.vocab_rows` asks for."""
    extra = max(0, decoder.vocab_rows - decoder.spec.vocab_size)
    padding = {"embed": ((0, extra), (0, 0)), "head": ((0, 0), (0, extra))}
    return {name: jnp.pad(leaf, padding[name]) if extra and name in padding else leaf
            for name, leaf in params.items()}


def cut_vocabulary(spec: config_lib.ModelConfig, params: dict) -> dict:
    """Returns weights without the rows and columns that `pad_vocabulary` adds."""
    kept = {"embed": (slice(spec.vocab_size),), "head": (slice(None), slice(spec.vocab_size))}
    return {name: leaf[kept[name]] if name in kept else leaf for name, leaf in params.items()}


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


def with_deltas(params: dict, deltas: dict) -> dict:
    """Returns weights with deltas added to some leaves, rounded to the leaves' dtypes.

    Args:
      params: the `params` collection.
      deltas: a tree of some of its leaves.

    Raises:
      UserError: there is no such leaf; those of a quantised projection have no deltas.
    """
    merged = dict(params)
    for name, delta in deltas.items():
        if name not in params:
            raise errors.UserError(
                f"the program adds to the weights {name!r}, the model has {', '.join(params)} there; take a "
                "model that is not quantised.")
        leaf = params[name]
        if isinstance(delta, dict):
            merged[name] = with_deltas(leaf, delta)
        else:
            # Of a vocabulary that a mesh has padded, a delta is of the model's own rows.
            padding = [(0, size - own) for size, own in zip(leaf.shape, delta.shape, strict=True)]
            whole = jnp.pad(delta, padding) if any(after for _, after in padding) else delta
            merged[name] = (leaf.astype(jnp.float32) + whole).astype(leaf.dtype)
    return merged


def added_deltas(first: dict, second: dict) -> dict:
    """Returns the sum of two trees of deltas."""
    both = {name: (added_deltas if isinstance(first[name], dict) else jnp.add)(first[name], second[name])
            for name in first.keys() & second.keys()}
    return first | second | both


def joined_programs(first: dict, second: dict) -> dict:
    """Returns the `program` collection that adds what two of them add.

    Low-rank pairs stand side by side as one of the sum of their ranks, and prefixes one after the other.
    """
    axes = {"a": 2, "b": 1, "prefix_k": 1, "prefix_v": 1}
    both = {
        name: joined_programs(first[name], second[name]) if isinstance(first[name], dict)
        else jnp.concatenate([first[name], second[name]], axis=axes[name])
        for name in first.keys() & second.keys()}
    return first | second | both


def abstract_params(decoder: Decoder) -> dict:
    """Returns the `params` tree as `jax.ShapeDtypeStruct`s; nothing is allocated."""
    return jax.tree.map(lambda leaf: leaf, _abstract_params(decoder))  # the caller's own dictionaries


@functools.cache
def _abstract_params(decoder: Decoder) -> dict:
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    return jax.eval_shape(decoder.init, jax.random.key(0), tokens)["params"]
