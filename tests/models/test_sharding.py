"""Rules from leaf paths to specs: what they place where, and what they refuse."""

import dataclasses
import math

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from tiny_model import TINY

from sah_jax import errors
from sah_jax.models import costs, quantize, sharding
from sah_jax.models import decoder as decoder_lib
from sah_jax.programs import lowrank
from sah_jax.training import step as step_lib


def _mesh(data=1, fsdp=1, tensor=1):
    return jax.sharding.AbstractMesh((data, fsdp, tensor), sharding.AXES)


def _leaf(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def _trees(spec, rows=8):
    """Everything that rules are for."""
    spec = dataclasses.replace(spec, vocab_size=44, qk_norm="head", biases=("q", "down"))
    decoder = decoder_lib.Decoder(spec)
    params = decoder_lib.abstract_params(decoder)
    factors = jax.eval_shape(lambda: lowrank.start(decoder, 2, 0))
    return {
        "params": params,
        "theta": {"offset": factors, "exponent": _leaf()},
        "few": {"vector": _leaf(7), "soft_prompt": _leaf(5, 32), "attention/q/coefficients": _leaf(3, 4),
                "factors": {name: {"e": _leaf(3, 2)} for name in factors},
                "spread": jax.tree.map(lambda leaf: _leaf(len(leaf.shape), 1, 1), factors),
                "logits": jax.tree.map(lambda leaf: _leaf(3, 4), factors)},
        "program": jax.eval_shape(lambda theta: lowrank.expand(theta, 1.0), factors),
        "prefix": {"attention": dict.fromkeys(("prefix_k", "prefix_v"), _leaf(3, 5, 2, 10))},
        "moments": ({"mu": factors, "count": _leaf()},),
        **{scheme: quantize.abstract(params, scheme) for scheme in quantize.SCHEMES},
        "cache": jax.eval_shape(lambda: decoder_lib.init_cache(spec, rows, 16, jnp.float32)),
        "batch": {"tokens_BL": _leaf(rows, 9), "weights_BL": _leaf(rows, 9)},
    }


@pytest.mark.parametrize("rules", [sharding.RULES, sharding.decode_rules()], ids=["training", "decoding"])
@pytest.mark.parametrize(
    "mesh", [_mesh(8), _mesh(4, 2), _mesh(2, 2, 2), _mesh(1, 1, 2), _mesh(1, 4)], ids=str)
def test_every_leaf_has_a_spec_that_divides(tiny_spec, mesh, rules):
    tree = _trees(tiny_spec)
    split = sharding.shardings(tree, mesh, rules, strict=True)
    assert jax.tree.structure(split) == jax.tree.structure(tree)
    jax.tree.map(lambda place, leaf: place.shard_shape(leaf.shape), split, tree)  # raises if it does not


def test_a_kernel_is_split_and_its_layers_are_not(tiny_spec):
    specs = sharding.partition_specs(_trees(tiny_spec), _mesh(2, 2, 2))
    layers = specs["params"]["layers"]
    assert layers["attention"]["q"]["kernel"] == P(None, "fsdp", "tensor")
    assert layers["ffn"]["down"]["kernel"] == P(None, "tensor", "fsdp")
    assert specs["params"]["embed"] == P("tensor", "fsdp")
    assert layers["attention"]["q"]["bias"] == layers["attention"]["q_norm"]["scale"] == P()
    assert specs["batch"]["tokens_BL"] == P(("data", "fsdp"), None)
    assert specs["cache"]["layers"]["attention"]["k"][1:3] == (("data", "fsdp"), "tensor")
    assert specs["prefix"]["attention"]["prefix_k"] == P(None, None, "tensor", None)
    assert specs["theta"]["exponent"] == P()


def test_a_moment_lies_as_what_it_is_a_moment_of(tiny_spec):
    specs = sharding.partition_specs(_trees(tiny_spec), _mesh(2, 2, 2))
    assert specs["moments"][0]["mu"] == specs["theta"]["offset"]


def test_no_device_of_an_fsdp_mesh_holds_a_whole_matrix(tiny_spec):
    """Pairs too: half of each was left whole where only `tensor` split it."""
    tree = {key: _trees(tiny_spec)[key] for key in ("params", "program")}
    for row in sharding.table(sharding.describe(tree, _mesh(fsdp=4))):
        if len(row.shape) > 1 and "norm" not in row.path and "bias" not in row.path:
            assert row.bytes_per_device == 4 * math.prod(row.shape) // 4, row


def test_decoding_never_gathers_weights(tiny_spec):
    tree = _trees(tiny_spec)
    specs = sharding.partition_specs(
        {key: tree[key] for key in ("params", "program")}, _mesh(1, 2, 2), sharding.decode_rules())
    leaves = jax.tree.leaves(specs, is_leaf=lambda x: isinstance(x, P))
    assert not any("fsdp" in str(spec) for spec in leaves)
    assert any("tensor" in str(spec) for spec in leaves)
    assert sharding.partition_specs(tree["cache"], _mesh(1, 2, 2), sharding.decode_rules()) == (
        sharding.partition_specs(tree["cache"], _mesh(1, 2, 2)))


def test_the_table_says_what_each_device_holds(tiny_spec):
    params = _trees(tiny_spec)["params"]
    rows = {row.path: row for row in sharding.table(sharding.describe(params, _mesh(2, 2, 2)))}
    assert len(rows) == len(jax.tree.leaves(params))
    q = rows["layers/attention/q/kernel"]
    assert q == (q.path, (3, 32, 40), "float32", P(None, "fsdp", "tensor"), 3 * 16 * 20 * 4)
    assert rows["final_norm/scale"].bytes_per_device == 32 * 4


@pytest.mark.parametrize("tree, mesh, rules, said", [
    ({"extra": _leaf(4)}, _mesh(2), sharding.RULES, "extra of shape .4,. matches no sharding rule"),
    ({"embed": _leaf(4, 4)}, _mesh(2), (*sharding.RULES, sharding.Rule(r"e\w+", P("data"))),
     "embed matches the sharding rules 'embed' and 'e.*differ"),
    ({"embed": _leaf(4)}, _mesh(2), sharding.RULES, "embed has shape .4,., .* is for 2 dimensions"),
    ({"a": {"attention": {"o": {"kernel": _leaf(2, 6, 8)}}}}, _mesh(1, 1, 4), sharding.RULES,
     "a/attention/o/kernel .* dimension 1 of 6 .* tensor=4; take the mesh data=1, fsdp=2, tensor=2"),
    ({"embed": _leaf(43, 8)}, _mesh(1, 1, 4), sharding.RULES,
     "dimension 0 of 43 .* fsdp=4, tensor=1, or pad the vocabulary"),
    ({"tokens_BL": _leaf(6, 8)}, _mesh(2, 4), sharding.RULES, "dimension 0 of 6 .* data=2 x fsdp=4"),
    ({"tokens_BL": _leaf(5, 8), "embed": _leaf(3, 3)}, _mesh(1, 8), sharding.RULES, "no mesh of so many"),
], ids=["unmatched", "clash", "rank", "indivisible", "vocabulary", "batch", "hopeless"])
def test_what_has_no_place_is_an_error_that_says_what_to_change(tree, mesh, rules, said):
    with pytest.raises(errors.UserError, match=said):
        sharding.partition_specs(tree, mesh, rules)


def test_an_unused_rule_is_an_error_where_all_are_to_match():
    tree = {"embed": _leaf(4, 4)}
    sharding.partition_specs(tree, _mesh(2), sharding.WEIGHTS)
    with pytest.raises(errors.UserError, match="rule 'head' matches no leaf"):
        sharding.partition_specs(tree, _mesh(2), sharding.WEIGHTS, strict=True)


@pytest.mark.parametrize("sizes, said", [
    ((-1, -1, 1), "at most one is -1"), ((0, 1, 1), "at least 1"), ((-2, 1, 1), "at least 1"),
    ((1, 3, 1), "of 3 devices, there are 1"), ((1, -1, 2), "of 2 devices or a multiple, there are 1")])
def test_a_mesh_of_other_devices_than_there_are_is_an_error(sizes, said):
    with pytest.raises(errors.UserError, match=said):
        sharding.make_mesh(*sizes, devices=jax.devices()[:1])


def test_a_mesh_takes_what_is_left():
    assert dict(sharding.make_mesh(devices=jax.devices()[:1]).shape) == {"data": 1, "fsdp": 1, "tensor": 1}


@pytest.mark.parametrize("tied", [True, False])
def test_a_padded_vocabulary_is_not_seen(tiny_spec, draw_params, tied):
    spec = dataclasses.replace(tiny_spec, tied_embedding=tied)
    plain, wide = decoder_lib.Decoder(spec), decoder_lib.Decoder(spec, vocab_rows=48)
    assert sharding.padded_rows(spec.vocab_size, _mesh(tensor=4)) == 44
    params = draw_params(spec)
    padded = decoder_lib.pad_vocabulary(wide, params)
    assert jax.tree.map(jnp.shape, padded) == jax.tree.map(jnp.shape, decoder_lib.abstract_params(wide))
    tokens_BL = np.random.default_rng(0).integers(0, spec.vocab_size, (2, 7)).astype(np.int32)
    logits_BLV = wide.apply({"params": padded}, tokens_BL)
    assert logits_BLV.shape == (2, 7, spec.vocab_size)
    np.testing.assert_allclose(logits_BLV, plain.apply({"params": params}, tokens_BL), rtol=1e-5, atol=1e-5)


def test_a_padded_vocabulary_starts_as_the_plain_one_with_zeros(tiny_spec):
    plain, wide = decoder_lib.Decoder(tiny_spec), decoder_lib.Decoder(tiny_spec, vocab_rows=48)
    start = lambda decoder: decoder.init(jax.random.key(3), jnp.zeros((1, 1), jnp.int32))["params"]
    expected = decoder_lib.pad_vocabulary(wide, start(plain))
    jax.tree.map(np.testing.assert_array_equal, start(wide), expected)


def test_no_codelength_where_matrix_products_are_split():
    for mesh in (None, _mesh(2, 4)):
        sharding.check_codelength(mesh)
    with pytest.raises(errors.UserError, match="the mesh is data=1,fsdp=1,tensor=2, expected tensor=1"):
        sharding.check_codelength(_mesh(tensor=2))


def test_a_mesh_is_what_its_text_says():
    assert sharding.parse_mesh("") is None and sharding.mesh_text(None) == ""
    mesh = sharding.parse_mesh("data=1, fsdp=-1")
    assert sharding.mesh_text(mesh) == "data=1,fsdp=1,tensor=1"
    assert sharding.parse_mesh(sharding.mesh_text(mesh)) == mesh


@pytest.mark.parametrize("axes", [None, (2, 2, 1)])
def test_no_array_is_of_all_logits(axes):
    """Neither codelengths nor a training step, forward and backward, with a large vocabulary."""
    rows, length, vocab = 8, 2048, 50_000
    spec = dataclasses.replace(TINY, vocab_size=vocab, layers=1, ropes=TINY.ropes[:1], max_positions=2048)
    decoder = decoder_lib.Decoder(spec, mesh=_mesh(*axes) if axes else None)
    params = decoder_lib.abstract_params(decoder)
    batch = step_lib.Batch(_leaf(rows, length + 1).update(dtype=jnp.int32), _leaf(rows, length + 1))
    gradient = jax.grad(lambda p, b: step_lib.mean_loss(decoder, {"params": p}, b))
    for function in (lambda p, b: costs.token_costs(decoder, {"params": p}, b.tokens_BL), gradient):
        largest = max(_sizes(jax.make_jaxpr(function)(params, batch).jaxpr))
        assert vocab * spec.width <= largest < rows * length * vocab / 2


def _sizes(jaxpr):
    for equation in jaxpr.eqns:
        yield from (math.prod(variable.aval.shape) for variable in equation.outvars)
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from _sizes(inner)


def test_rows_of_the_vocabulary_divide_by_the_tensor_axis_of_every_mesh():
    assert sharding.padded_rows(43, None) == 43
    assert sharding.padded_rows(43, _mesh(1, 1, 4)) == 44
    assert sharding.padded_rows(43, _mesh(1, 4, 1), _mesh(1, 1, 4)) == 44
    assert sharding.padded_rows(43, _mesh(1, 1, 4), _mesh(1, 2, 2)) == 44
    assert sharding.padded_rows(43, _mesh(1, 1, 2), None, _mesh(1, 1, 3)) == 48


def test_a_decode_mesh_is_one_of_the_same_devices():
    mesh = sharding.make_mesh(devices=jax.devices()[:1])
    assert sharding.parse_decode_mesh("", mesh) is mesh and sharding.parse_decode_mesh("", None) is None
    assert dict(sharding.parse_decode_mesh("tensor=1", mesh).shape) == dict(data=1, fsdp=1, tensor=1)
    with pytest.raises(errors.UserError, match="there is no mesh, expected one of the same devices"):
        sharding.parse_decode_mesh("tensor=2", None)
    with pytest.raises(errors.UserError, match="there are 1; change an axis"):
        sharding.parse_decode_mesh("tensor=3,fsdp=1", mesh)
