"""Decoding where the weights live on a mesh: the same texts, rows and heads split."""

import os
import subprocess
import sys

CHILD = """
import sys
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
sys.path.insert(0, "tests")
import pathlib, tempfile
import tiny_model
from sah_jax.models import base as base_lib, generate, greedy

folder = pathlib.Path(tempfile.mkdtemp()) / "tiny"
tiny_model.save_tiny(folder)
base = base_lib.load_base(folder)
prompts = ["hello", "a", "no. 17, no. 18", "b" * 40, "x y z"]
alone = generate.generate(base, {"params": base.params}, prompts, max_new_tokens=20, batch_size=4)

mesh = jax.make_mesh((2, 2, 2), ("data", "fsdp", "tensor"), axis_types=(jax.sharding.AxisType.Auto,) * 3)

def place(path, leaf):
    names = [part.key for part in path]
    spec = P(None, "fsdp", "tensor") if "q" in names else P(None, "tensor") if "down" in names else P()
    return jax.device_put(leaf, NamedSharding(mesh, spec))

variables = {"params": jax.tree_util.tree_map_with_path(place, base.params)}
states, prefill = [], greedy.prefill
def kept(*args, **options):
    states.append(prefill(*args, **options))
    return jax.tree.map(jax.numpy.copy, states[-1])
greedy.prefill = kept
# Rows are rounded up to 4, what `data` and `fsdp` divide.
assert generate.generate(base, variables, prompts, max_new_tokens=20, batch_size=3) == alone
for leaf in jax.tree.leaves(states[0].cache):
    assert leaf.shape[1:3] == (4, 2) and leaf.addressable_shards[0].data.shape[1:3] == (1, 1)
assert greedy.mesh_of({"params": base.params}) is None and greedy.row_parts(mesh) == 4
print("the same")
"""


def test_a_mesh_splits_rows_and_heads_and_changes_no_token():
    flags = " ".join([os.environ["XLA_FLAGS"], "--xla_force_host_platform_device_count=8"])
    done = subprocess.run(
        [sys.executable, "-c", "import sah_jax\n" + CHILD], env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == "the same", done.stderr
