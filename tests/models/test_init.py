"""Step 0: drawn from architecture and seed alone, the same everywhere, and a model like any other."""

import dataclasses
import os
import shutil
import subprocess
import sys

import jax
import ml_dtypes
import numpy as np
import pytest
from flax import traverse_util

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import hf, init, rope


@pytest.fixture(scope="module")
def wide_spec(tiny_spec):
    """Enough of everything to tell a distribution, with every kind of leaf."""
    return dataclasses.replace(
        tiny_spec, vocab_size=96, width=64, ffn=128, layers=4, ropes=(rope.Rope(5000.0),) * 4, head_dim=16,
        biases=("q", "k", "v"), qk_norm="head", init_std=0.05, family="qwen3")


@pytest.fixture(scope="module")
def drawn(wide_spec):
    return init.init_params(wide_spec, 6)


def _flat(params):
    return traverse_util.flatten_dict(jax.device_get(params), sep="/")


def test_every_leaf_has_its_distribution(drawn, wide_spec):
    seen = set()
    for leaf, values in _flat(drawn).items():
        kind = leaf.rsplit("/", 1)[-1]
        seen.add(kind)
        if kind in ("scale", "bias"):
            assert (values == (kind == "scale")).all(), leaf
            continue
        # Of n normal numbers: mean within 5 / sqrt(n), deviation within 5 / sqrt(2 n).
        scaled, count = values / wide_spec.init_std, values.size
        assert abs(scaled.mean()) < 5 / count**0.5, leaf
        assert abs(scaled.std() - 1) < 5 / (2 * count) ** 0.5, leaf
        assert 2.5 < abs(scaled).max() < 6
    assert seen == {"kernel", "bias", "scale", "embed", "head"}
    kernels_JDF = drawn["layers"]["ffn"]["gate"]["kernel"]
    assert not np.array_equal(kernels_JDF[0], kernels_JDF[1])


def test_values_are_of_bfloat16_in_any_dtype(drawn, wide_spec):
    stored = init.init_params(wide_spec, 6, dtype="bfloat16")
    for leaf, values in _flat(drawn).items():
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, values.astype(ml_dtypes.bfloat16))
        np.testing.assert_array_equal(values, _flat(stored)[leaf])
    other = init.init_params(wide_spec, 7)
    assert not np.array_equal(drawn["embed"], other["embed"])


CHILD = """
import sys

import jax
from sah_jax.models import config, init, rope
P = jax.sharding.PartitionSpec
spec = eval(sys.argv[1], {"ModelConfig": config.ModelConfig, "Rope": rope.Rope})
single = init.digest(init.init_params(spec, 6), spec)
from sah_jax.models import decoder
abstract = decoder.abstract_params(decoder.Decoder(spec))
mesh = jax.make_mesh((2, 4), ("fsdp", "tensor"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
def rule(leaf):
    spec = P(*[None] * (leaf.ndim - 2), "fsdp", "tensor") if leaf.ndim > 1 else P()
    spec = P() if any(size % 8 for size in leaf.shape[-2:]) else spec
    return jax.sharding.NamedSharding(mesh, spec)
shardings = jax.tree.map(rule, abstract)
params = init.init_params(spec, 6, shardings)
assert jax.tree.map(lambda leaf: leaf.sharding, params) == shardings
assert params["layers"]["ffn"]["up"]["kernel"].addressable_shards[0].data.size * 8 == 4 * 64 * 128
assert init.digest(params, spec) == single
print(single)
"""


def test_values_are_the_same_on_every_mesh(drawn, wide_spec, child_environment):
    flags = " ".join([os.environ["XLA_FLAGS"], "--xla_force_host_platform_device_count=8"])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, repr(wide_spec)],
        env={**child_environment, "XLA_FLAGS": flags}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == init.digest(drawn, wide_spec)


def test_step_0_is_loaded_by_its_name_without_weights(tiny_folder, tiny_spec):
    (tiny_folder / hf.WEIGHTS_FILE).unlink()
    base = base_lib.load_base(f"{tiny_folder}#step0-seed6")
    assert (base.name, base.source) == ("tiny-step0-seed6", f"{tiny_folder}#step0-seed6")
    expected = init.init_params(tiny_spec, 6)
    jax.tree.map(np.testing.assert_array_equal, base.params, expected)
    assert base_lib.load_base(base.source, "bfloat16").digest == base.digest
    assert base_lib.load_base(f"{tiny_folder}#step0-seed5").digest != base.digest


def test_a_saved_step_0_is_the_same_model(tiny_folder, tiny_spec, tmp_path):
    drawn = base_lib.load_base(f"{tiny_folder}#step0-seed6")
    hf.save_model(tmp_path / "saved", tiny_spec, drawn.params)
    shutil.copyfile(tiny_folder / "tokenizer.json", tmp_path / "saved" / "tokenizer.json")
    saved = base_lib.load_base(tmp_path / "saved")
    assert saved.digest == drawn.digest
    jax.tree.map(np.testing.assert_array_equal, saved.params, drawn.params)


@pytest.mark.parametrize("variant", ["step0", "step0-seed", "step0-seed-1", "step1-seed0", "step0-seed0x"])
def test_what_names_no_step_0_is_refused(tiny_folder, variant):
    with pytest.raises(errors.UserError, match=f"ends in '#{variant}', expected #step0-seedN"):
        base_lib.load_base(f"{tiny_folder}#{variant}")
