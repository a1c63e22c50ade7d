"""Low-rank pairs on the seven projections: shapes, seeded starts and what the decoder gets.

Shape suffixes: J layers, I input features, O output features, R rank.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax.coding import counters
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.programs import header

PROJECTIONS = (
    ("attention", "q"), ("attention", "k"), ("attention", "v"), ("attention", "o"),
    ("ffn", "gate"), ("ffn", "up"), ("ffn", "down"),
)
"""The paper's modules: every projection of every layer."""

MODULES = header.Subset([name for _, name in PROJECTIONS])
"""The rule of a setting that says which of them."""

RANKS = (1, 2, 4, 8, 16, 32, 64)
MAX_ALPHA = (1 << 16) - 1

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


def start(decoder: decoder_lib.Decoder, rank: int, seed: Any) -> Factors:
    """Returns the pair every fit starts from: `a` random, `b` zero, so that nothing is changed.

    The entries of `a` are +-1/sqrt(I), with signs from `counters`: the same on every machine.
    """
    key, factors = counters.key(seed), {}
    for index, (name, pair) in enumerate(shapes(decoder, rank).items()):
        factors[name] = {
            "a": counters.signs(counters.fold_in(key, index), pair["a"]) * np.float32(
                1 / math.sqrt(pair["a"][1])),
            "b": jnp.zeros(pair["b"], jnp.float32)}
    return factors


def expand(factors: Factors, scales: Any) -> dict:
    """Returns the decoder's `program` collection, in which x gains scale * (x @ a) @ b.

    Args:
      factors: the pairs.
      scales: one for all, or by projection one for each layer [J].
    """
    program = {"attention": {}, "ffn": {}}
    for name, pair in factors.items():
        group, projection = name.split("/")
        scale = jnp.reshape(scales[name], (-1, 1, 1)) if isinstance(scales, Mapping) else scales
        program[group][projection] = {"a": pair["a"], "b": pair["b"] * scale}
    return {"layers": program}


def layer_scales(
    base: base_lib.BaseModel, scale: float, layers: str, modules: str
) -> dict[str, np.ndarray]:
    """Returns what `expand` takes to adapt some layers and modules: float32 [J], 0 for the others."""
    out = {}
    chosen = header.Layers().of(layers, base)
    for group, name in PROJECTIONS:
        out[f"{group}/{name}"] = np.zeros(base.spec.layers, np.float32)
        if name in MODULES.of(modules):
            out[f"{group}/{name}"][list(chosen)] = scale
    return out
