"""The tiny model for the tests of this room."""

import dataclasses
import json
import pathlib

import pytest
import tiny_model

from sah_jax.models import config as config_lib
from sah_jax.models import hf_config


@pytest.fixture(scope="session")
def tiny_spec() -> config_lib.ModelConfig:
    return tiny_model.TINY


@pytest.fixture(scope="session")
def even_spec() -> config_lib.ModelConfig:
    """A model that divides over eight devices."""
    return dataclasses.replace(tiny_model.TINY, ffn=64, head_dim=16)


@pytest.fixture(scope="session")
def tiny_config(even_spec: config_lib.ModelConfig, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Its config.json; a plan needs nothing else of a model's folder."""
    path = tmp_path_factory.mktemp("tiny") / "config.json"
    path.write_text(json.dumps(hf_config.to_hf(even_spec)))
    return path
