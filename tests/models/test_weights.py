"""Weights come to the devices as they are stored, and what does not fit is refused by name."""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors.numpy
from checkpoints import read_tensors, shard, write_tensors
from flax import traverse_util

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import convert, hf, stores, weights

Q_PROJ = "model.layers.1.self_attn.q_proj.weight"


def _tie(folder):
    """Says in the config that the head is the embedding; the tensors stay as they are."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": True}))


def _flat(params):
    return traverse_util.flatten_dict(jax.device_get(params), sep="/")


def _assert_same(tree, other):
    first, second = _flat(tree), _flat(other)
    assert first.keys() == second.keys()
    for name, leaf in first.items():
        assert leaf.dtype == second[name].dtype
        assert np.array_equal(leaf, second[name]), name


def test_each_layer_reads_its_own_tensors_with_inputs_first(tiny_folder):
    base, tensors = base_lib.load_base(tiny_folder), read_tensors(tiny_folder)
    for layer in range(base.spec.layers):
        for leaf, name in (("attention/q", "self_attn.q_proj"), ("ffn/down", "mlp.down_proj")):
            stored_FD = tensors[f"model.layers.{layer}.{name}.weight"]
            assert np.array_equal(_flat(base.params)[f"layers/{leaf}/kernel"][layer], stored_FD.T)
    assert np.array_equal(base.params["embed"], tensors["model.embed_tokens.weight"])
    assert np.array_equal(base.params["head"], tensors["lm_head.weight"].T)


@pytest.mark.parametrize("stored", [np.float16, np.float32])
@pytest.mark.parametrize("dtype", base_lib.DTYPES)
def test_every_float_is_read_and_converted(tiny_folder, stored, dtype):
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(size=tensor.shape).astype(stored)
               for name, tensor in read_tensors(tiny_folder).items()}
    write_tensors(tiny_folder, tensors)
    params = base_lib.load_base(tiny_folder, dtype).params
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {dtype}
    head = tensors["lm_head.weight"].T.astype(np.float32).astype(params["head"].dtype)
    assert np.array_equal(params["head"], head)


def test_the_number_of_shards_changes_nothing(tiny_folder, tiny_base):
    for number in (1, 4):
        shard(tiny_folder, number)
        base = base_lib.load_base(tiny_folder)
        assert base.digest == tiny_base.digest
        _assert_same(base.params, tiny_base.params)
        tensors = {}
        for path in tiny_folder.glob("model-*.safetensors"):
            tensors |= safetensors.numpy.load_file(path)
            path.unlink()
        (tiny_folder / stores.INDEX_FILE).unlink()
        write_tensors(tiny_folder, tensors)


def test_the_digest_is_that_of_what_is_stored(tiny_folder, tiny_base):
    tensors = read_tensors(tiny_folder)
    # The same values in another type, the same bytes in another type, the same tensors elsewhere.
    for change in (lambda tensor: tensor.astype(np.float32), lambda tensor: tensor.view(np.float16)):
        write_tensors(tiny_folder, {name: change(tensor) for name, tensor in tensors.items()})
        assert base_lib.load_base(tiny_folder).digest != tiny_base.digest
    swapped = {**tensors, "model.layers.0.mlp.up_proj.weight": tensors["model.layers.1.mlp.up_proj.weight"],
               "model.layers.1.mlp.up_proj.weight": tensors["model.layers.0.mlp.up_proj.weight"]}
    write_tensors(tiny_folder, swapped)
    assert base_lib.load_base(tiny_folder).digest != tiny_base.digest


def test_a_digest_alone_is_that_of_loading(tiny_folder, tiny_spec, tiny_base):
    abstract = jax.eval_shape(lambda: tiny_base.params)
    tensors = stores.open_folder(tiny_folder, tiny_spec, ())
    _, loaded = weights.load(tensors, tiny_spec, abstract)
    assert weights.digest(tensors, tiny_spec) == loaded
    in_memory = stores.of_params(tiny_base.params, tiny_spec, "bfloat16")
    assert weights.digest(in_memory, tiny_spec) == loaded


def test_progress_ends_with_all_bytes(tiny_folder, tiny_spec):
    said = []
    tensors = stores.open_folder(tiny_folder, tiny_spec, ())
    weights.digest(tensors, tiny_spec, lambda done, total: said.append((done, total)))
    assert said[-1] == (2 * tiny_spec.num_params, 2 * tiny_spec.num_params)
    assert said == sorted(set(said)) and len(said) == len(tensors)


@pytest.mark.parametrize("name", [
    Q_PROJ, "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight",
    "model.layers.2.post_attention_layernorm.weight"])
def test_a_missing_tensor_is_named(tiny_folder, name):
    tensors = read_tensors(tiny_folder)
    del tensors[name]
    write_tensors(tiny_folder, tensors)
    with pytest.raises(errors.UserError, match=f"tensor '{name}' is missing"):
        base_lib.load_base(tiny_folder)


@pytest.mark.parametrize("name", ["model.layers.3.self_attn.q_proj.weight", "q_proj.bias"])
def test_a_surplus_tensor_is_named(tiny_folder, name):
    write_tensors(tiny_folder, read_tensors(tiny_folder) | {name: np.zeros(3, np.float32)})
    with pytest.raises(errors.UserError, match=f"tensor '{name}' is not part"):
        base_lib.load_base(tiny_folder)


@pytest.mark.parametrize("change", [
    lambda x: x.T, lambda x: x[:-1], lambda x: x[None], lambda x: x.reshape(-1)],
    ids=["transposed", "short", "stacked", "flat"])
def test_a_misshapen_tensor_is_named_with_both_shapes(tiny_folder, change):
    tensors = read_tensors(tiny_folder)
    right, wrong = tensors[Q_PROJ], np.ascontiguousarray(change(tensors[Q_PROJ]))
    write_tensors(tiny_folder, tensors | {Q_PROJ: wrong})
    with pytest.raises(errors.UserError) as caught:
        base_lib.load_base(tiny_folder)
    message = str(caught.value)
    assert f"'{Q_PROJ}' has shape {wrong.shape}" in message and str(right.shape) in message


@pytest.mark.parametrize("dtype, called", [(np.int32, "I32"), (np.int8, "I8"), (np.float64, "F64")])
def test_a_tensor_of_another_type_is_named(tiny_folder, dtype, called):
    tensors = read_tensors(tiny_folder)
    write_tensors(tiny_folder, tensors | {Q_PROJ: tensors[Q_PROJ].astype(dtype)})
    with pytest.raises(errors.UserError, match=f"'{Q_PROJ}' has dtype {called}"):
        base_lib.load_base(tiny_folder)


def test_a_tied_head_may_be_stored_again_but_not_differ(tiny_folder):
    _tie(tiny_folder)
    tensors = read_tensors(tiny_folder)
    with pytest.raises(errors.UserError, match="lm_head.weight differs from the embedding"):
        base_lib.load_base(tiny_folder)
    embedding = tensors["model.embed_tokens.weight"]
    write_tensors(tiny_folder, tensors | {"lm_head.weight": embedding.astype(np.float32)})
    stored_twice = base_lib.load_base(tiny_folder)
    del tensors["lm_head.weight"]
    write_tensors(tiny_folder, tensors)
    stored_once = base_lib.load_base(tiny_folder)
    _assert_same(stored_once.params, stored_twice.params)
    assert stored_once.digest == stored_twice.digest and "head" not in stored_twice.params


def test_dtypes_are_kept_where_all_layers_agree(tiny_folder, tiny_spec, tiny_base):
    tensors = read_tensors(tiny_folder)
    norms = {name: tensor.astype(np.float32) for name, tensor in tensors.items() if "norm" in name}
    write_tensors(tiny_folder, tensors | norms)
    abstract = jax.eval_shape(lambda: tiny_base.params)
    params, _ = weights.load(stores.open_folder(tiny_folder, tiny_spec, ()), tiny_spec, abstract)
    for leaf, values in _flat(params).items():
        assert values.dtype.name == ("float32" if "norm" in leaf else "bfloat16")
    write_tensors(tiny_folder, tensors | {Q_PROJ: tensors[Q_PROJ].astype(np.float16)})
    with pytest.raises(errors.UserError, match="'model.layers.[02].* is BF16 and .*F16|F16 and .* is BF16"):
        weights.load(stores.open_folder(tiny_folder, tiny_spec, ()), tiny_spec, abstract)


SHARDED = """
import sys
import jax, numpy as np
from sah_jax.models import base as base_lib

