"""Counts on the jaxpr against counts by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sah_jax.models import decoder as decoder_lib
from sah_jax.models import flops, sharding
from sah_jax.planning import steps


def _count(f, *shapes):
    return flops.count(jax.make_jaxpr(f)(*(jnp.zeros(shape) for shape in shapes)))


def test_a_product_is_two_operations_for_each_pair_it_multiplies():
    assert _count(jnp.matmul, (3, 5), (5, 7)) == 2 * 3 * 5 * 7
    assert _count(lambda a, b: jnp.einsum("bij,bkj->bik", a, b), (4, 3, 5), (4, 7, 5)) == 2 * 4 * 3 * 5 * 7


def test_a_loop_counts_as_often_as_it_runs():
    def scanned(x, w):
        return jax.lax.scan(lambda x, w: (x @ w, None), x, w)[0]

    assert _count(scanned, (3, 5), (6, 5, 5)) == 6 * 2 * 3 * 5 * 5
    assert _count(jax.jit(jax.checkpoint(scanned)), (3, 5), (6, 5, 5)) == 6 * 2 * 3 * 5 * 5


def test_of_branches_the_largest_counts():
    def either(x, w):
        return jax.lax.cond(x.sum() > 0, lambda: x @ w, lambda: x @ w @ w)

    assert _count(either, (3, 5), (5, 5)) == 2 * 2 * 3 * 5 * 5


def test_what_one_device_does_counts_for_each_of_them():
    mesh = jax.sharding.AbstractMesh((4,), ("data",))
    split = jax.sharding.PartitionSpec("data")
    product = jax.shard_map(lambda x: x @ x.T, mesh=mesh, in_specs=split, out_specs=split)
    traced = jax.make_jaxpr(product)(jax.ShapeDtypeStruct((8, 5), jnp.float32))
    assert flops.count(traced) == 4 * 2 * 2 * 5 * 2


def _forward(spec, rows, length):
    """Returns the operations of the layers' kernels, of attention and of the head."""
    kernels = spec.layers * sum(
        2 * inputs * outputs for inputs, outputs in _projections(spec)) * rows * length
    attention = spec.layers * 2 * 2 * rows * length * length * spec.heads * spec.head_dim
    return kernels, attention, 2 * rows * length * spec.width * spec.vocab_size


def _projections(spec):
    inner, kv = spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim
    return [(spec.width, inner), (spec.width, kv), (spec.width, kv), (inner, spec.width),
            (spec.width, spec.ffn), (spec.width, spec.ffn), (spec.ffn, spec.width)]


def _traced(spec, step, setting):
    mesh = jax.sharding.AbstractMesh((1, 1, 1), sharding.AXES)
    return steps.trace(step, steps.describe(step, spec, mesh, setting))


def test_codelengths_are_one_forward_pass(tiny_spec):
    setting = steps.Setting(batch=2, length=6)
    traced = _traced(tiny_spec, "codelength", setting)
    assert traced.flops == traced.needed_flops == sum(_forward(tiny_spec, 2, 6))


def test_a_decode_step_is_one_token_against_the_whole_cache(tiny_spec):
    traced = _traced(tiny_spec, "decode", steps.Setting(batch=2, length=6))
    kernels, _, head = _forward(tiny_spec, 2, 1)
    cache = tiny_spec.layers * 2 * 2 * 2 * 6 * tiny_spec.heads * tiny_spec.head_dim
    assert traced.flops == kernels + cache + head


@pytest.mark.parametrize("remat", decoder_lib.REMAT_POLICIES)
def test_a_lora_step_is_the_count_by_hand(tiny_spec, remat):
    rows, length, rank = 2, 6, 3
    traced = _traced(tiny_spec, "lora", steps.Setting(rows, length, rank, remat=remat))
    kernels, attention, head = _forward(tiny_spec, rows, length)
    tokens = 2 * rows * length * rank * tiny_spec.layers
    pairs = tokens * sum(inputs + outputs for inputs, outputs in _projections(tiny_spec))
    # Of a kernel only its input's gradient is needed, of a product of two activations and of a
    # pair both. Nothing that was fitted stands before the first layer's q, k and v; a scan of
    # layers goes back through all of them alike.
    needed = 2 * kernels + 3 * attention + 2 * head + 3 * pairs
    assert traced.needed_flops == needed
    down = tokens // rank * tiny_spec.ffn * tiny_spec.width
    again = {
        "none": 0,
        # What has batch dimensions is not kept.
        "dots": attention,
        # The layer's last sum is not computed again: nothing needs it.
        "full": kernels - down + attention + pairs - tokens * tiny_spec.width}[remat]
    assert traced.flops == needed + head + again


def test_a_prefix_step_fits_keys_and_values_only(tiny_spec):
    rows, length, slots = 2, 6, 4
    traced = _traced(tiny_spec, "prefix", steps.Setting(rows, length, slots=slots))
    kernels, attention, head = _forward(tiny_spec, rows, length)
    seen = attention * slots // length
    assert traced.needed_flops == 2 * kernels + 3 * attention + 3 * seen + 2 * head
    assert np.isclose(traced.flops, 3 * kernels + 4 * attention + 4 * seen + 3 * head, rtol=0.2)
