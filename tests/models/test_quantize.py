"""A quantised kernel is as near as its codes allow, and the decoder computes with what they stand for."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import quantize

WIDEST_GAP = {"int8": 1 / 127, "nf4": 0.303_803_751}
"""Between neighbouring values, in shares of the largest weight of a scale."""


def _kernel(inputs=192, outputs=7, seed=0):
    rng = np.random.default_rng(seed)
    # Outputs and blocks of very different sizes, so that sharing the wrong scale shows.
    sizes = 10.0 ** rng.integers(-3, 4, (inputs // 64, 1, outputs))
    return (rng.normal(size=(inputs // 64, 64, outputs)) * sizes).reshape(inputs, outputs).astype(np.float32)


def _largest(kernel, scheme):
    """The largest weight under the scale of each weight."""
    if scheme == "int8":
        return np.abs(kernel).max(axis=0, keepdims=True)
    blocks = np.abs(kernel).reshape(-1, 64, kernel.shape[1])
    return np.broadcast_to(blocks.max(axis=1, keepdims=True), blocks.shape).reshape(kernel.shape)


@pytest.mark.parametrize("scheme", quantize.SCHEMES)
def test_every_weight_is_within_half_a_gap(scheme):
    kernel = _kernel()
    back = np.asarray(quantize.dequantize(**quantize.quantize(kernel, scheme)))
    rounding = 2.0**-8 if scheme == "nf4" else 1e-6  # of the scale, which nf4 keeps in bfloat16
    bound = (WIDEST_GAP[scheme] / 2 + rounding) * _largest(kernel, scheme)
    assert np.all(np.abs(back - kernel) <= bound)
    assert np.max(np.abs(back - kernel) / bound) > 0.8  # so that the bound is not idle


@pytest.mark.parametrize("scheme", quantize.SCHEMES)
def test_what_was_quantised_once_stays_as_it_is(scheme):
    once = quantize.quantize(_kernel(), scheme)
    again = quantize.quantize(np.asarray(quantize.dequantize(**once)), scheme)
    assert np.array_equal(again["codes"], once["codes"])
    assert np.array_equal(again["scales"], once["scales"])


@pytest.mark.parametrize("scheme", quantize.SCHEMES)
def test_zeros_stay_zero(scheme):
    kernel = _kernel()
    kernel[64:128, 2] = 0
    kernel[:, 5] = 0
    back = np.asarray(quantize.dequantize(**quantize.quantize(kernel, scheme)))
    assert np.all(back[64:128, 2] == 0) and np.all(back[:, 5] == 0)
    assert np.any(back[:64, 2] != 0)


@pytest.mark.parametrize("scheme, bits", [("int8", 8.0), ("nf4", 4.25)])
def test_a_weight_takes_few_bits(scheme, bits):
    stored = quantize.quantize(_kernel(inputs=64 * 200, outputs=64), scheme)
    per_output = 32 / (64 * 200) if scheme == "int8" else 0
    assert 8 * sum(leaf.nbytes for leaf in stored.values()) / (64 * 200 * 64) == bits + per_output


@pytest.mark.parametrize("inputs, block", [(2, 2), (6, 2), (40, 8), (64, 64), (96, 32), (11008, 64)])
def test_blocks_divide_the_inputs(inputs, block):
    assert quantize.block_size(inputs) == block


def test_what_cannot_be_quantised_is_named():
    with pytest.raises(errors.UserError, match="quantization is 'int3', expected one of int8, nf4"):
        quantize.quantize(_kernel(), "int3")
    with pytest.raises(errors.UserError, match="has 63 input features"):
        quantize.quantize(_kernel()[:63], "nf4")
    with pytest.raises(errors.UserError, match="not a finite number"):
        quantize.quantize(np.array([[np.nan], [1.0]]), "int8")


def _floats(node):
    """The tree of floats that a quantised tree stands for."""
    if "codes" in node:
        kernel = jnp.stack([
            quantize.dequantize(*layer) for layer in zip(node["codes"], node["scales"], strict=True)])
        rest = {key: leaf for key, leaf in node.items() if key not in ("codes", "scales")}
        return rest | {"kernel": kernel}
    return {key: _floats(child) if isinstance(child, dict) else child for key, child in node.items()}


@pytest.mark.parametrize("scheme", quantize.SCHEMES)
def test_the_decoder_computes_with_what_the_codes_stand_for(tiny_spec, draw_params, scheme):
    decoder = decoder_lib.Decoder(tiny_spec)
    codes = quantize.quantize_tree(draw_params(tiny_spec), scheme)
    expected = quantize.abstract(decoder_lib.abstract_params(decoder), scheme)
    assert jax.tree.map(lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), codes) == jax.tree.map(
        lambda leaf: (leaf.shape, np.dtype(leaf.dtype)), expected)
    tokens_BL = np.random.default_rng(0).integers(0, tiny_spec.vocab_size, (2, 9))
    logits = decoder.apply({"params": codes}, tokens_BL)
    # What is left is rounding: int8 scales after the product, not before.
    np.testing.assert_allclose(logits, decoder.apply({"params": _floats(codes)}, tokens_BL), atol=1e-4)
    unquantised = decoder.apply({"params": draw_params(tiny_spec)}, tokens_BL)
    assert np.max(np.abs(logits - unquantised)) > 1e-3


@pytest.mark.parametrize("variant", ["", "#step0-seed3"])
def test_a_base_model_is_quantised_as_it_is_read(tiny_folder, variant):
    plain = base_lib.load_base(f"{tiny_folder}{variant}")
    digests, loss = {plain.digest}, {}
    for scheme in quantize.SCHEMES:
        base = base_lib.load_base(f"{tiny_folder}{variant}", quantization=scheme)
        jax.tree.map(np.testing.assert_array_equal, base.params, quantize.quantize_tree(plain.params, scheme))
        digests.add(base.digest)
        assert base.profile()["quantization"] == base.quantization == scheme
        tokens_BL = np.random.default_rng(0).integers(0, base.spec.vocab_size, (2, 9))
        logits = [np.asarray(one.decoder.apply({"params": one.params}, tokens_BL)) for one in (base, plain)]
        loss[scheme] = np.std(logits[0] - logits[1]) / np.std(logits[1])
    assert len(digests) == 3
    assert 0 < loss["int8"] < loss["nf4"] < 0.5
    with pytest.raises(errors.UserError, match="quantization is 'int3'"):
        base_lib.load_base(tiny_folder, quantization="int3")


CHILD = """
import sys
sys.path.insert(0, "tests")
import jax, numpy as np, optax
from sah_jax.models import base as base_lib, costs, generate, sharding
from sah_jax.programs import lowrank
from sah_jax.training import step as step_lib