P = jax.sharding.PartitionSpec
mesh = jax.make_mesh((2, 4), ("data", "fsdp"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
specs = {
    "embed": P(None, "fsdp"), "head": P("fsdp", None), "q": P(None, "fsdp", "data"),
    "o": P(None, None, "fsdp"), "gate": P(None, ("data", "fsdp")), "up": P("data", "fsdp"),
    "scale": P(None, "data")}

def rules(abstract):
    def rule(path, leaf):
        names = [key.key for key in path]
        spec = next((specs[name] for name in reversed(names) if name in specs), P())
        whole = len(spec) > leaf.ndim or "final_norm" in names
        return jax.sharding.NamedSharding(mesh, P() if whole else spec)
    return jax.tree_util.tree_map_with_path(rule, abstract)

def compare(a, b, sharding):
    assert b.sharding == sharding and a.dtype == b.dtype
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))

for folder, dtype in ((sys.argv[1], "float32"), (sys.argv[2], "bfloat16")):
    alone = base_lib.load_base(sys.argv[1], dtype)
    sharded = base_lib.load_base(folder, dtype, params_sharding=rules)
    assert sharded.digest == alone.digest
    jax.tree.map(compare, alone.params, sharded.params, rules(jax.eval_shape(lambda: alone.params)))
    assert sharded.params["layers"]["ffn"]["up"]["kernel"].addressable_shards[0].data.shape[:2] == (2, 8)
print(alone.digest)
"""


def test_sharded_weights_are_those_of_one_device(
        tiny_spec, draw_params, tiny_folder, tmp_path, child_environment, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    spec = dataclasses.replace(tiny_spec, layers=4, ropes=tiny_spec.ropes[:1] * 4)
    hf.save_model(tiny_folder, spec, draw_params(spec))
    convert.convert(str(tiny_folder), tmp_path / "converted")
    flags = " ".join([os.environ["XLA_FLAGS"], "--xla_force_host_platform_device_count=8"])
    done = subprocess.run(
        [sys.executable, "-c", SHARDED, str(tiny_folder), str(tmp_path / "converted")],
        env={**child_environment, "XLA_FLAGS": flags}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == base_lib.load_base(tiny_folder).digest
