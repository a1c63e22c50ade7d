"""A vocabulary split over devices: the same integers, and encoding moves no vocabulary around."""

import os
import subprocess
import sys

CHILD = """
import re
import jax, jax.numpy as jnp, numpy as np
from sah_jax.coding import arithmetic, file, freqs, tokens

ROWS, VOCAB = 4, 32_000
spec = jax.sharding.PartitionSpec
mesh = jax.make_mesh((4,), ("tensor",), axis_types=(jax.sharding.AxisType.Auto,))
split, whole = (jax.sharding.NamedSharding(mesh, s) for s in (spec(None, "tensor"), spec()))
rng = np.random.default_rng(0)
logits_BV = (3 * rng.normal(size=(ROWS, VOCAB))).astype(np.float32)
tokens_B = np.array([0, VOCAB - 1, VOCAB // 4, 12_345], np.int32)  # at the edges of the parts too

make = jax.jit(freqs.from_logits, in_shardings=split, out_shardings=split)
freqs_BV = make(logits_BV)
assert len({shard.device for shard in freqs_BV.addressable_shards}) == 4
assert freqs_BV.addressable_shards[0].data.shape == (ROWS, VOCAB // 4)
alone_BV = np.asarray(jax.jit(freqs.from_logits)(logits_BV), np.int64)
# The normaliser is added up in another order, the rest is the same.
assert (np.abs(np.asarray(freqs_BV, np.int64) - alone_BV) <= 1 + alone_BV * 2.0**-20).all()

interval = jax.jit(freqs.interval, in_shardings=(split, whole))
got = interval(freqs_BV, tokens_B)
for a, b in zip(got, jax.jit(freqs.interval)(np.asarray(freqs_BV), tokens_B), strict=True):
    np.testing.assert_array_equal(a, b)
for compiled in (make.lower(logits_BV), interval.lower(freqs_BV, tokens_B)):
    text = compiled.compile().as_text()
    assert "all-reduce" in text and "all-gather" not in text and "all-to-all" not in text

reader = file.ProgramReader(arithmetic.encode(*map(np.asarray, got)))
decode = jax.jit(
    lambda state, freqs_BV, window: tokens.decode_tokens(
        state, freqs_BV, jnp.zeros(ROWS, jnp.int32), jnp.ones(ROWS, bool), window),
    in_shardings=(whole, split, whole))
_, (found_B, starts_B, _) = decode(reader.state, freqs_BV, reader.window(ROWS))
np.testing.assert_array_equal(found_B, tokens_B)
np.testing.assert_array_equal(starts_B, got[0])
print("the same")
"""


def test_frequencies_intervals_and_search_over_a_split_vocabulary():
    flags = " ".join([os.environ["XLA_FLAGS"], "--xla_force_host_platform_device_count=4"])
    done = subprocess.run(
        [sys.executable, "-c", "import sah_jax\n" + CHILD], env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == "the same", done.stderr
