"""The decoder: Flax Linen, layers stacked on axis 0 and scanned.

Shape suffixes: B batch, L tokens, T cache slots, D width, N query heads, K key/value heads,
G = N/K, H head dimension, F ffn, V vocabulary, R rank, J layers.

Variables live in three collections, and a caller passes what it has:
  params   the frozen base
  program  what a program adds: on any projection a low-rank pair `a` [J, in, R], `b` [J, R, out]
  cache    keys and values [J, B, K, T, H]; slot s of a row holds the token at position s

A key is seen by a query when its slot is not after the query's position. So right padding
needs no mask: whatever lies beyond a row's end is overwritten before it can be seen.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from sah_jax.models import config as config_lib


class Projection(nn.Module):
    """x @ kernel, plus a program's low-rank pair where there is one."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # One plain matrix product: XLA:CPU compiles the gradient of a batched one to copies.
        x_MD = x.reshape(-1, x.shape[-1])
        kernel = self.param("kernel", nn.initializers.normal(0.02), (x.shape[-1], self.features))
        y_MF = x_MD @ kernel.astype(x.dtype)
        if self.has_variable("program", "a"):
            x_MR = x_MD @ self.get_variable("program", "a").astype(x.dtype)
            y_MF += x_MR @ self.get_variable("program", "b").astype(x.dtype)
        return y_MF.reshape(*x.shape[:-1], self.features)


class RMSNorm(nn.Module):
    """Root-mean-square norm with a gain, computed in float32 (Zhang & Sennrich 2019)."""

    eps: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        x32 = x.astype(jnp.float32)
        normed = x32 * jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + self.eps)
        return (normed * scale).astype(x.dtype)


def _rotate(x_BLNH: jax.Array, positions_BL: jax.Array, theta: float) -> jax.Array:
    """Rotary position embedding in the half-split layout (Su et al. 2021)."""
    half = x_BLNH.shape[-1] // 2
    inverse = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angles_BL1H = (positions_BL[..., None].astype(jnp.float32) * inverse)[:, :, None, :]
    cos, sin = jnp.cos(angles_BL1H), jnp.sin(angles_BL1H)
    first, second = jnp.split(x_BLNH.astype(jnp.float32), 2, axis=-1)
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return rotated.astype(x_BLNH.dtype)


