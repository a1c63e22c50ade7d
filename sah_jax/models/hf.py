"""Models written as Hugging Face folders."""

import json
import pathlib

import numpy as np
import safetensors.numpy

from sah_jax.models import config as config_lib
from sah_jax.models import hf_config, stores

WEIGHTS_FILE = stores.WEIGHTS_FILE


def save_model(folder: pathlib.Path, spec: config_lib.ModelConfig, params: dict) -> None:
    """Writes `config.json` and `model.safetensors` (bfloat16) of a model into `folder`."""
    tensors = {
        name: np.ascontiguousarray(tensor.read(tensor.whole))
        for name, tensor in stores.of_params(params, spec, "bfloat16").items()}
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(hf_config.to_hf(spec), indent=2) + "\n")
