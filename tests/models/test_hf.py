"""Weights come back as they were written, and a file that does not fit is refused by name."""

import dataclasses
import json

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from flax import traverse_util

from sah_jax import errors
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import hf, hf_config

Q_PROJ = "model.layers.1.self_attn.q_proj.weight"


def _load(folder):
    spec = hf_config.read(folder)
    return hf.load_params(folder, spec, decoder_lib.abstract_params(decoder_lib.Decoder(spec)))


def _tensors(folder):
    return safetensors.numpy.load_file(folder / hf.WEIGHTS_FILE)


def _store(folder, tensors):
    safetensors.numpy.save_file(tensors, folder / hf.WEIGHTS_FILE)


def _tie(folder):
    """Says in the config that the head is the embedding; the tensors stay as they are."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tie_word_embeddings": True}))


def _assert_same(tree, other):
    first, second = (traverse_util.flatten_dict(jax.device_get(one)) for one in (tree, other))
    assert first.keys() == second.keys()
    for name, leaf in first.items():
        assert leaf.dtype == second[name].dtype
        assert np.array_equal(leaf, second[name]), name


@pytest.mark.parametrize("tied", [False, True])
def test_saved_weights_come_back_in_bfloat16(tiny_spec, draw_params, tmp_path, tied):
    spec = dataclasses.replace(tiny_spec, tied_embedding=tied)
    params = draw_params(spec)
    hf.save_model(tmp_path / "new" / "folder", spec, params)
    assert hf_config.read(tmp_path / "new" / "folder") == spec
    rounded = jax.tree.map(lambda leaf: np.asarray(leaf).astype(ml_dtypes.bfloat16), params)
    _assert_same(_load(tmp_path / "new" / "folder"), rounded)


def test_saving_what_was_loaded_writes_the_same_tensors(tiny_spec, tiny_folder, tmp_path):
    hf.save_model(tmp_path / "again", tiny_spec, _load(tiny_folder))
    first, second = _tensors(tiny_folder), _tensors(tmp_path / "again")
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_each_layer_reads_its_own_tensors_with_inputs_first(tiny_spec, tiny_folder):
    kernels_JDF = _load(tiny_folder)["layers"]["attention"]["q"]["kernel"]
    tensors = _tensors(tiny_folder)
    for layer in range(tiny_spec.layers):
        stored_FD = tensors[f"model.layers.{layer}.self_attn.q_proj.weight"]
        assert stored_FD.shape == (tiny_spec.heads * tiny_spec.head_dim, tiny_spec.width)
        assert np.array_equal(kernels_JDF[layer], stored_FD.T)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_other_floats_are_read_as_stored(tiny_folder, dtype):
    _store(tiny_folder, {name: tensor.astype(dtype) for name, tensor in _tensors(tiny_folder).items()})
    assert {leaf.dtype for leaf in jax.tree.leaves(_load(tiny_folder))} == {np.dtype(dtype)}


@pytest.mark.parametrize("name", [
    Q_PROJ, "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight",
    "model.layers.2.post_attention_layernorm.weight"])
def test_a_missing_tensor_is_named(tiny_folder, name):
    tensors = _tensors(tiny_folder)
    del tensors[name]
    _store(tiny_folder, tensors)
    with pytest.raises(errors.UserError, match=f"tensor '{name}' is missing"):
        _load(tiny_folder)


@pytest.mark.parametrize("name", ["model.layers.3.self_attn.q_proj.weight", "q_proj.bias"])
def test_a_surplus_tensor_is_named(tiny_folder, name):
    _store(tiny_folder, _tensors(tiny_folder) | {name: np.zeros(3, np.float32)})
    with pytest.raises(errors.UserError, match=f"tensor '{name}' is not part"):
        _load(tiny_folder)


@pytest.mark.parametrize("change", [
    lambda x: x.T, lambda x: x[:-1], lambda x: x[None], lambda x: x.reshape(-1)],
    ids=["transposed", "short", "stacked", "flat"])
def test_a_misshapen_tensor_is_named_with_both_shapes(tiny_folder, change):
    tensors = _tensors(tiny_folder)
    right, wrong = tensors[Q_PROJ], np.ascontiguousarray(change(tensors[Q_PROJ]))
    _store(tiny_folder, tensors | {Q_PROJ: wrong})
    with pytest.raises(errors.UserError) as caught:
        _load(tiny_folder)
    message = str(caught.value)
    assert f"'{Q_PROJ}' has shape {wrong.shape}" in message and str(right.shape) in message


@pytest.mark.parametrize("dtype, called", [(np.int32, "I32"), (np.int8, "I8"), (np.float64, "F64")])
def test_a_tensor_of_another_type_is_named(tiny_folder, dtype, called):
    tensors = _tensors(tiny_folder)
    _store(tiny_folder, tensors | {Q_PROJ: tensors[Q_PROJ].astype(dtype)})
    with pytest.raises(errors.UserError, match=f"'{Q_PROJ}' has dtype {called}"):
        _load(tiny_folder)


@pytest.mark.parametrize("damage", [
    lambda data: data[:-1], lambda data: data[:100], lambda data: b"", lambda data: b"\xff" * 64,
    lambda data: b"version https://git-lfs.github.com/spec/v1\n"],
    ids=["a byte short", "header cut", "empty", "noise", "git lfs pointer"])
def test_a_damaged_file_is_named(tiny_folder, damage):
    path = tiny_folder / hf.WEIGHTS_FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(errors.UserError, match=f"{path}: cannot be read"):
        _load(tiny_folder)


def test_a_missing_file_is_named(tiny_folder):
    (tiny_folder / hf.WEIGHTS_FILE).unlink()
    with pytest.raises(errors.UserError, match=f"{tiny_folder / hf.WEIGHTS_FILE}: is missing"):
        _load(tiny_folder)


def test_a_tied_head_may_be_stored_again_but_not_differ(tiny_folder):
    _tie(tiny_folder)
    tensors = _tensors(tiny_folder)
    with pytest.raises(errors.UserError, match="lm_head.weight differs from the embedding"):
        _load(tiny_folder)
    _store(tiny_folder, tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]})
    stored_twice = _load(tiny_folder)
    del tensors["lm_head.weight"]
    _store(tiny_folder, tensors)
    _assert_same(_load(tiny_folder), stored_twice)
    assert "head" not in stored_twice
