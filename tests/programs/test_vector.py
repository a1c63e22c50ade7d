"""A vector of a few integers is spread over all low-rank pairs, by integers alone until a last product."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import letters
import numpy as np
import pytest

from sah_jax import errors
from sah_jax.coding import counters, file, priors, scales
from sah_jax.models import base as base_lib
from sah_jax.models import quantize
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, header, latents, lowrank, quantised, vector
from sah_jax.training import examples as examples_lib
from sah_jax.training import step as step_lib

SIZE, RANK = 40, 2
KEY = counters.key(7)


# Of a quarter octave, so that a step is no power of two and every rounding shows.
EXPONENT = -27


def _theta(symbols, exponent=EXPONENT, seed=3, **changes):
    form = vector.VectorForm(size=len(symbols), **{"rank": RANK, **changes})
    return quantised.Theta(form, seed, latents.Latents(
        {"vector": np.asarray(symbols, np.int32)}, {"vector": exponent}))


def _symbols(size=SIZE, top=127, seed=0):
    return np.random.default_rng(seed).integers(-top, top + 1, size)


def _adapted(theta, base):
    return codec.write(vector.Vector(), theta, base).adapted


def _pairs(adapted):
    """By projection, `a` and `b` of the decoder's program."""
    layers = adapted.program["layers"]
    return {f"{group}/{name}": layers[group][name] for group, name in lowrank.PROJECTIONS}


def _in_bfloat16(base):
    return dataclasses.replace(base, params=jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), base.params))


@pytest.fixture(scope="module")
def apply(tiny_base):
    """One executable for each kind of variables."""
    return jax.jit(tiny_base.decoder.apply)


@pytest.fixture(scope="module")
def tokens(tiny_base):
    return np.random.default_rng(5).integers(1, tiny_base.spec.vocab_size, (2, 12))


def test_spread_has_entries_of_the_vector_with_signs_and_all_of_them():
    values = np.float32([1, 2, 4, 8, 16])
    found = np.asarray(vector.spread(values, KEY, (30, 40)))
    assert found.shape == (30, 40) and found.dtype == np.float32
    # Each entry with each sign, about equally often.
    seen, counts = np.unique(found, return_counts=True)
    np.testing.assert_array_equal(seen, sorted([*values, *-values]))
    assert counts.min() > 0.7 * found.size / 10


def test_spread_is_a_function_of_the_key_alone():
    places = np.arange(1, 1001, dtype=np.float32)  # Magnitudes tell which entry stands where.
    first, again, other = (
        np.asarray(vector.spread(places, key, (50, 60))) for key in (KEY, KEY, counters.key(8)))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first == other) < 0.01
    # Where an entry stands hangs on no value.
    doubled = np.asarray(vector.spread(2 * places, KEY, (50, 60)))
    np.testing.assert_array_equal(doubled, 2 * first)


def test_spread_is_linear_with_the_gradient_of_each_place():
    readout = np.random.default_rng(0).normal(size=(8, 9)).astype(np.float32)
    gradient = jax.grad(lambda v: jnp.sum(vector.spread(v, KEY, (8, 9)) * readout))(jnp.zeros(4))
    for place in range(4):
        one = np.asarray(vector.spread(np.eye(4, dtype=np.float32)[place], KEY, (8, 9)))
        assert np.isclose(gradient[place], np.sum(one * readout), rtol=1e-5)


def test_places_differ_between_factors_projections_and_from_the_start(tiny_base):
    theta = _theta(np.arange(1, 121), alpha=RANK)
    pairs, start = _pairs(_adapted(theta, tiny_base)), lowrank.start(tiny_base.decoder, RANK, theta.seed)
    found = []
    for name, pair in pairs.items():
        # What lies on the start, in steps: which entry of the vector stands where.
        found += [np.asarray(pair[factor] - start[name][factor]).ravel()[:100] for factor in "ab"]
    assert not any(np.allclose(one, other, atol=1e-6) for number, one in enumerate(found)
                   for other in found[:number])


@pytest.mark.parametrize("basis", vector.BASES)
def test_zeros_are_the_base_model_bit_for_bit(basis, tiny_base, apply, tokens):
    adapted = _adapted(_theta(np.zeros(SIZE), basis=basis), tiny_base)
    assert adapted.unchanged and adapted.portable
    plain = apply({"params": tiny_base.params}, tokens)
    np.testing.assert_array_equal(apply(adapted.variables(tiny_base), tokens), plain)
    one = _adapted(_theta(np.eye(SIZE)[0], exponent=0, basis=basis), tiny_base)
    assert not one.unchanged
    assert np.abs(apply(one.variables(tiny_base), tokens) - plain).max() > 1e-3


