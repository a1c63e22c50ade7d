"""A saved folder is a Hugging Face folder of the same model."""

import dataclasses

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from sah_jax.models import base as base_lib
from sah_jax.models import hf, hf_config


def _tensors(folder):
    return safetensors.numpy.load_file(folder / hf.WEIGHTS_FILE)


@pytest.mark.parametrize("tied", [False, True])
def test_saved_weights_are_stored_in_bfloat16_with_outputs_first(tiny_spec, draw_params, tmp_path, tied):
    spec = dataclasses.replace(tiny_spec, tied_embedding=tied)
    params = draw_params(spec)
    hf.save_model(tmp_path / "new" / "folder", spec, params)
    assert hf_config.read(tmp_path / "new" / "folder") == spec
    tensors = _tensors(tmp_path / "new" / "folder")
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(ml_dtypes.bfloat16)}
    assert sum(tensor.size for tensor in tensors.values()) == spec.num_params
    assert ("lm_head.weight" in tensors) is not tied
    for layer in range(spec.layers):
        kernel_DF = np.asarray(params["layers"]["ffn"]["gate"]["kernel"][layer])
        stored_FD = tensors[f"model.layers.{layer}.mlp.gate_proj.weight"]
        np.testing.assert_array_equal(stored_FD, kernel_DF.T.astype(ml_dtypes.bfloat16))


def test_saving_what_was_loaded_writes_the_same_model(tiny_folder, tmp_path):
    base = base_lib.load_base(tiny_folder)
    hf.save_model(tmp_path / "again", base.spec, jax.device_get(base.params))
    first, second = _tensors(tiny_folder), _tensors(tmp_path / "again")
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
