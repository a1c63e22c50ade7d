"""What quantised families fit and code: named arrays of integers times a learned step.

A value is step * q for an integer q. Training sees the rounded values (straight-through
estimator, Bengio et al. 2013) or values with uniform noise in place of the rounding (Ballé et
al. 2017), and learns the steps (LSQ, Esser et al. 2020, arXiv 1902.08153), which lie on a
coded grid. What the integers will cost is estimated by a Laplace entropy model (entropy-penalised
reparameterisation, Oktay et al. 2020, arXiv 1906.06624), whose spread is learned and never sent:
the file's coder adapts to the integers by itself.

Of 16 bits a weight, values are numbers in bfloat16, written raw: the layout of the paper's lengths.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax import errors
from sah_jax.coding import file, ledger, priors, scales, tensors

RAW_BITS = 16
"""Of a weight in bfloat16."""

BITS = (*range(2, 9), RAW_BITS)
"""What a weight may have; of integers, the most, and the file's coder takes what they need."""

ROUNDINGS = ("straight_through", "noise")

# An optimizer moves a weight by about the learning rate each time. A first step of so many
# moves lets the weights with steady gradients round away from zero and the others stay.
_FIRST_STEP_MOVES = 8
# Exponents move by up to this times the learning rate: some octaves over a fit.
_EXPONENT_SPEED = 16.0
# Noise gives way to rounding, so that a fit ends with the values that the file has.
_NOISE_UNTIL = 0.7
# The weight of the rate rises from 0, or nothing would leave zero.
_RATE_FROM, _RATE_UNTIL = 0.1, 0.5
_FIRST_SPREAD = -2.0
_LOG_SPREADS = (-6.0, 16.0)  # beyond them a probability is 0 or 1 in float32
_LEAST_PROBABILITY = 2.0**-30


class Knobs(NamedTuple):
    """How values are quantised; float32 scalars, arguments of a compiled step.

    top: the largest magnitude of an integer.
    noise: 1 for uniform noise in place of rounding, 0 for rounding.
    rate_weight: λ, nats of loss per bit.
    first_exponent: of every step, in the parameter's units.
    """

    top: Any
    noise: Any
    rate_weight: Any
    first_exponent: Any


@dataclasses.dataclass(frozen=True)
class Latents:
    """What a file holds: by name, integers int32 and exponents of steps; of 16 bits, bfloat16 values."""

    symbols: dict[str, np.ndarray]
    exponents: dict[str, int]

    def values(self) -> dict[str, np.ndarray]:
        """Returns the float32 values that the file means, the same on any machine."""
        return {name: np.asarray(array if name not in self.exponents
                                 else array * scales.step(self.exponents[name]), np.float32)
                for name, array in self.symbols.items()}

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return sum(array.size for array in self.symbols.values())

    @property
    def all_zero(self) -> bool:
        """Whether every number is zero."""
        return not any(np.any(array) for array in self.symbols.values())


def make_knobs(bits: int, rounding: str, rate_weight: float, learning_rate: float) -> Knobs:
    """Returns the knobs of a setting; of 16 bits there is nothing to quantise."""
    first = scales.STEPS_PER_OCTAVE * np.log2(_FIRST_STEP_MOVES * learning_rate)
    first = np.clip(first, scales.EXPONENTS[0], scales.EXPONENTS[-1])
    return Knobs(*map(np.float32, (
        priors.levels(bits), rounding == "noise", rate_weight, first / _EXPONENT_SPEED)))


def start(shapes: Mapping[str, Sequence[int]], knobs: Knobs) -> dict[str, dict[str, jax.Array]]:
    """Returns what a fit starts from: for each array `offset`, all zero, `exponent` and `spread`."""
    return {
        "offset": {name: jnp.zeros(shape, jnp.float32) for name, shape in shapes.items()},
        "exponent": {name: jnp.float32(knobs.first_exponent) for name in shapes},
        "spread": {name: jnp.full(_spread_shape(shape), _FIRST_SPREAD / _EXPONENT_SPEED, jnp.float32)
                   for name, shape in shapes.items()},
    }


def _spread_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """One spread for each layer of a stacked array."""
    return (shape[0], *(1 for _ in shape[1:])) if len(shape) > 1 else ()


