"""Shared fixtures: the shipped models and a tiny random one, loaded once."""

import os
import pathlib

import pytest

import sah_jax  # noqa: F401  (pins the numerics before JAX is imported anywhere)
from sah_jax.models import base as base_lib
from sah_jax.tasks import registry as task_registry

SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def nano() -> base_lib.BaseModel:
    """The shipped, trained nano model."""
    return base_lib.load_base("nano")


@pytest.fixture(scope="session")
def step0() -> base_lib.BaseModel:
    """The shipped nano model before training."""
    return base_lib.load_base("nano-step0")


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> base_lib.BaseModel:
    """A tiny random model, loaded once, in float32."""
    import tiny_model  # Here, because it imports JAX.

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model.save_tiny(folder)
    return base_lib.load_base(folder)


@pytest.fixture(scope="session")
def nano_math():
    """The task of word problems."""
    return task_registry.get_task("nano_math")


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data is not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def child_environment() -> dict[str, str]:
    """The environment of a fresh process that shares nothing compiled with this one."""
    return {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
