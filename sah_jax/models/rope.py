"""Rotary position embeddings (Su et al. 2021) and the scalings that released models use.

Shape suffixes: B batch, L tokens, N heads, H head dimension, E distinct embeddings of a model.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax import errors

# For each kind of scaling, the numbers it needs and those it may have, with their defaults.
_NEEDED = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "yarn": ("factor", "original_max_position_embeddings"),
}
_OPTIONAL = {"yarn": {"attention_factor": None, "beta_fast": 32.0, "beta_slow": 1.0}}


@dataclasses.dataclass(frozen=True)
class Rope:
    """One rotary embedding.

    Attributes:
      theta: the rotary base.
      kind: the scaling: default (none), linear, llama3 or yarn.
      scaling: the numbers of the scaling by their Hugging Face names, sorted.
    """

    theta: float
    kind: str = "default"
    scaling: tuple[tuple[str, float], ...] = ()

    def to_hf(self) -> dict[str, Any]:
        """Returns the `rope_parameters` of this embedding."""
        return {"rope_theta": self.theta, "rope_type": self.kind} | dict(self.scaling)

    def plain(self) -> "Rope":
        """Returns this embedding without scaling."""
        return Rope(self.theta)


def parse(given: dict[str, Any], where: str) -> Rope:
    """Turns Hugging Face rope parameters, old or new, into a `Rope`; strict.

    Raises:
      UserError: an unknown kind of scaling, or a number that is missing, unknown or not positive.
    """
    given = dict(given)
    older = given.pop("type", "default")
    kind = given.pop("rope_type", older)
    if kind not in _NEEDED:
        raise errors.UserError(
            f"{where}: rope_type is {kind!r}, expected one of {', '.join(_NEEDED)}; "
            "choose a model with one of these rotary embeddings.")
    theta = given.pop("rope_theta", None)
    optional = _OPTIONAL.get(kind, {})
    wanted = {"rope_theta": theta} | {name: given.pop(name, None) for name in _NEEDED[kind]}
    if given.keys() - optional.keys():
        unknown = min(given.keys() - optional.keys())
        raise errors.UserError(
            f"{where}: the {kind} rope parameter {unknown!r} ({given[unknown]!r}) is not implemented, "
            f"expected {', '.join((*wanted, *optional))}; choose a model without it.")
    extra = {name: given[name] for name in given if given[name] is not None}
    for name, value in (wanted | extra).items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise errors.UserError(
                f"{where}: {name} is {value!r}, expected a positive number; correct the file.")
    values = {name: value for name, value in optional.items() if value is not None}
    values |= {name: float(value) for name, value in (wanted | extra).items() if name != "rope_theta"}
    return Rope(float(theta), kind, tuple(sorted(values.items())))


def inverse_frequencies(rope: Rope, head_dim: int) -> tuple[np.ndarray, float]:
    """Returns float32 angles per position [H/2], and what cosines and sines are multiplied with."""
    scaling = dict(rope.scaling)
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    inverse = np.float32(1) / np.float32(rope.theta) ** exponents
    if rope.kind == "linear":
        return inverse / np.float32(scaling["factor"]), 1.0
    if rope.kind == "llama3":
        return _llama3(inverse, **scaling), 1.0
    if rope.kind == "yarn":
        default = 0.1 * math.log(scaling["factor"]) + 1 if scaling["factor"] > 1 else 1.0
        return _yarn(inverse, rope.theta, head_dim, scaling), scaling.get("attention_factor", default)
    return inverse, 1.0


def _llama3(inverse, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings):
    """Slow rotations are slowed by the factor, fast ones kept, between them a ramp (Llama 3.1)."""
    turns = original_max_position_embeddings * inverse / (2 * np.pi)  # in the original context
    kept = np.clip((turns - low_freq_factor) / (high_freq_factor - low_freq_factor), 0, 1)
    return (inverse * (kept + (1 - kept) / factor)).astype(np.float32)


def _yarn(inverse, theta, head_dim, scaling):
    """As above with a ramp over dimensions (Peng et al. 2023, "NTK-by-parts")."""
    original = scaling["original_max_position_embeddings"]
    dimension_of = lambda turns: (
        head_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(theta)))
    low = max(math.floor(dimension_of(scaling["beta_fast"])), 0)
    high = min(math.ceil(dimension_of(scaling["beta_slow"])), head_dim - 1)
    ramp = np.arange(head_dim // 2, dtype=np.float32) - low
    slowed = np.clip(ramp / max(high - low, 0.001), 0, 1).astype(np.float32)
    return inverse / np.float32(scaling["factor"]) * slowed + inverse * (1 - slowed)


def angles(ropes: tuple[Rope | None, ...], head_dim: int, positions_BL: jax.Array) -> tuple:
    """Returns float32 cosines and sines [E, B, L, H/2] of each embedding; None rotates nothing."""
    cos, sin = [], []
    for rope in ropes:
        inverse, amplitude = (np.zeros(head_dim // 2, np.float32), 1.0)
        if rope is not None:
            inverse, amplitude = inverse_frequencies(rope, head_dim)
        angles_BLH = positions_BL[..., None].astype(jnp.float32) * inverse
        cos.append(jnp.cos(angles_BLH) * np.float32(amplitude))
        sin.append(jnp.sin(angles_BLH) * np.float32(amplitude))
    return jnp.stack(cos), jnp.stack(sin)


def rotate(x_BLNH: jax.Array, cos_BLH: jax.Array, sin_BLH: jax.Array) -> jax.Array:
    """Rotates each head's half-split pairs by the angles given."""
    cos, sin = cos_BLH[:, :, None], sin_BLH[:, :, None]
    first, second = jnp.split(x_BLNH.astype(jnp.float32), 2, axis=-1)
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return rotated.astype(x_BLNH.dtype)
