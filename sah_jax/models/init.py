"""Random initialisation from an architecture and a seed: the model before any training ("step 0")."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from sah_jax.models import config as config_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import stores, weights

STORED_DTYPE = "bfloat16"
"""What drawn values are rounded to, so that a saved step 0 is the same model as a drawn one."""


def init_params(
    spec: config_lib.ModelConfig, seed: int, shardings: dict | None = None, dtype: str = "float32",
    vocab_rows: int = 0,
) -> dict:
    """Draws the weights of a model before training.

    Matrices and embeddings are normal with mean 0 and the standard deviation `spec.init_std`, gains
    of norms are ones and biases zeros. Every value is one of bfloat16, whatever dtype it is held in.
    The values depend on architecture and seed, not on the devices or how the leaves are sharded over
    them: each number is drawn from its place (JAX's partitionable Threefry). They are JAX's own,
    not those of a `torch.manual_seed`.

    Args:
      spec: the architecture.
      seed: of the draw.
      shardings: for each leaf a `jax.sharding.Sharding`; no device ever holds more than its share.
        Without them all is on the default device.
      dtype: what the values are held in.
      vocab_rows: see `decoder.Decoder`; rows beyond the vocabulary are zero.

    Returns:
      The `params` tree.
    """
    key = jax.random.key(seed, impl="threefry2x32")
    return jax.jit(_draw(spec, dtype, vocab_rows), out_shardings=shardings)(key)


@functools.cache
def _draw(spec: config_lib.ModelConfig, dtype: str, vocab_rows: int) -> Callable[[jax.Array], dict]:
    """Returns one function for each model and dtype, so that another seed compiles nothing."""
    decoder = decoder_lib.Decoder(spec, vocab_rows=vocab_rows)

    def draw(key: jax.Array) -> dict:
        params = decoder.init(key, jnp.zeros((1, 1), jnp.int32))["params"]
        # XLA may drop a cast there and back; this it may not.
        rounded = jax.tree.map(lambda leaf: jax.lax.reduce_precision(leaf, 8, 7), params)
        return jax.tree.map(lambda leaf: leaf.astype(dtype), rounded)

    return draw


def digest(params: dict, spec: config_lib.ModelConfig) -> str:
    """Returns the digest that drawn weights have when they are stored, see `weights.digest`."""
    plain = decoder_lib.cut_vocabulary(spec, params)
    return weights.digest(stores.of_params(plain, spec, STORED_DTYPE), spec)