def losses(base):
    expand = lambda theta, params: {"params": params, "program": lowrank.expand(theta, 1.0)}
    theta, optimizer = lowrank.start(base.decoder, 2, 0), optax.adam(1e-2)
    state = step_lib.FitState(theta, optimizer.init(theta))
    placed = step_lib.places(base.decoder, state, 8)
    state = sharding.place(state, placed.state) if placed else state
    step, found = step_lib.make_step(base.decoder, optimizer, expand, placed), []
    tokens_BL = np.random.default_rng(0).integers(1, 40, (8, 9)).astype(np.int32)
    for _ in range(4):
        state, loss = step(state, base.params, step_lib.Batch(tokens_BL, np.ones((8, 9), np.float32)))
        found.append(float(loss))
    texts = generate.generate(base, {"params": base.params}, ["abc", "no. 7"], max_new_tokens=9)
    bits = costs.token_costs(base.decoder, {"params": base.params}, tokens_BL).ideal_bits
    return found, np.asarray(bits), texts

for scheme in ("int8", "nf4"):
    alone = base_lib.load_base(sys.argv[1], quantization=scheme)
    split = base_lib.load_base(sys.argv[1], mesh=sharding.make_mesh(2, 2, 2), quantization=scheme)
    assert split.digest == alone.digest
    assert not split.params["layers"]["ffn"]["up"]["codes"].is_fully_replicated
    (ours, bits, texts), (theirs, their_bits, their_texts) = losses(split), losses(alone)
    assert ours[3] < ours[0] and texts == their_texts
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(bits, their_bits, rtol=1e-4, atol=1e-4)
print("the same")
"""


def test_a_quantised_model_trains_prices_and_writes_on_a_mesh(tiny_folder):
    flags = " ".join([os.environ["XLA_FLAGS"], "--xla_force_host_platform_device_count=8"])
    done = subprocess.run(
        [sys.executable, "-c", "import sah_jax\n" + CHILD, str(tiny_folder)],
        env={**os.environ, "XLA_FLAGS": flags}, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == "the same", done.stderr
