"""The file format of programs that hold integers only: what was written once can be read for ever.

These bytes are files of users. A byte that differs here means that theirs no longer decode:
then the format needs a new version, and a reader of the old one, not other bytes here. (Other
families' bytes depend on the model's floats, and so on the numerics profile.)
"""

import hashlib

import adapters
import numpy as np
import pytest

from sah_jax.coding import priors
from sah_jax.programs import baseline, codec, lora, quantised

BASELINE = "20"
# By the bits of a weight: how many bytes, and their SHA-256.
LORA = {
    2: (404, "6d79c5b69f03fb29df597a867d567eae0c7500b5660ee016dad6366095f5d149"),
    4: (889, "6f0b3417649c7eaa8e1cfd0c28156bf85dd87f34de4c1ac166b130481bbd029e"),
}


def _lora(base, bits) -> quantised.Theta:
    """Returns weights that hang on nothing but this formula."""
    top = priors.levels(bits)

    def symbols(number, shape):
        number //= 2  # of the pair; the first one is all zeros
        place = np.arange(np.prod(shape)).reshape(shape)
        values = (place * place + number * place) // 3 % 11 % (2 * top + 1) - top
        return np.where(place % 7 < number, values, 0).astype(np.int32)

    return adapters.theta(base, 2, bits, symbols, lambda number: -20 - number // 2, alpha=300, seed=7)


def test_the_bytes_of_a_baseline(tiny_base):
    assert codec.write(baseline.Baseline(), None, tiny_base).data.hex() == BASELINE
    assert codec.read(bytes.fromhex(BASELINE), tiny_base).family == "baseline"


@pytest.mark.parametrize("bits", LORA)
def test_the_bytes_of_an_adapter(tiny_base, bits):
    written = codec.write(lora.Lora(), _lora(tiny_base, bits), tiny_base)
    assert (len(written.data), hashlib.sha256(written.data).hexdigest()) == LORA[bits]
    assert codec.read(written.data, tiny_base).adapted.digest() == written.adapted.digest()
