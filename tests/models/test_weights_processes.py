"""What loading takes of memory and shares between processes, each in processes of its own."""

import dataclasses
import json
import os
import subprocess
import sys

import free_port
import jax
import numpy as np
import pytest
import tiny_model
from checkpoints import shard, write_tensors

from sah_jax.models import base as base_lib
from sah_jax.models import config as config_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import hf, hf_config, rope, stores

LARGE = config_lib.ModelConfig(
    vocab_size=16_000, width=1024, ffn=3072, layers=8, heads=8, kv_heads=4, head_dim=128,
    max_positions=64, norm_eps=1e-5, ropes=(rope.Rope(1e4),) * 8, tied_embedding=False,
    start_token=0, end_tokens=(0,))


@pytest.fixture(scope="module")
def large_folder(tmp_path_factory):
    """A model of 264 MB in 3 shards."""
    folder = tmp_path_factory.mktemp("large")
    some = np.random.default_rng(0).normal(size=1 << 20).astype(stores.FLOAT_DTYPES["BF16"])
    draw = lambda leaf: np.resize(some, leaf.shape)
    leaves = decoder_lib.abstract_params(decoder_lib.Decoder(LARGE))
    tensors = {name: np.ascontiguousarray(tensor.read(tensor.whole)) for name, tensor in stores.of_params(
        jax.tree.map(draw, leaves), LARGE).items()}
    write_tensors(folder, tensors)
    shard(folder, 3)
    (folder / "config.json").write_text(json.dumps(hf_config.to_hf(LARGE)))
    tiny_model.character_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


MEASURED = """
import sys

import jax
from sah_jax.models import base as base_lib

def memory(kind):
    line = next(line for line in open("/proc/self/status") if line.startswith(kind))
    return int(line.split()[1]) << 10

device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
rules = lambda abstract: jax.tree.map(lambda leaf: device, abstract)
base_lib.load_base("nano", params_sharding=rules)  # what is imported and compiled is not of interest
before = memory("VmRSS")
base = base_lib.load_base(sys.argv[1], sys.argv[2], params_sharding=rules)
target = sum(leaf.nbytes for leaf in jax.tree.leaves(base.params))
print(target, memory("VmHWM") - before)
"""


def test_host_memory_is_the_target_and_less_than_twice_the_largest_tensor(large_folder, child_environment):
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(large_folder), "bfloat16"], env=child_environment,
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    target, grown = map(int, done.stdout.split())
    largest = LARGE.vocab_size * LARGE.width * 2
    assert target == LARGE.num_params * 2 > 4 * largest
    assert 0.95 * target < grown < target + 2 * largest


PROCESS = """
import sys

import jax
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
import numpy as np
from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import stores

mesh = jax.make_mesh((4,), ("fsdp",), axis_types=(jax.sharding.AxisType.Auto,))
spec = jax.sharding.PartitionSpec
rules = lambda abstract: jax.tree.map(lambda leaf: jax.sharding.NamedSharding(
    mesh, spec("fsdp") if leaf.shape[0] % 4 == 0 else spec()), abstract)
alone = base_lib.load_base(sys.argv[3], params_sharding=lambda abstract: jax.tree.map(
    lambda leaf: jax.sharding.SingleDeviceSharding(jax.local_devices()[0]), abstract))
base = base_lib.load_base(sys.argv[3], params_sharding=rules)
for leaf, want in zip(jax.tree.leaves(base.params), jax.tree.leaves(alone.params), strict=True):
    for part in leaf.addressable_shards:
        np.testing.assert_array_equal(part.data, np.asarray(want)[part.index])
drawn = base_lib.load_base(sys.argv[3] + "#step0-seed2", params_sharding=rules)
assert base.params["head"].sharding.num_devices == 4

open_folder = stores.open_folder
def altered(*arguments):
    found = open_folder(*arguments)
    name = "model.layers.1.mlp.down_proj.weight"
    one = found[name]
    found[name] = stores.Tensor(one.shape, one.dtype, one.where, lambda index: -one.read(index))
    return found
if jax.process_index() == 1:
    stores.open_folder = altered
try:
    base_lib.load_base(sys.argv[3], params_sharding=rules)
    said = "nothing"
except errors.UserError as error:
    said = str(error)
print(base.digest, drawn.digest, said)
"""


def test_two_processes_agree_on_the_digest_of_what_both_have_read(tmp_path, tiny_spec, draw_params):
    spec = dataclasses.replace(tiny_spec, vocab_size=44, layers=4, ropes=tiny_spec.ropes[:1] * 4)
    hf.save_model(tmp_path, spec, draw_params(spec))
    tiny_model.character_tokenizer().save(str(tmp_path / "tokenizer.json"))
    address = free_port.address()
    flags = " ".join([os.environ["XLA_FLAGS"], "--xla_force_host_platform_device_count=2"])
    processes = [subprocess.Popen(
        [sys.executable, "-c", PROCESS, address, str(number), str(tmp_path)],
        env={**os.environ, "XLA_FLAGS": flags}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in range(2)]
    said = [process.communicate(timeout=120) for process in processes]
    assert all(process.returncode == 0 for process in processes), said
    (first, drawn, alarm), (second, drawn_too, alarm_too) = (
        out.splitlines()[-1].split(maxsplit=2) for out, _ in said)
    assert first == second == base_lib.load_base(tmp_path).digest
    assert drawn == drawn_too == base_lib.load_base(f"{tmp_path}#step0-seed2").digest
    # Weights that differ on one of the hosts are noticed on both.
    assert alarm == alarm_too and "layers.1.mlp.down_proj.weight' is not the same on all hosts" in alarm