class Attention(nn.Module):
    """Grouped-query causal attention, with or without a cache."""

    spec: config_lib.ModelConfig

    @nn.compact
    def __call__(self, x_BLD: jax.Array, positions_BL: jax.Array, layer: jax.Array) -> jax.Array:
        spec = self.spec
        heads = lambda y: rearrange(y, "B L (N H) -> B L N H", H=spec.head_dim)
        q_BLNH = heads(Projection(spec.heads * spec.head_dim, name="q")(x_BLD))
        k_BLKH = heads(Projection(spec.kv_heads * spec.head_dim, name="k")(x_BLD))
        v_BLKH = heads(Projection(spec.kv_heads * spec.head_dim, name="v")(x_BLD))
        q_BLNH = _rotate(q_BLNH, positions_BL, spec.rope_theta)
        k_BLKH = _rotate(k_BLKH, positions_BL, spec.rope_theta)
        k_BKTH = self._seen("k", k_BLKH, positions_BL, layer)
        v_BKTH = self._seen("v", v_BLKH, positions_BL, layer)
        # Heads lead and the queries of a group share an axis: two plain batched products.
        q_BKMH = rearrange(q_BLNH, "B L (K G) H -> B K (G L) H", K=spec.kv_heads)
        scores_BKMT = jnp.einsum("BKMH,BKTH->BKMT", q_BKMH, k_BKTH).astype(jnp.float32)
        seen_BLT = jnp.arange(k_BKTH.shape[2]) <= positions_BL[:, :, None]
        seen_B1MT = jnp.tile(seen_BLT, (1, spec.heads // spec.kv_heads, 1))[:, None]
        weights_BKMT = jax.nn.softmax(
            jnp.where(seen_B1MT, scores_BKMT * spec.head_dim**-0.5, jnp.finfo(jnp.float32).min), axis=-1)
        mixed_BKMH = weights_BKMT.astype(x_BLD.dtype) @ v_BKTH
        mixed_BLF = rearrange(mixed_BKMH, "B K (G L) H -> B L (K G H)", L=x_BLD.shape[1])
        return Projection(spec.width, name="o")(mixed_BLF)

    def _seen(self, name: str, new_BLKH: jax.Array, positions_BL: jax.Array, layer: jax.Array) -> jax.Array:
        """Returns the keys or values to attend to: the new ones, or this layer's cache with them in it."""
        if not self.has_variable("cache", name):
            return rearrange(new_BLKH, "B L K H -> B K L H")
        rows = jnp.arange(positions_BL.shape[0])[:, None]
        # Updated in place: all layers share one carried array.
        cache_JBKTH = self.get_variable("cache", name).at[layer, rows, :, positions_BL].set(new_BLKH)
        self.put_variable("cache", name, cache_JBKTH)
        return cache_JBKTH[layer]


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    spec: config_lib.ModelConfig

    @nn.compact
    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        gate_BLF = Projection(self.spec.ffn, name="gate")(x_BLD)
        up_BLF = Projection(self.spec.ffn, name="up")(x_BLD)
        return Projection(self.spec.width, name="down")(nn.silu(gate_BLF) * up_BLF)


class Block(nn.Module):
    """One pre-norm layer, in the (carry, None) form that `nn.scan` wants."""

    spec: config_lib.ModelConfig

    @nn.compact
    def __call__(
        self, x_BLD: jax.Array, positions_BL: jax.Array, layer: jax.Array
    ) -> tuple[jax.Array, None]:
        spec = self.spec
        attention_in = RMSNorm(spec.norm_eps, name="attention_norm")(x_BLD)
        x_BLD += Attention(spec, name="attention")(attention_in, positions_BL, layer)
        x_BLD += FeedForward(spec, name="ffn")(RMSNorm(spec.norm_eps, name="ffn_norm")(x_BLD))
        return x_BLD, None


class Decoder(nn.Module):
    """A decoder-only transformer; `dtype` is what activations and matmuls are in."""

    spec: config_lib.ModelConfig
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        spec = self.spec
        self.embed = self.param("embed", nn.initializers.normal(0.02), (spec.vocab_size, spec.width))
        if not spec.tied_embedding:
            self.head = self.param("head", nn.initializers.normal(0.02), (spec.width, spec.vocab_size))
        self.layers = nn.scan(
            Block, variable_axes={"params": 0, "program": 0}, variable_carry="cache",
            split_rngs={"params": True}, in_axes=(nn.broadcast, 0), length=spec.layers)(spec)
        self.final_norm = RMSNorm(spec.norm_eps)

    def hidden(self, tokens_BL: jax.Array, positions_BL: jax.Array | None = None) -> jax.Array:
        """Returns the normed last hidden states [B, L, D]; positions default to 0 .. L-1."""
        if positions_BL is None:
            positions_BL = jnp.broadcast_to(jnp.arange(tokens_BL.shape[1]), tokens_BL.shape)
        x_BLD = self.embed[tokens_BL].astype(self.dtype)
        x_BLD, _ = self.layers(x_BLD, positions_BL, jnp.arange(self.spec.layers))
        return self.final_norm(x_BLD)

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Returns float32 logits [..., V] of hidden states [..., D]."""
        head_DV = self.embed.T if self.spec.tied_embedding else self.head
        return jnp.matmul(hidden, head_DV.astype(self.dtype), preferred_element_type=jnp.float32)

    def __call__(self, tokens_BL: jax.Array, positions_BL: jax.Array | None = None) -> jax.Array:
        return self.logits(self.hidden(tokens_BL, positions_BL))


def init_cache(spec: config_lib.ModelConfig, batch: int, slots: int, dtype: jnp.dtype) -> dict:
    """Returns an empty `cache` collection: keys and values [J, B, K, T, H]."""
    shape = (spec.layers, batch, spec.kv_heads, slots, spec.head_dim)
    return {"layers": {"attention": {"k": jnp.zeros(shape, dtype), "v": jnp.zeros(shape, dtype)}}}


def abstract_params(decoder: Decoder) -> dict:
    """Returns the `params` tree as `jax.ShapeDtypeStruct`s; nothing is allocated."""
    return jax.tree.map(lambda leaf: leaf, _abstract_params(decoder))  # the caller's own dictionaries


@functools.cache
def _abstract_params(decoder: Decoder) -> dict:
    tokens = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    return jax.eval_shape(decoder.init, jax.random.key(0), tokens)["params"]
