"""Training, codelengths and generation on eight devices: what one device gives, to float32 rounding."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

MESHES = {"data": (8, 1, 1), "fsdp": (1, 8, 1), "all": (2, 2, 2), "tensor": (1, 1, 4)}

CHILD = """
import json, math, sys
import jax, numpy as np
import sharded_model
from sah_jax.models import sharding

def largest(difference, tree, other):
    return max(jax.tree.leaves(jax.tree.map(difference, tree, other)))

relative = lambda x, y: float(np.abs(x - y).max() / np.abs(y).max())

def train(mesh, **options):
    losses, gradient, theta, traces = sharded_model.trained(mesh, **options)
    return {"loss": float(np.abs(np.array(losses) - alone[0]).max()), "traces": traces,
            "gradient": largest(relative, gradient, alone[1]), "theta": largest(relative, theta, alone[2])}

alone, alone_bits = sharded_model.trained(None), sharded_model.token_bits(None)
found, bits = {}, {}
for name, sizes in json.loads(sys.argv[1]).items():
    mesh = sharding.make_mesh(*sizes, devices=jax.devices()[:math.prod(sizes)])
    found[name] = train(mesh, remat="dots" if name == "all" else "none")
    if name != "tensor":
        bits[name] = sharded_model.token_bits(mesh)
        # A frequency is a rounded share of 2**30, and at least 1.
        freqs, alone_freqs = (
            np.exp2(30 - x.quantised_bits.astype(np.float64)) for x in (bits[name], alone_bits))
        found[name] |= {
            "ideal bits": float(np.abs(bits[name].ideal_bits - alone_bits.ideal_bits).max()),
            "freqs": float((np.abs(freqs - alone_freqs) / (1 + alone_freqs * 2.0**-18)).max())}
equal = jax.tree.map(np.array_equal, bits["data"], bits["fsdp"])
found["data and fsdp"] = {"equal": all(equal)}
mesh = sharding.make_mesh(2, 2, 2)
found["texts"] = [sharded_model.continuations(mesh, other) for other in (
    None, sharding.parse_decode_mesh("data=8", mesh), sharding.parse_decode_mesh("data=2,tensor=4", mesh))]
found["texts"].append(sharded_model.continuations(None))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    """The largest differences, of each mesh, from one device."""
    tests = pathlib.Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(MESHES)], capture_output=True, text=True, check=False,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "8", "PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"})
    assert done.returncode == 0, done.stderr
    assert "Involuntary full rematerialization" not in done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("mesh", ["data", "fsdp", "all", "tensor"])
def test_twenty_steps_are_those_of_one_device(found, mesh):
    assert found[mesh]["loss"] < 4e-6  # of losses near 4
    assert found[mesh]["gradient"] < 4e-6
    assert found[mesh]["theta"] < 4e-6


@pytest.mark.parametrize("mesh", ["data", "fsdp", "all", "tensor"])
def test_twenty_steps_are_traced_once(found, mesh):
    assert found[mesh]["traces"] == 1


@pytest.mark.parametrize("mesh", ["data", "fsdp", "all"])
def test_codelengths_are_those_of_one_device(found, mesh):
    assert found[mesh]["ideal bits"] < 8e-6  # of up to 20 bits a token
    assert found[mesh]["freqs"] < 2


def test_codelengths_on_data_and_fsdp_meshes_are_the_same_bit_for_bit(found):
    assert found["data and fsdp"]["equal"]


def test_generation_gives_the_same_tokens(found):
    *sharded, alone = found["texts"]
    assert sharded == [alone] * 3 and len(set(alone)) == 4
