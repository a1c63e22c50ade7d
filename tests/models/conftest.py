"""The tiny model for the tests of this room."""

import pathlib

import pytest
import tiny_model

from sah_jax.models import config as config_lib


@pytest.fixture(scope="session")
def tiny_spec() -> config_lib.ModelConfig:
    return tiny_model.TINY


@pytest.fixture(scope="session")
def draw_params():
    return tiny_model.random_params


@pytest.fixture
def tiny_folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A model folder that a test may damage."""
    tiny_model.save_tiny(tmp_path / "tiny")
    return tmp_path / "tiny"
