"""`vector`: a coded vector of d integers that a seeded hash spreads over the low-rank pairs of all layers.

Over the coordinates of both factors it is a random projection of LoRA (Uni-LoRA, arXiv 2506.00799;
intrinsic dimension, Li et al. 2018): each coordinate is one entry of the vector, with a sign. Over the
cores R of A R B, with A and B sketches of the frozen weight, it is LoRA-XS (arXiv 2405.17604), and with
fewer numbers than cores have TinyLoRA (arXiv 2602.04118), but for the basis: W times random signs takes the
place of a singular value decomposition, whose floats differ from machine to machine. All of it is integers
until one last product.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax import errors
from sah_jax.coding import counters, scales
from sah_jax.programs import base as family_lib
from sah_jax.programs import header, lowrank, quantised

MOST = 100_000
"""The most numbers of a vector."""

BASES = ("factors", "cores")
"""What the vector is spread over: the entries of both factors, or the cores between two sketches."""

# A sketch's entries are integers of so many bits and a sign; with 8-bit numbers and 64 ranks all sums of
# products are below 2**24, which float32 holds exactly.
_SKETCH_BITS = 11
_WEIGHT_BITS = 15
# What the entries of a sketch are taken to be in the root mean square, so that it acts as a LoRA factor does.
_SKETCH_RMS = 1 << (_SKETCH_BITS - 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorForm(quantised.Form):
    """size is d; the update is scaled by alpha / rank; basis is one of `BASES`."""

    bits_per_weight: int = header.coded(header.Choice(range(2, 9)), default=8)
    size: int = header.coded(header.Count(1, MOST))
    rank: int = header.coded(header.Choice(lowrank.RANKS), default=1)
    basis: str = header.coded(header.Choice(BASES), default="factors")
    alpha: int = header.coded(header.Count(1, lowrank.MAX_ALPHA), default=8)
    layers: str = header.coded(header.Layers(), default="all")
    modules: str = header.coded(lowrank.MODULES, default="all")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorSetting(VectorForm, quantised.Fitting):
    """See `VectorForm` and `quantised.Fitting`."""


class Vector(quantised.QuantisedFamily):
    """A few integers for all low-rank pairs."""

    name = "vector"
    Form, Setting = VectorForm, VectorSetting
    RUNTIME = {"alpha": 1, "layers": "all", "modules": "all"}
    layered = False

    def shapes(self, form, decoder) -> dict[str, tuple[int, ...]]:
        """See `QuantisedFamily.shapes`."""
        return {"vector": (form.size,)}

    def knobs(self, form, seed, base, extra=()):
        """See `QuantisedFamily.knobs`."""
        out = {"seed": np.int32(seed), "unit": np.float32(1),
               "scales": lowrank.layer_scales(base, form.alpha / form.rank, form.layers, form.modules)}
        if form.basis == "cores":
            out["sketches"] = sketches(base, form.rank, seed)
        return out

    def program(self, values, form, knobs, params, decoder) -> family_lib.Added:
        """See `QuantisedFamily.program`."""
        key, unit = counters.key(knobs["seed"]), knobs["unit"]
        factors = {}
        if form.basis == "factors":
            for number, (name, pair) in enumerate(lowrank.start(decoder, form.rank, knobs["seed"]).items()):
                factors[name] = {
                    factor: start + unit * spread(values["vector"], _key(key, number, place), start.shape)
                    for place, (factor, start) in enumerate(pair.items())}
        else:
            # Numbered in the order of the projections: trees that went through JAX have theirs sorted.
            for number, name in enumerate(map("/".join, lowrank.PROJECTIONS)):
                pair = knobs["sketches"][name]
                shape = (len(pair["a"]), form.rank, form.rank)
                cores = spread(values["vector"], _key(key, number, 0), shape)
                b = jnp.matmul(cores, pair["b"], precision=jax.lax.Precision.HIGHEST)
                # As in a pair's start, x @ a is about as large as x; the rest is up to the numbers.
                scale = np.float32(1 / (math.sqrt(pair["a"].shape[1]) * _SKETCH_RMS))
                factors[name] = {"a": pair["a"] * scale,
                                 "b": b * (unit * np.float32(1 / _SKETCH_RMS))}
        return family_lib.Added(lowrank.expand(factors, knobs["scales"]))

    def portable(self, theta) -> bool:
        """See `QuantisedFamily.portable`."""
        return True

    def _values_of(self, found, knobs):
        """Integers, for the step is the last thing to be multiplied with."""
        unit = scales.step(found.exponents["vector"])
        return {"vector": found.symbols["vector"].astype(np.float32)}, {**knobs, "unit": unit}


def _key(key: jax.Array, number: int, place: int) -> jax.Array:
    # Apart from the keys of the pairs' starts.
    return counters.fold_in(counters.fold_in(key, 1000 + number), place)


def spread(vector: jax.Array, key: jax.Array, shape: Sequence[int]) -> jax.Array:
    """Returns an array whose entries are entries of a vector with signs, by a hash of their places."""
    bits = counters.bits(key, tuple(shape))
    signs = jnp.where(bits & 1, 1.0, -1.0).astype(jnp.float32)
    return vector[(bits >> 1) % jnp.uint32(vector.shape[0])] * signs


def sketches(base, rank: int, seed: int) -> lowrank.Factors:
    """Returns for each projection W times random signs, from either side: a [J, I, R], b [J, R, O].

    The entries are integers of at most `_SKETCH_BITS` bits, in float32: the same on any machine.

    Raises:
      UserError: the weights are quantised.
    """
    key, out = counters.key(seed), {}
    for number, (group, name) in enumerate(lowrank.PROJECTIONS):
        leaves = base.params["layers"][group][name]
        if "kernel" not in leaves:
            raise errors.UserError(
                f"{base.name} has quantised weights, expected kernels to sketch; take basis=factors.")
        kernel = leaves["kernel"]
        right = counters.signs(_key(key, number, 1), (kernel.shape[2], rank))
        left = counters.signs(_key(key, number, 2), (rank, kernel.shape[1]))
        whole = _as_integers(kernel)
        out[f"{group}/{name}"] = {
            "a": _shortened(whole @ right.astype(jnp.int32)),
            "b": _shortened(left.astype(jnp.int32) @ whole)}
    return out


def _as_integers(kernel: jax.Array) -> jax.Array:
    """Returns weights as int32 of at most 15 bits and a sign, scaled by a power of two."""
    values = kernel.astype(jnp.float32)
    _, exponent = jnp.frexp(jnp.max(jnp.abs(values)))
    # A power of two by its bits: a float power need not be exact on every machine.
    power = jnp.clip(_WEIGHT_BITS - exponent + 127, 1, 254).astype(jnp.int32) << 23
    return jnp.round(values * jax.lax.bitcast_convert_type(power, jnp.float32)).astype(jnp.int32)


def _shortened(sums: jax.Array) -> jax.Array:
    """Returns integers, cut to 11 bits and a sign by a shift, in float32."""
    length = 32 - jax.lax.clz(jnp.max(jnp.abs(sums)))
    return (sums >> jnp.maximum(length - _SKETCH_BITS, 0)).astype(jnp.float32)
