"""The tensors of a folder are found completely, and files that do not fit together are named."""

import json

import numpy as np
import pytest
import safetensors.numpy
from checkpoints import read_tensors, shard

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import stores

Q_PROJ = "model.layers.1.self_attn.q_proj.weight"


def _load(folder):
    return base_lib.load_base(folder)


def _edit_index(folder, change):
    path = folder / stores.INDEX_FILE
    index = json.loads(path.read_text())
    change(index["weight_map"])
    path.write_text(json.dumps(index))


@pytest.mark.parametrize("damage", [
    lambda data: data[:-1], lambda data: data[:100], lambda data: b"", lambda data: b"\xff" * 64,
    lambda data: b"version https://git-lfs.github.com/spec/v1\n"],
    ids=["a byte short", "header cut", "empty", "noise", "git lfs pointer"])
def test_a_damaged_file_is_named(tiny_folder, damage):
    path = tiny_folder / stores.WEIGHTS_FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(errors.UserError, match=f"{path}: cannot be read"):
        _load(tiny_folder)


def test_a_missing_file_is_named(tiny_folder):
    (tiny_folder / stores.WEIGHTS_FILE).unlink()
    with pytest.raises(errors.UserError, match=f"{tiny_folder / stores.WEIGHTS_FILE}: is missing"):
        _load(tiny_folder)


def test_two_sets_of_weights_are_refused(tiny_folder):
    whole = (tiny_folder / stores.WEIGHTS_FILE).read_bytes()
    shard(tiny_folder, 2)
    (tiny_folder / stores.WEIGHTS_FILE).write_bytes(whole)
    with pytest.raises(errors.UserError, match=f"has both {stores.WEIGHTS_FILE} and {stores.INDEX_FILE}"):
        _load(tiny_folder)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_any_part_of_a_tensor_is_read_from_any_number_of_shards(tiny_folder, tiny_spec, number):
    expected = read_tensors(tiny_folder)
    shard(tiny_folder, number)
    tensors = stores.open_folder(tiny_folder, tiny_spec, ())
    assert tensors.keys() == expected.keys()
    assert len({tensor.where for tensor in tensors.values()}) == number
    for name, tensor in tensors.items():
        assert (tensor.shape, tensor.dtype) == (expected[name].shape, "BF16")
        np.testing.assert_array_equal(tensor.read(tensor.whole), expected[name])
    part = (slice(3, 7), slice(1, 5))
    np.testing.assert_array_equal(tensors[Q_PROJ].read(part), expected[Q_PROJ][part])


def test_a_missing_shard_is_named(tiny_folder):
    names = shard(tiny_folder, 3)
    (tiny_folder / names[1]).unlink()
    with pytest.raises(errors.UserError, match=f"{tiny_folder / names[1]}: is missing"):
        _load(tiny_folder)


def test_a_tensor_that_the_index_places_elsewhere_is_named(tiny_folder):
    first, second = shard(tiny_folder, 2)
    _edit_index(tiny_folder, lambda shard_of: shard_of.update(
        {Q_PROJ: second if shard_of[Q_PROJ] == first else first}))
    with pytest.raises(errors.UserError, match=f"has the tensor '{Q_PROJ}', which .* places in"):
        _load(tiny_folder)


def test_a_tensor_in_two_shards_is_named(tiny_folder):
    tensor = read_tensors(tiny_folder)[Q_PROJ]
    for name in shard(tiny_folder, 2):
        path = tiny_folder / name
        safetensors.numpy.save_file(safetensors.numpy.load_file(path) | {Q_PROJ: tensor}, path)
    with pytest.raises(errors.UserError, match=f"has the tensor '{Q_PROJ}', which .* places in"):
        _load(tiny_folder)


def test_a_tensor_that_the_index_does_not_list_is_named(tiny_folder):
    shard(tiny_folder, 2)
    _edit_index(tiny_folder, lambda shard_of: shard_of.pop(Q_PROJ))
    with pytest.raises(errors.UserError, match=f"has the tensor '{Q_PROJ}', which .* does not list"):
        _load(tiny_folder)


def test_a_tensor_that_is_in_no_shard_is_named(tiny_folder):
    names = shard(tiny_folder, 2)
    _edit_index(tiny_folder, lambda shard_of: shard_of.update({"model.more.weight": names[0]}))
    with pytest.raises(errors.UserError, match=f"'model.more.weight' in {names[0]}, which does not have it"):
        _load(tiny_folder)


@pytest.mark.parametrize("content", [
    "", "{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {}}', '{"weight_map": {"a": 3}}',
    '{"weight_map": {"a": "../model.safetensors"}}', '{"weight_map": {"a": "/etc/passwd"}}'])
def test_what_is_no_index_is_named(tiny_folder, content):
    shard(tiny_folder, 2)
    (tiny_folder / stores.INDEX_FILE).write_text(content)
    with pytest.raises(errors.UserError, match=f"{tiny_folder / stores.INDEX_FILE}: is not an index"):
        _load(tiny_folder)


def test_parameters_in_memory_are_the_tensors_they_came_from(tiny_base, tiny_folder):
    tensors = stores.of_params(tiny_base.params, tiny_base.spec, "bfloat16")
    expected = read_tensors(tiny_folder)
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor.read(tensor.whole), expected[name])
