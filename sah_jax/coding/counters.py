"""Integers of a seed and a place, the same on every machine and under all of JAX's settings.

Threefry-2x32 (Salmon et al. 2011), a hash of counters, called as such: `jax.random` gives other integers for
the same key where `jax_threefry_partitionable` or `jax_random_seed_offset` are set otherwise, and a file of
numbers must decode whatever they are. At JAX's defaults both agree.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.random import threefry2x32_p

Key = jax.Array
"""uint32 [2]."""


def key(seed: Any) -> Key:
    """Returns the key of a seed below 2**32."""
    return jnp.stack([jnp.uint32(0), jnp.asarray(seed).astype(jnp.uint32)])


def fold_in(one: Key, number: Any) -> Key:
    """Returns another key for each number below 2**32."""
    zero = jnp.uint32(0)
    return jnp.stack(threefry2x32_p.bind(one[0], one[1], zero, jnp.asarray(number).astype(jnp.uint32)))


def bits(one: Key, shape: tuple[int, ...]) -> jax.Array:
    """Returns uint32 of a shape of fewer than 2**32 places, in which every bit is as good as any other."""
    size = 1
    for length in shape:
        size *= length
    places = jax.lax.iota(jnp.uint32, size).reshape(shape)
    high, low = threefry2x32_p.bind(one[0], one[1], jnp.zeros_like(places), places)
    return high ^ low


def signs(one: Key, shape: tuple[int, ...]) -> jax.Array:
    """Returns float32 of -1 and 1."""
    return jnp.where(bits(one, shape) & 1, 1.0, -1.0).astype(jnp.float32)
