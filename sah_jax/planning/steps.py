"""The package's own steps on arguments that are only described: shapes, types and shardings.

Nothing is allocated, so a step of any model is traced on any machine. The base is in bfloat16, what
is fitted and its Adam moments in float32. Shape suffixes as in `sah_jax.models.decoder`.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import config as config_lib
from sah_jax.models import costs, flops, quantize, sharding
from sah_jax.models import decoder as decoder_lib
from sah_jax.programs import lowrank
from sah_jax.training import step as step_lib

STEPS = ("lora", "prefix", "codelength", "decode")
"""What can be planned."""

_ARGUMENTS = {
    "lora": ("state", "params", "batch"), "prefix": ("state", "params", "batch"),
    "codelength": ("variables", "tokens_BL"), "decode": ("variables", "cache", "tokens_B", "position")}

_BASE_DTYPE = jnp.bfloat16


@dataclasses.dataclass(frozen=True)
class Setting:
    """How large a step is.

    Attributes:
      batch: B, rows of all devices together.
      length: L, tokens of each row; for a decode step the cache's slots.
      rank: R of the low-rank pairs.
      slots: S of the prefix.
      remat: a name of `decoder.REMAT_POLICIES`, for the steps that have a backward pass.
      quantization: of the base, one of `quantize.SCHEMES`; "" for none.
    """

    batch: int
    length: int
    rank: int = 16
    slots: int = 16
    remat: str = "full"
    quantization: str = ""


class Described(NamedTuple):
    """A step's decoder and arguments: trees of `jax.ShapeDtypeStruct`s with shardings."""

    decoder: decoder_lib.Decoder
    arguments: tuple

    @property
    def argument_bytes(self) -> int:
        """How many bytes of the arguments one device holds."""
        return sum(math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
                   for leaf in jax.tree.leaves(self.arguments))


class Traced(NamedTuple):
    """A traced step.

    traced: what `jax.jit(...).trace` returned.
    flops: of its matrix products, over all devices.
    needed_flops: without those that the backward pass computes again.
    """

    traced: Any
    flops: int
    needed_flops: int


def mesh_sizes(step: str, chips: int) -> Iterator[dict[str, int]]:
    """Yields the meshes that suit a step, best first.

    Training splits weights and batch over all devices, and resorts to tensor parallelism where the
    batch is too small. Codelengths are reported from meshes without it (it changes logits in
    bfloat16). Decoding splits over `tensor` as far as the heads go, so that no weight is gathered.
    """
    for size in sorted((size for size in range(1, chips + 1) if chips % size == 0), reverse=True):
        if step == "decode":
            yield {"data": chips // size, "fsdp": 1, "tensor": size}
        elif step != "codelength" or size == chips:
            yield {"data": 1, "fsdp": size, "tensor": chips // size}


def choose_mesh(step: str, spec: config_lib.ModelConfig, chips: int, setting: Setting) -> dict[str, int]:
    """Returns the sizes of the first mesh of `mesh_sizes` over which everything divides.

    Raises:
      UserError: there is none; it says why the first is not.
    """
    said = None
    for sizes in mesh_sizes(step, chips):
        try:
            describe(step, spec, AbstractMesh(tuple(sizes.values()), tuple(sizes)), setting)
            return sizes
        except errors.UserError as error:
            said = said or error
    raise said


def describe(
    step: str, spec: config_lib.ModelConfig, mesh: Mesh | AbstractMesh, setting: Setting
) -> Described:
    """Returns a step's decoder and arguments.

    Args:
      step: one of `STEPS`.
      spec: the architecture.
      mesh: of the axes `sharding.AXES`; its devices may be described ones.
      setting: how large it is.

    Raises:
      UserError: a dimension does not divide by the axes it is split over.
    """
    trains = step in ("lora", "prefix")
    decoder = decoder_lib.Decoder(
        spec, _BASE_DTYPE, remat=setting.remat if trains else "none",
        vocab_rows=sharding.padded_rows(spec.vocab_size, mesh), mesh=mesh)
    params = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, _BASE_DTYPE), decoder_lib.abstract_params(decoder))
    if setting.quantization:
        params = quantize.abstract(params, setting.quantization)
    batch = step_lib.Batch(
        jax.ShapeDtypeStruct((setting.batch, setting.length + 1), jnp.int32),
        jax.ShapeDtypeStruct((setting.batch, setting.length + 1), jnp.float32))
    if trains:
        theta = _theta(step, decoder, setting)
        state = step_lib.FitState(theta, jax.eval_shape(_OPTIMIZER.init, theta))
        return Described(decoder, tuple(sharding.describe(tree, mesh) for tree in (state, params, batch)))
    if step == "codelength":
        tokens_BL = sharding.describe(batch, mesh).tokens_BL
        return Described(decoder, ({"params": sharding.describe(params, mesh)}, tokens_BL))
    cache = jax.eval_shape(
        lambda: decoder_lib.init_cache(spec, setting.batch, setting.length, _BASE_DTYPE))
    rules = sharding.decode_rules()
    return Described(decoder, (
        {"params": sharding.describe(params, mesh, rules)}, sharding.describe(cache, mesh, rules),
        jax.ShapeDtypeStruct((setting.batch,), jnp.int32, sharding=NamedSharding(mesh, P(sharding.BATCH))),
        jax.ShapeDtypeStruct((), jnp.int32, sharding=NamedSharding(mesh, P()))))


