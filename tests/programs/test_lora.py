"""The quantised adapter: what is trained is what is coded."""

import json
import math
import re

import jax
import numpy as np
import pytest

from sah_jax import errors
from sah_jax.coding import priors
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import hf_config
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, header, latents, lora, lowrank, quantised
from sah_jax.training import examples as examples_lib
from sah_jax.training import step as step_lib
from sah_jax.training import tuned


def _setting(**changes) -> lora.LoraSetting:
    return family_lib.parse_setting(lora.Lora(), {
        "rank": 1, "bits_per_weight": 2, "learning_rate": 5e-3, "num_examples": 128, **changes})


def test_the_file_gives_the_model_that_was_trained(nano, nano_math):
    setting = _setting(num_examples=16, epochs=12, bits_per_weight=4, rank=2)
    told = []
    theta = lora.Lora().fit(setting, nano, nano_math, 0, told.append)
    adapted = codec.read(codec.write(lora.Lora(), theta, nano).data, nano).adapted
    examples = examples_lib.first_fitting(nano, nano_math, 16, setting.max_tokens, 0)
    batch = examples_lib.batch_of(nano, examples, 16, setting.max_tokens)
    loss = float(step_lib.mean_loss(nano.decoder, adapted.variables(nano), batch))
    before = float(step_lib.mean_loss(nano.decoder, {"params": nano.params}, batch))
    trained = float(re.search(r"loss ([0-9.]+)", told[-1]).group(1))
    # The last report is a mean over the last steps; the file's model is the one after them.
    assert loss < 1.1 * trained < 0.5 * before


def test_symbols_fit_their_bits_and_some_are_not_zero(nano, nano_math):
    theta = lora.Lora().fit(_setting(bits_per_weight=3), nano, nano_math, 0, codec.silent)
    values = np.concatenate([np.ravel(array) for array in theta.latents.symbols.values()])
    assert np.abs(values).max() <= priors.levels(3)
    assert np.count_nonzero(values) > 0
    # Rank-1 factors of the seven projections of every layer, and nothing else.
    spec = nano.spec
    kv, inner = spec.kv_heads * spec.head_dim, spec.heads * spec.head_dim
    per_layer = (spec.width + inner) * 2 + (spec.width + kv) * 2 + (spec.width + spec.ffn) * 3
    assert values.size == spec.layers * per_layer


def test_fit_is_reproducible_and_depends_on_the_seed(nano, nano_math):
    data = [
        codec.write(lora.Lora(), lora.Lora().fit(_setting(), nano, nano_math, seed, codec.silent), nano).data
        for seed in (1, 1, 2)]
    assert data[0] == data[1] != data[2]


def test_start_is_the_base_model_with_seeded_signs(nano):
    first, again, other = (lowrank.start(nano.decoder, 2, seed) for seed in (5, 5, 6))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    for name, pair in first.items():
        assert not np.any(pair["b"])
        np.testing.assert_allclose(np.abs(pair["a"]), pair["a"].shape[1] ** -0.5, rtol=1e-6)
        assert np.any(pair["a"] != other[name]["a"])


@pytest.mark.parametrize("name, count", [
    ("smollm3-3b.reconstructed", 1_889_280), ("olmo-3-1025-7b.reconstructed", 2_498_560),
    ("olmo-3-1125-32b.reconstructed", 8_388_608)])
def test_published_models_have_the_papers_number_of_weights(shared_data, name, count):
    hf = json.loads((shared_data / "model-configs" / f"{name}.json").read_text())
    decoder = decoder_lib.Decoder(hf_config.parse(hf, name))
    shapes = lora.Lora().shapes(header.part(_setting(), lora.LoraForm), decoder)
    knobs = latents.make_knobs(latents.RAW_BITS, "straight_through", 0.0, 1e-4)
    theta = jax.eval_shape(lambda: latents.start(shapes, knobs))
    assert sum(math.prod(leaf.shape) for leaf in theta["offset"].values()) == count
    # The paper's lengths of it: reference-facts 1.5.
    assert latents.RAW_BITS * count in (30_228_480, 39_976_960, 134_217_728)


def test_of_16_bits_a_file_is_16_bits_a_weight_and_what_is_scored_is_rounded(nano, nano_math):
    theta = lora.Lora().fit(_setting(bits_per_weight=16), nano, nano_math, 0, codec.silent)
    program = codec.write(lora.Lora(), theta, nano)
    assert 0 < program.bits - 16 * theta.latents.count <= 64
    for array in theta.latents.symbols.values():
        np.testing.assert_array_equal(array, latents.to_bfloat16(array))
    accounts = lora.Lora().accounts(_setting(bits_per_weight=16), theta, nano)
    assert accounts.reference_bits == 16 * theta.latents.count and accounts.train_flops > 0


def test_layers_and_modules_that_are_not_adapted_are_not_in_the_file(nano, nano_math):
    setting = _setting(bits_per_weight=8, layers="1,3-4", modules="q,down", num_examples=128)
    theta = lora.Lora().fit(setting, nano, nano_math, 0, codec.silent)
    read = codec.read(codec.write(lora.Lora(), theta, nano).data, nano)
    for group, projections in read.adapted.program["layers"].items():
        for name, pair in projections.items():
            used = [layer for layer in range(nano.spec.layers) if np.any(pair["b"][layer])]
            assert used == ([1, 3, 4] if name in ("q", "down") else []), (group, name)
    with pytest.raises(errors.UserError, match="has the layers 0 to 4"):
        lora.Lora().fit(_setting(layers="5"), nano, nano_math, 0, codec.silent)


def test_one_trace_serves_all_settings_that_change_no_shape(nano, nano_math):
    settings = [_setting(num_examples=8), _setting(num_examples=16, learning_rate=1e-3, alpha=2, epochs=2),
                _setting(num_examples=8, rate_weight=1e-3, bits_per_weight=5, rounding="noise", order=3),
                _setting(num_examples=8, layers="0-2", modules="v,up")]
    family = lora.Lora()
    assert len({family.together(setting) for setting in settings}) == 1
    thetas = [family.fit(setting, nano, nano_math, seed, codec.silent)
              for seed, setting in enumerate(settings)]
    knobs = family._knobs(settings[0], 0, nano, ())
    problem = quantised.problem_of(family, family.static(settings[0]), nano.decoder)
    assert tuned.make_step(problem, 8).run._cache_size() == 1
    assert len({codec.write(family, theta, nano).data for theta in thetas}) == len(settings)
    assert jax.tree.structure(problem.knobs[0]) == jax.tree.structure(knobs[0])


@pytest.mark.parametrize("changes, message", [
    ({"rank": 3}, "rank is 3"), ({"bits_per_weight": 9}, "bits_per_weight is 9"),
    ({"epochs": 0}, "epochs is 0"),
    ({"learning_rate": -1.0}, "learning_rate is -1.0"), ({"max_tokens": 8}, "raise max_tokens")])
def test_impossible_settings_are_refused(changes, message, nano, nano_math):
    with pytest.raises(errors.UserError, match=message):
        lora.Lora().fit(_setting(**changes), nano, nano_math, 0, codec.silent)


def test_divergence_is_an_error_that_names_the_step(nano, nano_math):
    with pytest.raises(errors.UserError, match=r"training loss is (nan|inf) at step \d+ of"):
        lora.Lora().fit(_setting(learning_rate=1e38, bits_per_weight=8), nano, nano_math, 0, codec.silent)
