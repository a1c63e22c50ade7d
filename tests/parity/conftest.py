"""The two libraries compared, and models read by both.

The libraries are imported by a fixture: where they are missing these tests fail when they are
selected, and do not get in the way of the others when they are not.
"""

import importlib
import types

import parity_models
import pytest

from sah_jax.models import base as base_lib


@pytest.fixture(scope="session")
def libraries():
    modules = {name: importlib.import_module(name) for name in ("torch", "transformers", "peft")}
    modules["torch"].set_num_threads(1)
    return types.SimpleNamespace(**modules)


@pytest.fixture(scope="session")
def read_pair(libraries):
    """Returns a function that reads one folder with both, in float32."""
    def read(folder) -> parity_models.Pair:
        reference = libraries.transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=libraries.torch.float32, attn_implementation="eager").eval()
        return parity_models.Pair(base_lib.load_base(folder), reference, libraries)

    return read


@pytest.fixture
def largest(record_property):
    """Notes the largest difference seen, for whoever reads the results."""
    def note(what, difference):
        record_property(what, float(difference))
        print(f"{what}: {difference:.2e}")
        return difference

    return note