def named_arguments(step: str, described: Described) -> dict[str, Any]:
    """Returns the arguments of a step by name."""
    return dict(zip(_ARGUMENTS[step], described.arguments, strict=True))


def trace(step: str, described: Described) -> Traced:
    """Traces a step; `traced.lower().compile()` compiles it for the devices of its mesh."""
    decoder, arguments = described
    if step == "codelength":
        traced = costs.token_costs.trace(decoder, *arguments)
    elif step == "decode":
        traced = jax.jit(base_lib.cached_step(decoder), donate_argnums=1).trace(*arguments)
    else:
        return _trace_training(step, described)
    executed = flops.count(traced.jaxpr)
    return Traced(traced, executed, executed)


_OPTIMIZER = optax.adam(1e-4)


def _theta(step: str, decoder: decoder_lib.Decoder, setting: Setting) -> Any:
    """Returns the shapes of what is fitted."""
    if step == "lora":
        return jax.eval_shape(lambda: lowrank.start(decoder, setting.rank, 0))
    spec = decoder.spec
    slots = jax.ShapeDtypeStruct((spec.layers, setting.slots, spec.kv_heads, spec.head_dim), jnp.float32)
    return {"attention": {"prefix_k": slots, "prefix_v": slots}}


def _trace_training(step: str, described: Described) -> Traced:
    decoder, (state, params, batch) = described

    def expand(theta, params):
        program = lowrank.expand(theta, 1.0) if step == "lora" else {"layers": theta}
        return {"params": params, "program": program}

    def traced(decoder):
        placed = step_lib.places(decoder, state, len(batch.tokens_BL))
        return step_lib.make_step(decoder, _OPTIMIZER, expand, placed).trace(state, params, batch)

    def forward(loss_of):
        function = lambda theta, params, batch: loss_of(expand(theta, params), batch)
        return flops.count(jax.make_jaxpr(function)(state.theta, params, batch))

    # The loss computes a block's logits again, under every remat policy.
    again = forward(lambda variables, batch: step_lib.mean_loss(decoder, variables, batch)) - forward(
        lambda variables, batch: decoder.apply(variables, batch.tokens_BL[:, :-1], method="hidden"))
    real = traced(decoder)
    without = traced(decoder.clone(remat="none"))
    return Traced(real, flops.count(real.jaxpr), flops.count(without.jaxpr) - again)

