"""Weights in and out of the Hugging Face folder format, strictly.

A leaf of the scanned layers gathers one tensor per layer. A missing, surplus or misshapen tensor is
an error that names it.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from sah_jax import errors
from sah_jax.models import config as config_lib
from sah_jax.models import hf_config, hf_names

WEIGHTS_FILE = "model.safetensors"

_FLOAT_DTYPES = {"BF16": jnp.bfloat16, "F16": jnp.float16, "F32": jnp.float32}


def load_params(folder: pathlib.Path, spec: config_lib.ModelConfig, abstract: dict) -> dict:
    """Reads `folder/model.safetensors` into the tree of `abstract`, in the dtypes stored.

    Args:
      folder: a Hugging Face model folder.
      spec: its architecture.
      abstract: the `params` tree as `jax.ShapeDtypeStruct`s; gives names and shapes.

    Raises:
      UserError: the file cannot be read, or a tensor is missing, surplus, misshapen or not
        floating point.
    """
    path = folder / WEIGHTS_FILE
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return _read_tree(file, path, spec, abstract)
    except FileNotFoundError as error:
        raise errors.UserError(
            f"{path}: is missing; expected a Hugging Face model folder with {WEIGHTS_FILE}.") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise errors.UserError(f"{path}: cannot be read ({error}); download it again.") from error


def _read_tree(file, path: pathlib.Path, spec: config_lib.ModelConfig, abstract: dict) -> dict:
    stored = set(file.keys())
    leaves = {}
    for leaf, want in traverse_util.flatten_dict(abstract, sep="/").items():
        names, transpose = hf_names.tensor_names(leaf, spec)
        shape = want.shape if len(names) == 1 else want.shape[1:]
        tensors = [_read_tensor(file, name, shape, transpose, path, stored) for name in names]
        leaves[leaf] = jnp.asarray(tensors[0] if leaf in hf_names.OUTER else np.stack(tensors))
    if spec.tied_embedding and "lm_head.weight" in stored:
        # Some exporters store the tied head again; it must then be the same matrix.
        head = _read_tensor(file, "lm_head.weight", leaves["embed"].shape, False, path, stored)
        if not np.array_equal(head, np.asarray(leaves["embed"])):
            raise errors.UserError(
                f"{path}: lm_head.weight differs from the embedding it is tied to; "
                "set tie_word_embeddings to false in config.json.")
    if stored:
        raise errors.UserError(
            f"{path}: tensor {min(stored)!r} is not part of this architecture; "
            "check that config.json belongs to these weights.")
    return traverse_util.unflatten_dict(leaves, sep="/")


def _read_tensor(file, name, shape, transpose, path, stored) -> np.ndarray:
    if name not in stored:
        raise errors.UserError(
            f"{path}: tensor {name!r} is missing; check that config.json belongs to these weights.")
    stored.remove(name)
    view = file.get_slice(name)
    if view.get_dtype() not in _FLOAT_DTYPES:
        raise errors.UserError(
            f"{path}: tensor {name!r} has dtype {view.get_dtype()}, expected one of "
            f"{', '.join(_FLOAT_DTYPES)}; convert the checkpoint.")
    expected = tuple(shape[::-1]) if transpose else tuple(shape)
    if tuple(view.get_shape()) != expected:
        raise errors.UserError(
            f"{path}: tensor {name!r} has shape {tuple(view.get_shape())}, config.json wants "
            f"{expected}; check that config.json belongs to these weights.")
    tensor = file.get_tensor(name)
    return tensor.T if transpose else tensor


def save_model(folder: pathlib.Path, spec: config_lib.ModelConfig, params: dict) -> None:
    """Writes `config.json` and `model.safetensors` (bfloat16) of a model into `folder`."""
    tensors = {}
    for leaf, value in traverse_util.flatten_dict(jax.device_get(params), sep="/").items():
        names, transpose = hf_names.tensor_names(leaf, spec)
        for name, matrix in zip(names, [value] if leaf in hf_names.OUTER else value, strict=True):
            matrix = np.asarray(matrix).astype(ml_dtypes.bfloat16)
            tensors[name] = np.ascontiguousarray(matrix.T if transpose else matrix)
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(hf_config.to_hf(spec), indent=2) + "\n")
