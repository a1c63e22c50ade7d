"""Deltas are added to the leaves that a family names, to no other one, and as the file has them."""

import dataclasses

import jax
import jax.numpy as jnp
import letters
import ml_dtypes
import numpy as np
import pytest
import tiny_model
from flax import traverse_util

from sah_jax import errors
from sah_jax.coding import scales
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import quantize
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, full, latents, lm_head, norm_gains, quantised
from sah_jax.training import examples as examples_lib
from sah_jax.training import step as step_lib

NORM_GAINS, LM_HEAD, FULL = norm_gains.NormGains(), lm_head.LmHead(), full.Full()
FAMILIES = pytest.mark.parametrize("family", (NORM_GAINS, LM_HEAD, FULL), ids=lambda family: family.name)
EXPONENT = -21  # no power of two, so that most deltas are not numbers of bfloat16
GAINS = ("layers/attention_norm/scale", "layers/ffn_norm/scale", "final_norm/scale")


def _flat(tree):
    return traverse_util.flatten_dict(tree, sep="/")


def _with_spec(base, **changes):
    """The tiny model with another architecture and random weights."""
    spec = dataclasses.replace(base.spec, **changes)
    return dataclasses.replace(
        base, spec=spec, decoder=decoder_lib.Decoder(spec), params=tiny_model.random_params(spec))


def _theta(family, base, bits=8, seed=0):
    form, rng = family.Form(bits_per_weight=bits), np.random.default_rng(seed)
    shapes = family.shapes(form, base.decoder)
    if bits == latents.RAW_BITS:
        numbers = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        return quantised.Theta(form, 0, latents.Latents(
            {name: latents.to_bfloat16(one) for name, one in numbers.items()}, {}))
    top = (1 << bits - 1) - 1
    symbols = {name: rng.integers(-top, top + 1, shape).astype(np.int32) for name, shape in shapes.items()}
    return quantised.Theta(form, 0, latents.Latents(symbols, dict.fromkeys(symbols, EXPONENT)))


def _read(family, theta, base):
    return codec.read(codec.write(family, theta, base).data, base).adapted


def _names(family, base):
    return set(family.shapes(family.Form(), base.decoder))


@pytest.mark.parametrize("tied", [False, True])
@FAMILIES
def test_its_leaves_have_its_numbers_added_and_no_other_changes(family, tied, tiny_base):
    base = _with_spec(tiny_base, tied_embedding=tied)
    theta = _theta(family, base)
    adapted = _read(family, theta, base)
    assert not adapted.program and not adapted.context and not adapted.unchanged and adapted.portable
    before, after = _flat(base.params), _flat(adapted.variables(base)["params"])
    assert before.keys() == after.keys()
    for name, leaf in after.items():
        if name in theta.latents.symbols:
            delta = np.float32(theta.latents.symbols[name]) * scales.step(EXPONENT)
            np.testing.assert_array_equal(leaf, np.asarray(before[name]) + delta)
            assert np.mean(delta != 0) > 0.9
        else:
            assert leaf is before[name]


def test_norm_gains_are_those_of_every_norm(tiny_base):
    assert _names(NORM_GAINS, tiny_base) == set(GAINS)
    for qk_norm, norm_after in (("head", False), ("width", True)):
        base = _with_spec(tiny_base, qk_norm=qk_norm, norm_after=norm_after, biases=("q", "k", "v"))
        own = {f"layers/attention/{name}_norm/scale" for name in "qk"}
        assert _names(NORM_GAINS, base) == {*GAINS, *own}
        # No gain is missed: of all leaves, those that a norm is multiplied with.
        assert _names(NORM_GAINS, base) == {name for name in _flat(base.params) if name.endswith("scale")}


def test_lm_head_is_what_makes_logits(tiny_base):
    assert _names(LM_HEAD, tiny_base) == {"head"}
    tied = _with_spec(tiny_base, tied_embedding=True)
    assert _names(LM_HEAD, tied) == {"embed"}
    tokens = np.arange(1, 9)[None]
    for base in (tiny_base, tied):
        adapted = _read(LM_HEAD, _theta(LM_HEAD, base), base).variables(base)
        hidden = [base.decoder.apply(variables, tokens, method="hidden")
                  for variables in ({"params": base.params}, adapted)]
        # A tied embedding changes what goes in, too.
        assert np.array_equal(*hidden) == (base is tiny_base)


def test_full_is_every_weight(tiny_base):
    for base in (tiny_base, _with_spec(tiny_base, tied_embedding=True, qk_norm="head", biases=("q", "o"))):
        assert _names(FULL, base) == set(_flat(base.params))
        theta = _theta(FULL, base)
        assert theta.latents.count == base.spec.num_params


@FAMILIES
def test_zeros_are_the_base_model_and_cost_next_to_nothing(family, tiny_base):
    found = _theta(family, tiny_base).latents
    zeros = jax.tree.map(np.zeros_like, found.symbols)
    theta = quantised.Theta(family.Form(), 0, latents.Latents(zeros, found.exponents))
    program = codec.write(family, theta, tiny_base)
    assert program.adapted.unchanged and program.bits < 32 + 3 * len(zeros)
    jax.tree.map(np.testing.assert_array_equal, program.adapted.variables(tiny_base)["params"],
                 tiny_base.params)


