"""Low-rank pairs on the seven projections: shapes, seeded starts and what the decoder gets.

Shape suffixes: J layers, I input features, O output features, R rank.
"""

import functools

import jax
import jax.numpy as jnp

from sah_jax.models import decoder as decoder_lib

PROJECTIONS = (
    ("attention", "q"), ("attention", "k"), ("attention", "v"), ("attention", "o"),
    ("ffn", "gate"), ("ffn", "up"), ("ffn", "down"),
)
"""The paper's modules: every projection of every layer."""

Factors = dict[str, dict[str, jax.Array]]
"""For each projection, `a` [J, I, R] and `b` [J, R, O]."""


def shapes(decoder: decoder_lib.Decoder, rank: int) -> dict[str, dict[str, tuple[int, ...]]]:
    """Returns the shapes of `a` and `b` for each projection ("attention/q", ...)."""
    layers = decoder_lib.abstract_params(decoder)["layers"]
    out = {}
    for group, name in PROJECTIONS:
        count, inputs, outputs = layers[group][name]["kernel"].shape
        out[f"{group}/{name}"] = {"a": (count, inputs, rank), "b": (count, rank, outputs)}
    return out


@functools.partial(jax.jit, static_argnames=("decoder", "rank"))
def start(decoder: decoder_lib.Decoder, rank: int, seed: int) -> Factors:
    """Returns the pair every fit starts from: `a` random, `b` zero, so that nothing is changed.

    The entries of `a` are +-1/sqrt(I), with signs from `jax.random.bits`: integers that are
    the same on every machine.
    """
    key, factors = jax.random.key(seed), {}
    for index, (name, pair) in enumerate(shapes(decoder, rank).items()):
        bits = jax.random.bits(jax.random.fold_in(key, index), pair["a"], jnp.uint8)
        signs = jnp.where(bits & 1, 1.0, -1.0).astype(jnp.float32)
        factors[name] = {
            "a": signs * pair["a"][1] ** -0.5, "b": jnp.zeros(pair["b"], jnp.float32)}
    return factors


def expand(factors: Factors, scale: float) -> dict:
    """Returns the decoder's `program` collection, in which x gains scale * (x @ a) @ b."""
    program = {"attention": {}, "ffn": {}}
    for name, pair in factors.items():
        group, projection = name.split("/")
        program[group][projection] = {"a": pair["a"], "b": pair["b"] * scale}
    return {"layers": program}