def quantised(theta: dict, knobs: Knobs, progress: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
    """Returns the values that training sees; `progress` is the share of the fit that is done."""
    return {name: _quantised(theta["offset"][name], theta["exponent"][name], knobs,
                             knobs.noise * (progress < _NOISE_UNTIL), _key(key, number))
            for number, name in enumerate(theta["offset"])}


def _quantised(x, parameter, knobs, noise, key):
    step = _step(parameter)
    # Clipped before it is rounded: inside the range the whole gradient passes.
    q = jnp.clip(x / step, -knobs.top, knobs.top)
    shaken = q + jax.random.uniform(key, x.shape, minval=-0.5, maxval=0.5)
    return jnp.where(noise > 0, shaken, rounded(q)) * step


def rate_bits(theta: dict, key: jax.Array) -> jax.Array:
    """Returns what the integers are estimated to cost in a file, a float32 scalar in bits."""
    total = jnp.float32(0)
    for number, (name, x) in enumerate(theta["offset"].items()):
        noise = jax.random.uniform(_key(key, number), x.shape, minval=-0.5, maxval=0.5)
        q = x / _step(theta["exponent"][name]) + noise
        log_spread = jnp.clip(theta["spread"][name] * _EXPONENT_SPEED, *_LOG_SPREADS)
        total += jnp.sum(laplace_bits(q, jnp.exp2(log_spread)))
    return total


def laplace_bits(q: jax.Array, spread: jax.Array) -> jax.Array:
    """Returns -log2 of what a Laplace distribution gives the unit interval around q."""
    size = jnp.abs(q)
    # Each form gets what it is right for, also where the other is taken: its gradient must be finite.
    below, beyond = jnp.minimum(size, 0.5), jnp.maximum(size, 0.5)
    near = 1 - 0.5 * (jnp.exp((below - 0.5) / spread) + jnp.exp((-below - 0.5) / spread))
    tail = 0.5 * (jnp.exp((0.5 - beyond) / spread) - jnp.exp((-0.5 - beyond) / spread))
    far = size > 0.5
    return -jnp.log2(jnp.maximum(jnp.where(far, tail, near), _LEAST_PROBABILITY))


def rate_share(progress: jax.Array) -> jax.Array:
    """Returns the part of λ that counts: 0 at first, 1 from the middle of a fit on."""
    return jnp.clip((progress - _RATE_FROM) / (_RATE_UNTIL - _RATE_FROM), 0.0, 1.0)


def _key(key: jax.Array, number: int) -> jax.Array:
    return jax.random.fold_in(key, number)


def rounded(x: jax.Array) -> jax.Array:
    """Rounds to the nearest integer, with the gradient of the identity."""
    return x + jax.lax.stop_gradient(jnp.round(x) - x)


def _exponent(parameter: jax.Array) -> jax.Array:
    return jnp.clip(rounded(parameter * _EXPONENT_SPEED), scales.EXPONENTS[0], scales.EXPONENTS[-1])


def _step(parameter: jax.Array) -> jax.Array:
    return jnp.exp2(_exponent(parameter) / scales.STEPS_PER_OCTAVE)


def freeze(theta: dict, bits: int) -> Latents:
    """Returns what the file will hold of a fitted θ (fetched)."""
    if bits == RAW_BITS:
        rounded_to = {name: to_bfloat16(x) for name, x in theta["offset"].items()}
        if not all(np.all(np.isfinite(x)) for x in rounded_to.values()):
            raise errors.UserError(
                "a fitted number is beyond what bfloat16 holds, expected finite ones; lower the learning "
                "rate.")
        return Latents(rounded_to, {})
    top = priors.levels(bits)
    exponents = {name: int(_exponent(parameter)) for name, parameter in theta["exponent"].items()}
    nearest = {name: np.round(np.asarray(x) / scales.step(exponents[name]))
               for name, x in theta["offset"].items()}
    return Latents({name: np.clip(q, -top, top).astype(np.int32) for name, q in nearest.items()}, exponents)


def to_bfloat16(x: Any) -> np.ndarray:
    """Returns float32 values rounded to those that bfloat16 has."""
    return np.asarray(jnp.asarray(x, jnp.float32).astype(jnp.bfloat16).astype(jnp.float32))


def write(
    writer: file.ProgramWriter, latents: Latents, bits: int, kept: Mapping[str, Sequence[int] | None],
    layered: bool,
) -> None:
    """Codes arrays, and of those that are not all zero the step.

    Args:
      writer: takes the symbols.
      latents: the arrays.
      bits: one of `BITS`.
      kept: by name, which rows of the first axis the file holds; None for all. The others are zero.
      layered: for the ledger, whether the first axis counts layers.
    """
    # In the order of `kept`: trees that went through JAX have theirs sorted.
    for name, rows in kept.items():
        array = latents.symbols[name]
        some = array if rows is None else array[list(rows)]
        with writer.field(name):
            if bits == RAW_BITS:
                write_bfloat16(writer, some)
                continue
            tensors.write_array(writer, some, bits, ledger.LAYER if layered else None)
            if np.any(some):
                scales.write_scale(writer, latents.exponents[name])


def read(
    reader: file.ProgramReader, shapes: Mapping[str, Sequence[int]], bits: int,
    kept: Mapping[str, Sequence[int] | None], layered: bool,
) -> Latents:
    """Reads what `write` wrote."""
    symbols, exponents = {}, {}
    for name, shape in shapes.items():
        rows = range(shape[0]) if kept[name] is None else kept[name]
        part = (len(rows), *shape[1:])
        with reader.field(name):
            if bits == RAW_BITS:
                some = read_bfloat16(reader, part)
            else:
                some = tensors.read_array(reader, part, bits, ledger.LAYER if layered else None)
                exponents[name] = scales.read_scale(reader) if np.any(some) else 0
        symbols[name] = np.zeros(shape, some.dtype)
        symbols[name][list(rows)] = some
    return Latents(symbols, exponents)


def write_bfloat16(writer: file.ProgramWriter, values: np.ndarray) -> None:
    """Codes float32 values that bfloat16 has, in exactly 16 bits each."""
    patterns = np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint32) >> 16
    table = file.uniform_table(256)
    for shift in (8, 0):
        writer.put_table(table, patterns >> shift & 255)


def read_bfloat16(reader: file.ProgramReader, shape: Sequence[int]) -> np.ndarray:
    """Reads what `write_bfloat16` wrote.

    Raises:
      UserError: the file is far too small for so many, or holds a value that is not finite.
    """
    count = int(np.prod(shape))
    if 2 * count > reader.size:
        raise reader.invalid(f"it claims {count} numbers of 16 bits")
    high, low = (reader.take_table(file.uniform_table(256), count).astype(np.uint32) for _ in range(2))
    values = ((high << 24) | (low << 16)).view(np.float32)
    if not np.all(np.isfinite(values)):
        raise reader.invalid("it holds numbers that are not finite")
    return values.reshape(shape)

