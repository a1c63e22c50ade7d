"""The file format of programs that hold integers only: what was written once can be read for ever.

These bytes are files of users. A byte that differs here means that theirs no longer decode:
then the format needs a new version, and a reader of the old one, not other bytes here. (Other
families' bytes depend on the model's floats, and so on the numerics profile.)
"""

import hashlib

import numpy as np
import pytest

from sah_jax.coding import priors
from sah_jax.programs import baseline, codec, lora, lowrank

BASELINE = "00"
# By the bits of a weight: how many bytes, and their SHA-256.
LORA = {
    2: (405, "2878b60b13684f48129e3b6b442a72c8d62f08804f7a3da6c88cd6bbc1cf85ab"),
    4: (890, "793e64e320b5402c26dab0033db5e5d4298846e43e4aa0bf6baca276c62fbbf9"),
}


def _lora(base, bits) -> lora.LoraTheta:
    """Returns weights that hang on nothing but this formula."""
    symbols, exponents, top = {}, {}, priors.levels(bits)
    for number, (name, pair) in enumerate(lowrank.shapes(base.decoder, 2).items()):
        symbols[name], exponents[name] = {}, {}
        for factor, shape in pair.items():
            place = np.arange(np.prod(shape)).reshape(shape)
            values = (place * place + number * place) // 3 % 11 % (2 * top + 1) - top
            # The first pair is all zeros.
            symbols[name][factor] = np.where(place % 7 < number, values, 0).astype(np.int32)
            exponents[name][factor] = -20 - number
    return lora.LoraTheta(2, bits, 300, 7, symbols, exponents)


def test_the_bytes_of_a_baseline(tiny_base):
    assert codec.write(baseline.Baseline(), None, tiny_base).data.hex() == BASELINE
    assert codec.read(bytes.fromhex(BASELINE), tiny_base).family == "baseline"


@pytest.mark.parametrize("bits", LORA)
def test_the_bytes_of_an_adapter(tiny_base, bits):
    written = codec.write(lora.Lora(), _lora(tiny_base, bits), tiny_base)
    assert (len(written.data), hashlib.sha256(written.data).hexdigest()) == LORA[bits]
    assert codec.read(written.data, tiny_base).adapted.digest() == written.adapted.digest()
