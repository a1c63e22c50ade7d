"""`bayesian_bits`: low-rank adapters with learned bit widths (B-LoRA, Meo et al. 2024, arXiv 2406.13046).

Every tensor has a ladder of quantisers (see `widths`): 2 bits, and where a gate is open the residual at 4,
8, 16 and 32. Gates are hard-concrete (Louizos et al. 2018) while training; the loss gains a constant for
every gate that is likely open. With rank 2 and more there is an R x 1 tensor `e` between the factors, and
nested gates on the ranks.

As in the paper, but for what was wrong there: steps begin at the largest magnitude, values are clipped to
  what their bits can hold, sizes are in x rank and rank x out, and steps, widths and ranks are in the file.
  `reference_bits` is the paper's own count.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax import errors
from sah_jax.coding import integers
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import header, latents, lowrank, widths
from sah_jax.training import lanes as lanes_lib
from sah_jax.training import tuned

# Hard-concrete gates: temperature, and the stretch beyond 0 and 1.
_BETA, _ZETA, _GAMMA = 2 / 3, 1.1, -0.1
_FIRST_LOGIT = 6.0
# Where a sample is 0 for sure, a gate is left alone by the task; it is closed below this probability of 0.
_SAMPLED_ABOVE = -2.0
_OPEN_BELOW = 0.34
# Which axis of a layer's tensor counts ranks.
_RANK_AXES = {"a": 1, "b": 0, "e": 0}

_FACTOR_RATE = 1e-3  # torch's default, which the paper's group of factors has
_WEIGHT_DECAY = 1e-3
_STD = 0.02


@dataclasses.dataclass(frozen=True, kw_only=True)
class BayesianBitsForm:
    """With rank 1 there are no ranks to choose."""

    rank: int = header.coded(header.Choice(lowrank.RANKS), default=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BayesianBitsSetting(BayesianBitsForm):
    """How it is fitted; the defaults are the paper's.

    factor_rate, gate_rate, scale_rate: learning rates of factors, gates and steps.
    width_weight, rank_weight: nats for each gate that is open.
    """

    num_examples: int = header.fitting(header.Positive())
    epochs: int = header.fitting(header.Positive(), default=1)
    batch_size: int = header.fitting(header.Positive(), default=8)
    max_tokens: int = header.fitting(header.Positive(), default=128)
    factor_rate: float = header.fitting(header.Positive(), default=_FACTOR_RATE)
    gate_rate: float = header.fitting(header.Positive(), default=1e-2)
    scale_rate: float = header.fitting(header.Positive(), default=1e-2)
    width_weight: float = header.fitting(header.NotNegative(), default=1e-3)
    rank_weight: float = header.fitting(header.NotNegative(), default=1e-3)


@dataclasses.dataclass(frozen=True)
class Theta:
    """What is coded: tensors by name ("attention/q/a"), and how many ranks each layer and projection has."""

    form: BayesianBitsForm
    seed: int
    tensors: dict[str, widths.Tensor]
    ranks: dict[str, np.ndarray]


def gate_sample(logits: jax.Array, key: jax.Array) -> jax.Array:
    """Returns hard-concrete samples in [0, 1]; logits of at most -2 give 0."""
    u = jax.random.uniform(key, logits.shape, minval=1e-6, maxval=1 - 1e-6)
    raw = jax.nn.sigmoid((jnp.log(u) - jnp.log1p(-u) + logits) / _BETA) * (_ZETA - _GAMMA) + _GAMMA
    return jnp.where(logits > _SAMPLED_ABOVE, jnp.clip(raw, 0.0, 1.0), 0.0)


def open_probability(logits: jax.Array) -> jax.Array:
    """Returns the probability that a sample is not 0."""
    return jax.nn.sigmoid(logits - _BETA * np.log(-_GAMMA / _ZETA))


def is_open(logits: np.ndarray) -> np.ndarray:
    """Returns which gates a file has open: those whose sample is 0 with a probability of less than 0.34."""
    return 1 - np.asarray(open_probability(jnp.asarray(logits))) < _OPEN_BELOW


def width_of(gates: np.ndarray) -> np.ndarray:
    """Returns the widths [J] that open gates [J, 4] give: each counts with those before it."""
    return np.array(widths.WIDTHS)[np.cumprod(np.asarray(gates, np.int64), axis=1).sum(axis=1)]


def width_penalty(logits: jax.Array) -> jax.Array:
    """Returns for each layer [J] how many gates [J, 4] are open on average, nested."""
    return jnp.sum(jnp.cumprod(open_probability(logits), axis=1), axis=1)


class BayesianBits:
    """Low-rank adapters with learned bit widths."""

    name = "bayesian_bits"
    reads_examples = True
    alone = False
    Setting = BayesianBitsSetting

    def together(self, setting) -> Any:
        """See `FittedTogether.together`."""
        return setting.rank, setting.batch_size, setting.max_tokens

    def fit(self, setting, base, task, seed, report, checkpoints=None) -> Theta:
        """See `Family.fit`."""
        (found,) = self.fit_together([(setting, seed)], base, task, report, checkpoints)
        if isinstance(found, errors.UserError):
            raise found
        return found

    def fit_together(self, runs, base, task, report, checkpoints=None, lanes=0) -> list:
        """See `FittedTogether.fit_together`."""
        def prepared(setting, seed):
            header.check(self.name, setting, seed)
            data = lanes_lib.Data.of(base, task, setting, seed)
            tuning = tuned.Tuning(
                np.float32(setting.factor_rate), np.float32(1.0), np.float32(_WEIGHT_DECAY),
                np.int32(data.steps), np.int32(seed))
            return lanes_lib.Run(data, tuning, _knobs(setting, seed))

        fits = lanes_lib.fit_each(
            _problem(base.decoder, runs[0][0].rank), base, lanes_lib.attempt(prepared, runs), report,
            checkpoints, lanes)
        return [fitted if isinstance(fitted, errors.UserError) else freeze(
            header.part(setting, BayesianBitsForm), seed, fitted)
            for (setting, seed), fitted in zip(runs, fits, strict=True)]

    def write(self, theta, writer, base, report) -> family_lib.Adapted:
        """See `Family.write`."""
        with writer.field(f"{self.name} settings"):
            header.write(writer, theta.form, theta.seed, base)
        for name in lowrank.shapes(base.decoder, theta.form.rank):
            with writer.field(f"{name} ranks"):
                for rank in theta.ranks[name] if theta.form.rank > 1 else ():
                    integers.write_choice(writer, range(1, theta.form.rank + 1), int(rank))
            for factor in _factors(theta.form.rank):
                with writer.field(f"{name}/{factor}"):
                    widths.write(
                        writer, theta.tensors[f"{name}/{factor}"], _RANK_AXES[factor], theta.ranks[name])
        return _adapted(theta, base)

    def read(self, reader, base, report) -> family_lib.Adapted:
        """See `Family.read`."""
        with reader.field(f"{self.name} settings"):
            form, seed = header.read(reader, BayesianBitsForm, base)
        found, ranks = {}, {}
        for name, shapes in tensor_shapes(base.decoder, form.rank).items():
            layers = shapes["a"][0]
            with reader.field(f"{name} ranks"):
                ranks[name] = np.array([
                    integers.read_choice(reader, range(1, form.rank + 1)) if form.rank > 1 else 1
                    for _ in range(layers)])
            for factor, shape in shapes.items():
                with reader.field(f"{name}/{factor}"):
                    found[f"{name}/{factor}"] = widths.read(reader, shape, _RANK_AXES[factor], ranks[name])
        return _adapted(Theta(form, seed, found, ranks), base)

    def accounts(self, setting, theta, base) -> family_lib.Accounts:
        """See `Family.accounts`."""
        problem = _problem(base.decoder, setting.rank)
        steps = setting.epochs * -(-setting.num_examples // setting.batch_size)
        flops = lanes_lib.step_flops(
            problem, _knobs(setting, theta.seed), setting.batch_size, setting.max_tokens)
        return family_lib.Accounts(
            train_flops=steps * flops, reference_bits=reference_bits(theta, base.decoder))


def reference_bits(theta: Theta, decoder: decoder_lib.Decoder) -> int:
    """Returns the paper's own count: out x rank x width of a, in x rank x width of b, and rank x width of e.

    (It has in and out the wrong way round; with one width for both the sum is the same. A layer of zeros
    alone, which the file gives no width, counts 2 bits a number.)
    """
    total = 0
    for name, shapes in tensor_shapes(decoder, theta.form.rank).items():
        sizes = {"a": shapes["b"][2], "b": shapes["a"][1], "e": 1}
        for factor in shapes:
            bits = np.maximum(theta.tensors[f"{name}/{factor}"].widths, widths.WIDTHS[0])
            total += int(np.sum(sizes[factor] * theta.ranks[name] * bits))
    return total


def freeze(form: BayesianBitsForm, seed: int, fitted: dict) -> Theta:
    """Returns what the file will hold of a fitted tree (fetched): open gates decide widths and ranks."""
    found, ranks = {}, {}
    for name, parts in fitted["factors"].items():
        rank_logits = fitted["rank_logits"].get(name)
        ranks[name] = np.ones(len(parts["a"]), np.int64)
        if rank_logits is not None:
            ranks[name] += np.cumprod(is_open(rank_logits).astype(np.int64), axis=1).sum(axis=1)
        for factor, x in parts.items():
            gates = is_open(fitted["logits"][name][factor])
            steps = latents.to_bfloat16(np.abs(fitted["steps"][name][factor]))
            found[f"{name}/{factor}"] = widths.quantise(
                cut(np.asarray(x), factor, ranks[name]), steps, width_of(gates))
    return Theta(form, seed, found, ranks)


def cut(x: np.ndarray, factor: str, ranks: np.ndarray) -> np.ndarray:
    """Returns a tensor with the ranks beyond those of each layer zero."""
    axis = 1 + _RANK_AXES[factor]
    place = np.arange(x.shape[axis]).reshape([-1 if number == axis else 1 for number in range(x.ndim)])
    return np.where(place < ranks.reshape(-1, *(1,) * (x.ndim - 1)), x, 0)


def _factors(rank: int) -> tuple[str, ...]:
    return ("a", "b") if rank == 1 else ("a", "b", "e")


def tensor_shapes(decoder: decoder_lib.Decoder, rank: int) -> dict[str, dict[str, tuple[int, ...]]]:
    """Returns for each projection the shapes of its tensors, a layer on the first axis."""
    return {name: pair | ({"e": (pair["a"][0], rank)} if rank > 1 else {})
            for name, pair in lowrank.shapes(decoder, rank).items()}


def _adapted(theta: Theta, base: base_lib.BaseModel) -> family_lib.Adapted:
    parts, found = {}, {}
    for name, shapes in tensor_shapes(base.decoder, theta.form.rank).items():
        own = {factor: theta.tensors[f"{name}/{factor}"] for factor in shapes}
        parts[name] = {factor: jnp.asarray(widths.values(tensor)) for factor, tensor in own.items()}
        found |= {f"{name}/{factor}": tuple(tensor.widths.tolist()) for factor, tensor in own.items()}
    zero = not any(np.any(tensor.symbols) for tensor in theta.tensors.values())
    return family_lib.Adapted(_program(parts), portable=True, unchanged=zero, widths=found)


def _program(parts: Mapping[str, Mapping[str, jax.Array]]) -> dict:
    pairs = {name: {"a": own["a"], "b": own["b"] * own["e"][:, :, None] if "e" in own else own["b"]}
             for name, own in parts.items()}
    return lowrank.expand(pairs, 1.0)


def _knobs(setting: BayesianBitsSetting, seed: int) -> dict[str, Any]:
    return {"seed": np.int32(seed), **{name: np.float32(getattr(setting, name)) for name in (
        "factor_rate", "gate_rate", "scale_rate", "width_weight", "rank_weight")}}


@functools.lru_cache(maxsize=8)
def _problem(decoder: decoder_lib.Decoder, rank: int) -> tuned.Problem:
    shapes = tensor_shapes(decoder, rank)

    def start(knobs):
        key, factors = jax.random.key(knobs["seed"]), {}
        for number, (name, own) in enumerate(shapes.items()):
            keys = jax.random.split(jax.random.fold_in(key, number), 3)
            factors[name] = {factor: _STD * jax.random.normal(one, shape)
                             for one, (factor, shape) in zip(keys, own.items(), strict=False)}
            if rank == 1:
                # Kaiming's uniform start of a linear layer, as in the paper.
                bound = own["a"][1] ** -0.5
                factors[name]["a"] = jax.random.uniform(keys[0], own["a"], minval=-bound, maxval=bound)
        first = lambda x: 2 * jnp.max(jnp.abs(x), axis=tuple(range(1, x.ndim))) / 3
        full = lambda shape: jnp.full(shape, _FIRST_LOGIT, jnp.float32)
        gates = lambda x: full((len(x), len(widths.WIDTHS) - 1))
        ranks = {name: full((own["a"][0], rank - 1)) for name, own in shapes.items()}
        return {"factors": factors, "steps": jax.tree.map(first, factors),
                "logits": jax.tree.map(gates, factors),
                "rank_logits": ranks if rank > 1 else {}}

    def expand(theta, params, knobs, moment):
        leaves, structure = jax.tree.flatten(theta["factors"])
        keys = structure.unflatten(jax.random.split(moment.key, len(leaves)))
        parts = jax.tree.map(
            lambda x, step, logits, key: widths.ladder(x, step, gate_sample(logits, key)),
            theta["factors"], theta["steps"], theta["logits"], keys)
        for number, (name, logits) in enumerate(theta["rank_logits"].items()):
            gates = gate_sample(logits, jax.random.fold_in(moment.key, 1000 + number))
            kept = jnp.concatenate([jnp.ones_like(gates[:, :1]), jnp.cumprod(gates, axis=1)], axis=1)
            parts[name]["e"] = parts[name]["e"] * latents.rounded(kept)
        return {"params": params, "program": _program(parts)}

    def penalty(theta, knobs, moment):
        total = jnp.float32(0)
        for name, own in theta["logits"].items():
            ranks = 1.0
            if rank > 1:
                nested = jnp.cumprod(open_probability(theta["rank_logits"][name]), axis=1)
                ranks = jnp.mean(nested, axis=1)
                total += knobs["rank_weight"] * jnp.sum(ranks)
            # Ranks are pruned in e alone, so only there do they share a gate's price.
            total += knobs["width_weight"] * sum(
                jnp.sum((ranks if factor == "e" else 1.0) * width_penalty(x)) for factor, x in own.items())
        return total

    def speeds(theta, knobs):
        rates = {"factors": knobs["factor_rate"], "steps": knobs["scale_rate"], "logits": knobs["gate_rate"],
                 "rank_logits": knobs["gate_rate"]}
        return {name: jax.tree.map(lambda _, name=name: rates[name] / knobs["factor_rate"], tree)
                for name, tree in theta.items()}

    example = _knobs(BayesianBitsSetting(num_examples=1), 0)
    return tuned.Problem(decoder, start, expand, example, penalty, speeds)
