"""Hugging Face checkpoints for tests that change what is stored."""

import json

import safetensors.numpy

from sah_jax.models import stores


def read_tensors(folder):
    return safetensors.numpy.load_file(folder / stores.WEIGHTS_FILE)


def write_tensors(folder, tensors):
    safetensors.numpy.save_file(tensors, folder / stores.WEIGHTS_FILE)


def shard(folder, number):
    """Spreads model.safetensors over so many files; returns their names."""
    tensors = read_tensors(folder)
    names = [f"model-{i + 1:05}-of-{number:05}.safetensors" for i in range(number)]
    shard_of = {tensor: names[i % number] for i, tensor in enumerate(sorted(tensors))}
    for name in names:
        safetensors.numpy.save_file(
            {key: value for key, value in tensors.items() if shard_of[key] == name}, folder / name)
    (folder / stores.INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": shard_of}))
    (folder / stores.WEIGHTS_FILE).unlink()
    return names