@FAMILIES
def test_of_16_bits_a_file_is_16_bits_a_number_and_some_bytes(family, tiny_base):
    theta = _theta(family, tiny_base, latents.RAW_BITS)
    program = codec.write(family, theta, tiny_base)
    leaves = _flat(tiny_base.params)
    assert theta.latents.count == sum(leaves[name].size for name in theta.latents.symbols)
    # Header, form, seed and end.
    assert 0 < len(program.data) - 2 * theta.latents.count <= 5
    read = codec.read(program.data, tiny_base).adapted
    assert read.digest() == program.adapted.digest()
    for name, delta in _flat(read.deltas).items():
        np.testing.assert_array_equal(delta, theta.latents.symbols[name])


@FAMILIES
def test_of_16_bits_what_is_scored_is_the_fitted_delta_in_bfloat16(family, tiny_base, monkeypatch):
    kept, freeze = [], latents.freeze
    monkeypatch.setattr(latents, "freeze", lambda theta, bits: kept.append(theta) or freeze(theta, bits))
    setting = family_lib.parse_setting(family, {
        "bits_per_weight": 16, "learning_rate": 1e-2, "num_examples": 4, "epochs": 3, "max_tokens": 16,
        "batch_size": 4})
    theta = family.fit(setting, tiny_base, letters.Letters(), 0, codec.silent)
    scored = _flat(_read(family, theta, tiny_base).variables(tiny_base)["params"])
    (fitted,), base = kept, _flat(tiny_base.params)
    for name, leaf in scored.items():
        delta = fitted["offset"].get(name, np.zeros(leaf.shape, np.float32))
        rounded = np.asarray(delta).astype(ml_dtypes.bfloat16).astype(np.float32)
        np.testing.assert_array_equal(leaf, np.asarray(base[name]) + rounded)
        assert (name in fitted["offset"]) == bool(np.any(delta))
    # The delta is trained in float32.
    assert any(np.any(latents.to_bfloat16(delta) != delta) for delta in fitted["offset"].values())


@pytest.mark.parametrize("family", (NORM_GAINS, LM_HEAD), ids=lambda family: family.name)
def test_the_file_gives_the_model_that_was_trained(family, tiny_base):
    task, told = letters.Letters(), []
    setting = family_lib.parse_setting(family, {
        "learning_rate": 0.02, "num_examples": 8, "epochs": 25, "max_tokens": 16, "rate_weight": 1e-5})
    adapted = _read(family, family.fit(setting, tiny_base, task, 0, told.append), tiny_base)
    batch = examples_lib.batch_of(
        tiny_base, examples_lib.first_fitting(tiny_base, task, 8, 16, 0), 8, 16)
    after, before = (float(step_lib.mean_loss(tiny_base.decoder, one.variables(tiny_base), batch))
                     for one in (adapted, family_lib.Adapted({})))
    trained = float(told[-1].split("loss ")[1].split()[0])
    # The last report is a mean over the last steps; the file's model is the one after them.
    assert after < 1.1 * trained and trained < 0.9 * before


def test_weights_stay_in_the_dtype_that_the_base_has(tiny_base):
    base = dataclasses.replace(
        tiny_base, params=jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), tiny_base.params))
    theta = _theta(FULL, base)
    for name, leaf in _flat(_read(FULL, theta, base).variables(base)["params"]).items():
        assert leaf.dtype == jnp.bfloat16
        delta = np.float32(theta.latents.symbols[name]) * scales.step(EXPONENT)
        expected = (np.asarray(_flat(base.params)[name], np.float32) + delta).astype(ml_dtypes.bfloat16)
        np.testing.assert_array_equal(np.asarray(leaf), expected)


@pytest.mark.parametrize("scheme", quantize.SCHEMES)
def test_quantised_kernels_have_no_deltas_but_other_leaves_do(scheme, tiny_base):
    base = dataclasses.replace(tiny_base, params=quantize.quantize_tree(tiny_base.params, scheme))
    adapted = _read(FULL, _theta(FULL, base), base)
    with pytest.raises(errors.UserError, match="adds to the weights 'kernel', the model has codes, scales"):
        adapted.variables(base)
    setting = family_lib.parse_setting(FULL, {"learning_rate": 0.01, "num_examples": 2, "max_tokens": 16})
    with pytest.raises(errors.UserError, match="take a model that is not quantised"):
        FULL.fit(setting, base, letters.Letters(), 0, codec.silent)
    for family in (NORM_GAINS, LM_HEAD):
        theta = _theta(family, base)
        changed = _flat(_read(family, theta, base).variables(base)["params"])
        plain = _flat(_read(family, theta, tiny_base).variables(tiny_base)["params"])
        for name in theta.latents.symbols:
            np.testing.assert_array_equal(changed[name], plain[name])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", (LM_HEAD, FULL), ids=lambda family: family.name)
def test_a_file_does_not_hang_on_the_rows_that_a_mesh_adds_to_the_vocabulary(family, tied, tiny_base):
    # It is said to be portable, and a reader may have no mesh or another one.
    base = _with_spec(tiny_base, tied_embedding=tied)
    decoder = base.decoder.clone(vocab_rows=48)
    padded = dataclasses.replace(
        base, decoder=decoder, params=decoder_lib.pad_vocabulary(decoder, base.params))
    program = codec.write(family, _theta(family, base), padded)
    assert program.data == codec.write(family, _theta(family, base), base).data
    assert program.adapted.portable
    tokens, read = np.arange(1, 9)[None], codec.read(program.data, base).adapted
    found = [one.decoder.apply(adapted.variables(one), tokens)
             for one, adapted in ((padded, program.adapted), (base, read))]
    np.testing.assert_allclose(*found, rtol=0, atol=1e-5)