@pytest.mark.parametrize("basis", vector.BASES)
def test_a_file_gives_what_training_saw(basis, tiny_base):
    # A power of two: training multiplies with it before the products, and a reader after them.
    exponent = -28
    theta = _theta(_symbols(), exponent, basis=basis, layers="0,2", alpha=5)
    program = codec.write(vector.Vector(), theta, tiny_base)
    read = codec.read(program.data, tiny_base)
    assert read.adapted.digest() == program.adapted.digest()
    family, step = vector.Vector(), scales.step(exponent)
    setting = vector.VectorSetting(
        size=SIZE, rank=RANK, basis=basis, layers="0,2", alpha=5, learning_rate=1e-3, num_examples=8)
    # As in a compiled step: the form with placeholders, and values in floats.
    knobs = family._knobs(setting, theta.seed, tiny_base, ())[1]
    seen = jax.jit(lambda values, knobs: family.program(
        values, family.static(setting), knobs, tiny_base.params, tiny_base.decoder).program)(
            {"vector": theta.latents.symbols["vector"] * step}, knobs)
    # Some rounding of numbers of order 1.
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-6, atol=1e-7),
                 seen, read.adapted.program)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(seen)) > 0.01


@pytest.mark.parametrize("basis", vector.BASES)
def test_the_file_gives_the_model_that_was_trained(basis, tiny_base):
    family, task, told = vector.Vector(), letters.Letters(), []
    setting = family_lib.parse_setting(family, {
        "size": 300, "learning_rate": 0.01, "num_examples": 8, "epochs": 25, "rank": 4, "alpha": 16,
        "max_tokens": 16, "basis": basis})
    theta = family.fit(setting, tiny_base, task, 0, told.append)
    adapted = codec.read(codec.write(family, theta, tiny_base).data, tiny_base).adapted
    examples = examples_lib.first_fitting(tiny_base, task, 8, 16, 0)
    batch = examples_lib.batch_of(tiny_base, examples, 8, 16)
    after, before = (float(step_lib.mean_loss(tiny_base.decoder, one.variables(tiny_base), batch))
                     for one in (adapted, family_lib.Adapted({})))
    trained = float(told[-1].split("loss ")[1].split()[0])
    # The last report is a mean over the last steps; the file's model is the one after them.
    assert after < 1.1 * trained and trained < 0.8 * before


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_sketches_are_the_weights_times_signs_in_integers(dtype, tiny_base):
    base = tiny_base if dtype == "float32" else _in_bfloat16(tiny_base)
    found, key = vector.sketches(base, RANK, 3), counters.key(3)
    assert len(found) == len(lowrank.PROJECTIONS)
    for number, (group, name) in enumerate(lowrank.PROJECTIONS):
        kernel = np.asarray(base.params["layers"][group][name]["kernel"], np.float64)
        whole = np.round(np.ldexp(kernel, 15 - int(np.floor(np.log2(np.abs(kernel).max()))) - 1))
        assert 2**14 <= np.abs(whole).max() <= 2**15
        signs = {
            side: np.asarray(counters.signs(
                counters.fold_in(counters.fold_in(key, 1000 + number), place), shape), np.int64)
            for side, place, shape in (("a", 1, (kernel.shape[2], RANK)), ("b", 2, (RANK, kernel.shape[1])))}
        whole = whole.astype(np.int64)
        for side, sums in (("a", whole @ signs["a"]), ("b", signs["b"] @ whole)):
            shift = max(0, int(np.abs(sums).max()).bit_length() - 11)
            got = np.asarray(found[f"{group}/{name}"][side])
            assert got.dtype == np.float32
            np.testing.assert_array_equal(got, sums >> shift)
            # 11 bits and a sign, and all of them are used.
            assert 2**10 <= np.abs(got).max() <= 2**11


def test_sketches_have_other_signs_for_each_seed_and_projection(tiny_base):
    first, again, other = (vector.sketches(tiny_base, RANK, seed) for seed in (3, 3, 4))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    for name, pair in first.items():
        assert all(np.mean(pair[side] == other[name][side]) < 0.1 for side in "ab")


def test_a_sketch_of_small_or_no_numbers_is_not_shifted(tiny_base):
    layers = jax.tree.map(jnp.zeros_like, tiny_base.params["layers"])
    base = dataclasses.replace(tiny_base, params={**tiny_base.params, "layers": layers})
    found = vector.sketches(base, RANK, 0)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(found))
    sums = jnp.int32([[-3, 2047], [0, 1]])
    np.testing.assert_array_equal(vector._shortened(sums), sums)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cores_are_multiplied_without_rounding_but_for_the_last_products(dtype, tiny_base):
    base = tiny_base if dtype == "float32" else _in_bfloat16(tiny_base)
    # The largest integers and ranks that there are.
    rank = max(lowrank.RANKS)
    symbols = 127 * np.sign(_symbols(500) + 0.5)
    theta = _theta(symbols, basis="cores", rank=rank, alpha=3)
    pairs = _pairs(_adapted(theta, base))
    key, step = counters.key(theta.seed), scales.step(EXPONENT)
    for number, (name, pair) in enumerate(vector.sketches(base, rank, theta.seed).items()):
        cores = vector.spread(symbols.astype(np.float32), vector._key(key, number, 0), (3, rank, rank))
        exact = np.asarray(cores, np.int64) @ np.asarray(pair["b"], np.int64)
        assert np.abs(exact).max() < 2**24
        # From here on floats, each product rounded once.
        expected = exact.astype(np.float32) * (step * np.float32(1 / 512)) * np.float32(3 / rank)
        np.testing.assert_array_equal(np.asarray(pairs[name]["b"]), expected)
        scale = np.float32(1 / (math.sqrt(pair["a"].shape[1]) * 512))
        np.testing.assert_array_equal(np.asarray(pairs[name]["a"]), np.asarray(pair["a"]) * scale)


