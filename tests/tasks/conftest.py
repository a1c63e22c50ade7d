"""The paper's data sets, prepared once from the folder of real data."""

import pytest

from sah_jax.tasks.datasets import preparing


@pytest.fixture(scope="session")
def paper_data(tmp_path_factory, shared_data):
    """Has tasks read the real data sets that are at hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(preparing.MANUAL_DIR, str(shared_data))
        patch.setenv(preparing.DATA_DIR, str(tmp_path_factory.mktemp("prepared")))
        yield shared_data
