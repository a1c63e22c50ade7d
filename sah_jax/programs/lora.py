"""`lora`: low-rank adapters (Hu et al. 2021, arXiv 2106.09685), trained quantised, entropy coded.

Both factors are integers times a learned step: a = a_0 + step_a * q_a and b = step_b * q_b,
where a_0 comes from a coded seed. Training sees the rounded values (straight-through
estimator, Bengio et al. 2013) and learns the steps (LSQ, Esser et al. 2020, arXiv
1902.08153); the loss is therefore that of the file's model at every step.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sah_jax import errors, hosts
from sah_jax.coding import integers, ledger, priors, scales, tensors
from sah_jax.models import sharding
from sah_jax.programs import base as family_lib
from sah_jax.programs import lowrank
from sah_jax.training import examples as examples_lib
from sah_jax.training import fit as fit_lib
from sah_jax.training import step as step_lib

_RANKS = (1, 2, 4, 8, 16, 32, 64)
_BITS = range(2, 9)
_SEEDS = 1 << 8
_MAX_ALPHA = (1 << 16) - 1

# An optimizer moves a weight by about the learning rate each time. A first step of so many
# moves lets the weights with steady gradients round away from zero and the others stay.
_FIRST_STEP_MOVES = 8
# Exponents move by up to this times the learning rate: some octaves over a fit.
_EXPONENT_SPEED = 16.0


@dataclasses.dataclass(frozen=True)
class LoraSetting:
    """rank, bits a weight; alpha / rank scales the update; the rest is how it is fitted."""

    rank: int
    bits: int
    learning_rate: float
    num_examples: int
    epochs: int = 1
    alpha: int = 8
    batch_size: int = 8
    max_tokens: int = 128


@dataclasses.dataclass(frozen=True)
class LoraTheta:
    """What is coded: per projection int arrays `a`, `b` and their step exponents."""

    rank: int
    bits: int
    alpha: int
    seed: int
    symbols: dict[str, dict[str, np.ndarray]]
    exponents: dict[str, dict[str, int]]


class Lora:
    """Quantised low-rank adapters on the seven projections of every layer."""

    name = "lora"
    reads_examples = True
    Setting = LoraSetting

    def fit(self, setting, base, task, seed, report, checkpoints=None) -> LoraTheta:
        """See `Family.fit`."""
        _check(setting, seed)
        examples = examples_lib.first_fitting(
            base, task, setting.num_examples, setting.max_tokens, seed)
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(len(examples)) for _ in range(setting.epochs)]
        total = setting.epochs * -(-len(examples) // setting.batch_size)
        top, scale = priors.levels(setting.bits), setting.alpha / setting.rank
        start = lowrank.start(base.decoder, setting.rank, seed)
        first = scales.STEPS_PER_OCTAVE * np.log2(_FIRST_STEP_MOVES * setting.learning_rate)
        zeros = jax.tree.map(jnp.zeros_like, start)
        exponents = jax.tree.map(lambda _: jnp.float32(first / _EXPONENT_SPEED), start)
        theta = {"offset": zeros, "exponent": exponents}

        def expand(theta, params):
            quantised = jax.tree.map(
                functools.partial(_fake_quantise, top), theta["offset"], theta["exponent"])
            return {"params": params, "program": lowrank.expand(_sum(start, quantised), scale)}

        schedule = optax.cosine_decay_schedule(setting.learning_rate, total, alpha=0.05)
        optimizer = optax.adam(schedule)
        state = step_lib.FitState(theta, optimizer.init(theta))
        placed = step_lib.places(base.decoder, state, setting.batch_size)
        step = step_lib.make_step(base.decoder, optimizer, expand, placed)
        state = sharding.place(state, placed.state) if placed else state
        batches = examples_lib.batches(
            base, examples, setting.batch_size, setting.max_tokens, orders, placed and placed.batch)
        theta, _ = fit_lib.fit(step, state, base.params, batches, total, report, checkpoints)
        theta = hosts.fetch(theta)
        exponents = jax.tree.map(lambda e: int(_exponent(e)), theta["exponent"])
        symbols = jax.tree.map(
            lambda x, e: np.clip(np.round(np.asarray(x) / scales.step(e)), -top, top).astype(np.int32),
            theta["offset"], exponents)
        return LoraTheta(setting.rank, setting.bits, setting.alpha, seed, symbols, exponents)

    def write(self, theta, writer, base, report) -> family_lib.Adapted:
        """See `Family.write`."""
        with writer.field("lora settings"):
            integers.write_choice(writer, _RANKS, theta.rank)
            integers.write_choice(writer, _BITS, theta.bits)
            integers.write_count(writer, theta.alpha)
            integers.write_bits(writer, theta.seed, 8)
        for name, pair in lowrank.shapes(base.decoder, theta.rank).items():
            for factor in pair:
                with writer.field(f"{name} {factor}"):
                    scales.write_scale(writer, theta.exponents[name][factor])
                    tensors.write_array(writer, theta.symbols[name][factor], theta.bits, ledger.LAYER)
        return _adapt(theta, base)

    def read(self, reader, base, report) -> family_lib.Adapted:
        """See `Family.read`."""
        with reader.field("lora settings"):
            rank = integers.read_choice(reader, _RANKS)
            bits = integers.read_choice(reader, _BITS)
            alpha = integers.read_count(reader, "as alpha", _MAX_ALPHA)
            seed = integers.read_bits(reader, 8)
        symbols, exponents = {}, {}
        for name, pair in lowrank.shapes(base.decoder, rank).items():
            symbols[name], exponents[name] = {}, {}
            for factor, shape in pair.items():
                with reader.field(f"{name} {factor}"):
                    exponents[name][factor] = scales.read_scale(reader)
                    symbols[name][factor] = tensors.read_array(reader, shape, bits, ledger.LAYER)
        return _adapt(LoraTheta(rank, bits, alpha, seed, symbols, exponents), base)


def _check(setting: LoraSetting, seed: int) -> None:
    if setting.rank not in _RANKS or setting.bits not in _BITS or not 0 <= seed < _SEEDS:
        raise errors.UserError(
            f"lora has rank {setting.rank}, bits {setting.bits} and seed {seed}, expected a rank of "
            f"{_RANKS}, 2 to 8 bits and a seed of 0 to {_SEEDS - 1}; correct the config.")
    for name in ("num_examples", "epochs", "alpha", "batch_size", "max_tokens", "learning_rate"):
        if getattr(setting, name) <= 0:
            raise errors.UserError(
                f"lora's setting {name} is {getattr(setting, name)}, expected more than 0; "
                "correct the config.")
    if setting.alpha > _MAX_ALPHA:
        raise errors.UserError(
            f"lora's setting alpha is {setting.alpha}, expected at most {_MAX_ALPHA}; correct the config.")


def _adapt(theta: LoraTheta, base) -> family_lib.Adapted:
    start = lowrank.start(base.decoder, theta.rank, theta.seed)
    offsets = jax.tree.map(lambda q, e: jnp.asarray(q * scales.step(e)), theta.symbols, theta.exponents)
    return family_lib.Adapted(lowrank.expand(_sum(start, offsets), theta.alpha / theta.rank))


def _sum(start: lowrank.Factors, offsets: lowrank.Factors) -> lowrank.Factors:
    return jax.tree.map(jnp.add, start, offsets)


def _round(x: jax.Array) -> jax.Array:
    """Rounds to the nearest integer, with the gradient of the identity."""
    return x + jax.lax.stop_gradient(jnp.round(x) - x)


def _exponent(parameter: jax.Array) -> jax.Array:
    return jnp.clip(_round(parameter * _EXPONENT_SPEED), scales.EXPONENTS[0], scales.EXPONENTS[-1])


def _fake_quantise(top: int, x: jax.Array, parameter: jax.Array) -> jax.Array:
    step = jnp.exp2(_exponent(parameter) / scales.STEPS_PER_OCTAVE)
    # Clipped before it is rounded: inside the range the whole gradient passes.
    return _round(jnp.clip(x / step, -top, top)) * step