def test_int32_holds_the_sums_of_a_sketch_of_the_widest_layers():
    # 32768 inputs, all weights and signs alike.
    whole = vector._as_integers(jnp.full((1, 1, 4), 0.999, jnp.float32))
    assert int(jnp.max(jnp.abs(whole))) * (1 << 15) < 1 << 31


@pytest.mark.parametrize("basis", vector.BASES)
@pytest.mark.parametrize("layers, modules", [("1", "all"), ("all", "q,down"), ("0,2", "v")])
def test_other_layers_and_projections_are_left_as_they_are(basis, layers, modules, tiny_base):
    theta = _theta(_symbols(), basis=basis, layers=layers, modules=modules)
    everywhere = _pairs(_adapted(_theta(_symbols(), basis=basis), tiny_base))
    for name, pair in _pairs(_adapted(theta, tiny_base)).items():
        chosen = np.zeros(tiny_base.spec.layers, bool)
        if modules == "all" or name.split("/")[1] in modules.split(","):
            chosen[list(header.Layers().of(layers, tiny_base))] = True
        effect = np.asarray(pair["a"] @ pair["b"])
        np.testing.assert_array_equal(np.any(effect, axis=(1, 2)), chosen)
        # Those that are adapted are so as if all were.
        whole = np.asarray(everywhere[name]["a"] @ everywhere[name]["b"])
        np.testing.assert_array_equal(effect[chosen], whole[chosen])


def test_the_update_is_scaled_by_alpha_over_rank(tiny_base):
    once, thrice = (
        _pairs(_adapted(_theta(_symbols(), alpha=alpha), tiny_base)) for alpha in (RANK, 3 * RANK))
    for name, pair in once.items():
        np.testing.assert_allclose(3 * pair["b"], thrice[name]["b"], rtol=1e-6)
        np.testing.assert_array_equal(pair["a"], thrice[name]["a"])


def test_a_vector_costs_its_bits_and_some_for_the_header(tiny_base):
    program = codec.write(vector.Vector(), _theta(_symbols(400), bits_per_weight=8), tiny_base)
    fields = {entry.field: entry.ideal_bits for entry in program.ledger}
    assert fields["vector"] <= 400 * 8 + 3 + 7
    assert fields["vector settings"] < 64
    small = _symbols(400, top=priors.levels(2))
    assert codec.write(vector.Vector(), _theta(small, bits_per_weight=2), tiny_base).bits < program.bits / 3


@pytest.mark.parametrize("changes, message", [
    ({"size": vector.MOST + 1}, "size is 100001, expected 1 to 100000"), ({"size": 0}, "size is 0"),
    ({"rank": 3}, "rank is 3"), ({"bits_per_weight": 16}, "bits_per_weight is 16"),
    ({"alpha": 0}, "alpha is 0"), ({"modules": "q,x"}, "modules is q,x"),
    ({"basis": "svd"}, "basis is svd, expected one of factors, cores"),
    ({"layers": "3"}, "layers is '3', tiny has the layers 0 to 2")])
def test_impossible_settings_are_refused(changes, message, tiny_base):
    given = {"size": 10, "learning_rate": 1e-3, "num_examples": 8, "max_tokens": 16, **changes}
    with pytest.raises(errors.UserError, match=message):
        setting = family_lib.parse_setting(vector.Vector(), given)
        vector.Vector().fit(setting, tiny_base, letters.Letters(), 0, codec.silent)


def test_a_file_that_claims_a_larger_vector_is_refused(tiny_base):
    writer, form = file.ProgramWriter(), vector.VectorForm(size=vector.MOST + 1)
    header.write(writer, form, 0, tiny_base)
    with pytest.raises(errors.UserError, match="claims 100000 more size, at most 99999"):
        vector.Vector().read(file.ProgramReader(writer.close()), tiny_base, codec.silent)


@pytest.mark.parametrize("scheme", quantize.SCHEMES)
def test_quantised_weights_have_no_sketches_but_factors(scheme, tiny_base):
    base: base_lib.BaseModel = dataclasses.replace(
        tiny_base, params=quantize.quantize_tree(tiny_base.params, scheme))
    with pytest.raises(errors.UserError, match="tiny has quantised weights.*take basis=factors"):
        _adapted(_theta(_symbols(), basis="cores"), base)
    quantised_one, plain = (_adapted(_theta(_symbols()), one) for one in (base, tiny_base))
    assert quantised_one.digest() == plain.digest()
