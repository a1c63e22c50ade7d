"""The tiny model for the tests of this room."""

import pathlib

import pytest
import tiny_model

from sah_jax.models import base as base_lib
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


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> base_lib.BaseModel:
    """The same model, loaded once, in float32."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model.save_tiny(folder)
    return base_lib.load_base(folder)
