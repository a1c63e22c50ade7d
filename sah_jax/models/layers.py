"""The parts of a decoder layer, as Flax modules; shape suffixes as in `sah_jax.models.decoder`."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from sah_jax.models import config as config_lib
from sah_jax.models import quantize, sharding
from sah_jax.models import rope as rope_lib


class Place(NamedTuple):
    """Where tokens stand, computed once for all layers.

    positions_BL: int32.
    cos_EBLH, sin_EBLH: float32 angles of each of the model's distinct rotary embeddings.
    """

    positions_BL: jax.Array
    cos_EBLH: jax.Array
    sin_EBLH: jax.Array


class Layer(NamedTuple):
    """What one layer does otherwise than the next; int32 scalars, scanned over.

    index: the layer's number.
    rope: which of the distinct rotary embeddings it has.
    window: how many positions it sees, the token's own included.
    """

    index: jax.Array
    rope: jax.Array
    window: jax.Array


class Projection(nn.Module):
    """x @ kernel, quantised or not, and perhaps a bias, plus a program's low-rank pair where there is one."""

    features: int
    bias: bool = False
    std: float = 0.02
    mesh: jax.sharding.Mesh | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # One plain matrix product: XLA:CPU compiles the gradient of a batched one to copies.
        x_MD = x.reshape(-1, x.shape[-1])
        if self.has_variable("params", "codes"):
            y_MF = quantize.project(
                x_MD, self.get_variable("params", "codes"), self.get_variable("params", "scales"))
        else:
            kernel = self.param("kernel", nn.initializers.normal(self.std), (x.shape[-1], self.features))
            y_MF = x_MD @ kernel.astype(x.dtype)
        if self.bias:
            y_MF += self.param("bias", nn.initializers.zeros, (self.features,)).astype(x.dtype)
        if self.has_variable("program", "a"):
            # The gradient of `a` as [R, in]: XLA:CPU takes 15 times as long over [in, R], and would
            # make that of the transposes without the barrier.
            a_RD = jax.lax.optimization_barrier(self._pair("a").astype(x.dtype).T)
            y_MF += (x_MD @ a_RD.T) @ self._pair("b").astype(x.dtype)
        return y_MF.reshape(*x.shape[:-1], self.features)

    def _pair(self, name: str) -> jax.Array:
        """Returns a factor of the low-rank pair, gathered.

        XLA gathers a kernel by itself. A pair is so thin that it would move the activations instead.
        """
        path = "/".join((*self.path, name))
        return sharding.gathered(self.get_variable("program", name), path, self.mesh)


class RMSNorm(nn.Module):
    """Root-mean-square norm with a gain, computed in float32 (Zhang & Sennrich 2019)."""

    eps: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        x32 = x.astype(jnp.float32)
        normed = x32 * jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + self.eps)
        return (normed * scale).astype(x.dtype)


class _Part(nn.Module):
    """What attention and feed-forward have in common."""

    spec: config_lib.ModelConfig
    mesh: jax.sharding.Mesh | None = None

    def _projection(self, name: str, features: int) -> Projection:
        return Projection(features, name in self.spec.biases, self.spec.init_std, self.mesh, name=name)


