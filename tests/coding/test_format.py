"""The file format of arrays: what was written once can be read for ever.

These bytes are files of users. A byte that differs here means that theirs no longer decode:
then the format needs a new version, and a reader of the old one, not other bytes here.
"""

import numpy as np
import pytest

from sah_jax.coding import file, tensors

# By prior: the width in bits, the values, and the bytes they were once written as.
WRITTEN = {
    "uniform": (16, [-32767, 12345, -20000, 30001, 511, -8000, 25000], "00ebd3db39c70797e18bc30d1009a3"),
    "zeros": (4, [0] * 9, "2b"),
    "laplace": (16, [0, 300, -110, 0, 5900, -450, 73, 0, -2000, 1500], "79bc9bb0c9807039dab3337bc9d5"),
    "gaussian": (
        16, [4000, -5100, 1300, -700, 2800, 6600, -3500, -2200, 500, -6000, 1800, 3100, -4400, 900, -1500,
             5200],
        "804095d030697650b7e393c1fb4cb881696cc7c051424e0fed5d5b14a723"),
    # Long enough for its counts to be halved.
    "adaptive": (
        8, [0, 3, -3, 3, 0, 0, -3, 3] * 38,
        "bca658586bfbbda0d12f4718e564aa3c2a5268514667d4ab8fbb06e0b80f4a1f6df2886a5004f21c56d94cbaef52df53"
        "fd260611c4e7ab5ad3003061220f"),
    "local": (
        7, [(k * k % 7 - 3) * (9 if k // 60 == 1 else 1) for k in range(180)],
        "fd1993a81a956159d704c5fe3d03112429c0bdadfdaedf27c266b341a670c195b62db4298fa43e5e351a8ec9022743fc"
        "9ecbfb75d7014514f091d1ef908db068a11052c3b0e934ed187f"),
}


def test_every_prior_is_here():
    assert tuple(WRITTEN) == tensors._PRIORS


@pytest.mark.parametrize("prior", WRITTEN)
def test_arrays_of_old_files_are_read(prior):
    bits, values, data = WRITTEN[prior]
    reader = file.ProgramReader(bytes.fromhex(data))
    assert tensors.read_array(reader, (len(values),), bits).tolist() == values
    reader.finish()


@pytest.mark.parametrize("prior", WRITTEN)
def test_arrays_are_written_as_ever(prior):
    bits, values, data = WRITTEN[prior]
    writer = file.ProgramWriter()
    tensors.write_array(writer, np.array(values), bits)
    assert writer.close().hex() == data
    (first,) = file.ProgramReader(bytes.fromhex(data)).take_table(
        file.uniform_table(len(tensors._PRIORS)), 1)
    assert tensors._PRIORS[first] == prior
