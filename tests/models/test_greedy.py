"""Decoding where the weights live on a mesh: the same texts, rows and heads split."""

import os
import subprocess
import sys

CHILD = """
import sys
import jax
sys.path.insert(0, "tests")
import pathlib, tempfile
import tiny_model
from sah_jax.models import base as base_lib, generate, greedy, sharding

folder = pathlib.Path(tempfile.mkdtemp()) / "tiny"
tiny_model.save_tiny(folder)
base = base_lib.load_base(folder)
prompts = ["hello", "a", "no. 17, no. 18", "b" * 40, "x y z"]
alone = generate.generate(base, {"params": base.params}, prompts, max_new_tokens=20, batch_size=4)

split = base_lib.load_base(folder, mesh=sharding.make_mesh(data=2, fsdp=2, tensor=2))
assert len(split.params["head"].sharding.device_set) == 8
states, prefill = [], greedy.prefill
def kept(*args, **options):
    states.append(prefill(*args, **options))
    return jax.tree.map(jax.numpy.copy, states[-1])
greedy.prefill = kept
# Rows are rounded up to 4, what `data` and `fsdp` divide.
assert generate.generate(split, {"params": split.params}, prompts, max_new_tokens=20, batch_size=3) == alone
for leaf in jax.tree.leaves(states[0].cache):
    assert leaf.shape[1:3] == (4, 2) and leaf.addressable_shards[0].data.shape[1:3] == (1, 1)
print("the same")
"""


def test_a_mesh_splits_rows_and_heads_and_changes_no_token():
    flags = " ".join([os.environ["XLA_FLAGS"], "--xla_force_host_platform_device_count=8"])
    done = subprocess.run(
        [sys.executable, "-c", "import sah_jax\n" + CHILD], env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == "the same", done.stderr