class Attention(_Part):
    """Grouped-query causal attention, with or without a cache."""

    @nn.compact
    def __call__(self, x_BLD: jax.Array, place: Place, layer: Layer) -> jax.Array:
        spec = self.spec
        q_BLNH = self._heads(self._projection("q", spec.heads * spec.head_dim)(x_BLD), "q_norm")
        k_BLKH = self._heads(self._projection("k", spec.kv_heads * spec.head_dim)(x_BLD), "k_norm")
        v_BLKH = self._heads(self._projection("v", spec.kv_heads * spec.head_dim)(x_BLD))
        cos_BLH, sin_BLH = place.cos_EBLH[layer.rope], place.sin_EBLH[layer.rope]
        q_BLNH = rope_lib.rotate(q_BLNH, cos_BLH, sin_BLH)
        k_BLKH = rope_lib.rotate(k_BLKH, cos_BLH, sin_BLH)
        k_BKHT = self._seen("k", k_BLKH, place.positions_BL, layer.index)
        v_BKTH = self._seen("v", v_BLKH, place.positions_BL, layer.index)
        # Heads lead and the queries of a group share an axis: two plain batched products.
        q_BKMH = rearrange(q_BLNH, "B L (K G) H -> B K (G L) H", K=spec.kv_heads)
        scores_BKMT = (q_BKMH @ k_BKHT).astype(jnp.float32)
        slots_T, position_BL1 = jnp.arange(k_BKHT.shape[-1]), place.positions_BL[:, :, None]
        seen_BLT = slots_T <= position_BL1
        if spec.windows:
            seen_BLT &= slots_T > position_BL1 - layer.window
        seen_B1MT = jnp.tile(seen_BLT, (1, spec.heads // spec.kv_heads, 1))[:, None]
        masked_BKMT = jnp.where(seen_B1MT, scores_BKMT * spec.head_dim**-0.5, jnp.finfo(jnp.float32).min)
        mixed_BKMH = self._mixed(q_BKMH, masked_BKMT, v_BKTH)
        mixed_BLF = rearrange(mixed_BKMH, "B K (G L) H -> B L (K G H)", L=x_BLD.shape[1])
        return self._projection("o", spec.width)(mixed_BLF)

    def _mixed(self, q_BKMH: jax.Array, scores_BKMT: jax.Array, v_BKTH: jax.Array) -> jax.Array:
        """Returns the values mixed by the softmax of the scores; a program's prefix takes part."""
        if not self.has_variable("program", "prefix_k"):
            return jax.nn.softmax(scores_BKMT, axis=-1).astype(v_BKTH.dtype) @ v_BKTH
        prefix_k_SKH, prefix_v_SKH = (
            self.get_variable("program", name).astype(v_BKTH.dtype) for name in ("prefix_k", "prefix_v"))
        # Beside the others rather than in one array with them, which would be a copy of the cache.
        scores_BKMS = jnp.einsum("BKMH,SKH->BKMS", q_BKMH, prefix_k_SKH).astype(jnp.float32)
        weights = jax.nn.softmax(
            jnp.concatenate([scores_BKMS * self.spec.head_dim**-0.5, scores_BKMT], axis=-1), axis=-1)
        weights_BKMS, weights_BKMT = jnp.split(weights.astype(v_BKTH.dtype), [len(prefix_k_SKH)], axis=-1)
        return weights_BKMT @ v_BKTH + jnp.einsum("BKMS,SKH->BKMH", weights_BKMS, prefix_v_SKH)

    def _heads(self, y_BLF: jax.Array, norm: str = "") -> jax.Array:
        """Splits a projection's output into heads; norms it before or after."""
        spec = self.spec
        if norm and spec.qk_norm == "width":
            y_BLF = RMSNorm(spec.norm_eps, name=norm)(y_BLF)
        y_BLNH = rearrange(y_BLF, "B L (N H) -> B L N H", H=spec.head_dim)
        if norm and spec.qk_norm == "head":
            y_BLNH = RMSNorm(spec.norm_eps, name=norm)(y_BLNH)
        return y_BLNH

    def _seen(self, name: str, new_BLKH: jax.Array, positions_BL: jax.Array, index: jax.Array) -> jax.Array:
        """Returns the keys [B, K, H, T] or values [B, K, T, H] to attend to.

        They are the new ones, or this layer's cache with them in it.
        """
        if not self.has_variable("cache", name):
            return rearrange(new_BLKH, "B L K H -> B K H L" if name == "k" else "B L K H -> B K L H")
        rows, cache = jnp.arange(positions_BL.shape[0])[:, None], self.get_variable("cache", name)
        # Updated in place: all layers share one carried array.
        if name == "k":
            cache = cache.at[index, rows, :, :, positions_BL].set(new_BLKH)
        else:
            cache = cache.at[index, rows, :, positions_BL].set(new_BLKH)
        self.put_variable("cache", name, cache)
        return cache[index]


class FeedForward(_Part):
    """SwiGLU (Shazeer 2020)."""

    @nn.compact
    def __call__(self, x_BLD: jax.Array) -> jax.Array:
        gate_BLF = self._projection("gate", self.spec.ffn)(x_BLD)
        up_BLF = self._projection("up", self.spec.ffn)(x_BLD)
        # Of the product, the backward pass wants gate and up kept alone.
        product = jax.checkpoint(lambda gate, up: nn.silu(gate) * up, prevent_cse=False)
        return self._projection("down", self.spec.width)(product(gate_BLF, up_BLF))


class Block(nn.Module):
    """One layer with its residual sums, in the (carry, None) form that `nn.scan` wants."""

    spec: config_lib.ModelConfig
    mesh: jax.sharding.Mesh | None = None

    @nn.compact
    def __call__(self, x_BLD: jax.Array, place: Place, layer: Layer) -> tuple[jax.Array, None]:
        attention = Attention(self.spec, self.mesh, name="attention")
        x_BLD += self._normed("attention_norm", lambda y_BLD: attention(y_BLD, place, layer), x_BLD)
        x_BLD += self._normed("ffn_norm", FeedForward(self.spec, self.mesh, name="ffn"), x_BLD)
        return x_BLD, None

    def _normed(self, name: str, part, x_BLD: jax.Array) -> jax.Array:
        """Returns the part's output, its input normed (Llama) or its output (Olmo 2)."""
        norm = RMSNorm(self.spec.norm_eps, name=name)
        return norm(part(x_BLD)) if self.spec.norm_after else part(norm(x_BLD))
