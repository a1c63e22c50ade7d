"""Programs of several sections: they add up, and numbers are fitted under the context before them."""

import dataclasses

import adapters
import jax
import jax.numpy as jnp
import letters
import numpy as np
import pytest
from flax import traverse_util

from sah_jax import errors
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, icl, latents, lora, lowrank, mixed, prefix, quantised, registry
from sah_jax.programs import norm_gains as gains_lib
from sah_jax.programs import vector as vector_lib
from sah_jax.training import examples as examples_lib
from sah_jax.training import lanes as lanes_lib
from sah_jax.training import step as step_lib

TASK, SEED = letters.Letters(), 5
FITTED = {"size": 200, "learning_rate": 0.02, "num_examples": 8, "max_tokens": 16, "rank": 2, "epochs": 25}
GIVEN = {"icl": {"num_examples": 3}, "vector": FITTED}


@dataclasses.dataclass(frozen=True)
class Fit:
    """A program of two sections, and what it was fitted to."""

    family: mixed.Mixed
    setting: tuple
    theta: tuple
    program: codec.Program
    data: lanes_lib.Data
    losses: np.ndarray


@pytest.fixture(scope="module")
def fit(tiny_base) -> Fit:
    """An "icl+vector", fitted once."""
    family, seen, plain = registry.get_family("icl+vector"), [], lanes_lib.fit

    def watched(problem, base, data, *rest, **named):
        theta, losses = plain(problem, base, data, *rest, **named)
        seen.append((data[0], losses[:, 0]))
        return theta, losses

    setting = family_lib.parse_setting(family, GIVEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes_lib, "fit", watched)
        theta = family.fit(setting, tiny_base, TASK, SEED, codec.silent)
    return Fit(family, setting, theta, codec.write(family, theta, tiny_base), *seen[0])


def _vector(base, seed=0, size=50):
    form = vector_lib.VectorForm(size=size, rank=1)
    symbols = np.random.default_rng(seed).integers(-9, 10, size).astype(np.int32)
    return quantised.Theta(form, seed, latents.Latents({"vector": symbols}, {"vector": -20}))


def _gains(base, seed=0, top=9):
    family, rng = gains_lib.NormGains(), np.random.default_rng(seed)
    symbols = {name: rng.integers(-top, top + 1, shape).astype(np.int32)
               for name, shape in family.shapes(family.Form(), base.decoder).items()}
    return quantised.Theta(family.Form(), 0, latents.Latents(symbols, dict.fromkeys(symbols, -20)))


def _alone(family, theta, base):
    return codec.read(codec.write(family, theta, base).data, base).adapted


def test_a_name_with_a_plus_is_a_prompt_family_and_one_of_numbers():
    for name in ("icl+vector", "urial+lora", "icl+norm_gains", "urial+prefix"):
        assert registry.get_family(name).name == name
    assert "icl+vector" not in registry.names()


@pytest.mark.parametrize("name, message", [
    ("vector+icl", r"vector\+icl is no family: expected a prompt family before the \+"),
    ("icl+icl", r"icl\+icl is no family"), ("vector+lora", "is no family"), ("icl+online", "is no family"),
    ("icl+magic", "'magic' is not known"), ("+vector", "'' is not known"),
    ("icl+vector+lora", r"'icl\+vector\+lora' is not known")])
def test_other_names_are_refused(name, message):
    with pytest.raises(errors.UserError, match=message):
        registry.get_family(name)


@pytest.mark.parametrize("given, message", [
    ({}, "takes a setting for each of icl and vector, got 'icl'"),
    ({"icl": GIVEN["icl"]}, "got 'vector' too many or none of it"),
    ({**GIVEN, "lora": {}}, "got 'lora' too many or none of it"),
    ({"icl": {"num_examples": 1, "size": 3}, "vector": FITTED}, "'size' is not one of icl's"),
    ({"icl": GIVEN["icl"], "vector": {"size": 3}}, "vector needs the setting"),
    ({"icl": GIVEN["icl"], "vector": {**FITTED, "rank": "1"}}, "vector's setting rank is '1', expected int")])
def test_wrong_settings_are_named(given, message):
    with pytest.raises(errors.UserError, match=message):
        family_lib.parse_setting(registry.get_family("icl+vector"), given)


@pytest.mark.parametrize("changes, message", [
    ({"icl": {"num_examples": 100}}, "num_examples is 100"),
    ({"vector": {**FITTED, "rank": 3}}, "vector's setting rank is 3")])
def test_settings_that_do_not_suit_either_part_are_refused(changes, message, tiny_base):
    family = registry.get_family("icl+vector")
    with pytest.raises(errors.UserError, match=message):
        family.fit(family_lib.parse_setting(family, GIVEN | changes), tiny_base, TASK, SEED, codec.silent)


def test_the_file_gives_context_and_weights_of_both_sections(fit, tiny_base):
    read = codec.read(fit.program.data, tiny_base)
    assert read.family == "icl+vector"
    assert read.adapted.digest() == fit.program.adapted.digest()
    context, numbers = (_alone(*part, tiny_base) for part in fit.family.sections(fit.theta))
    assert read.adapted.context == context.context == tuple(fit.theta[0])
    assert not context.program and not numbers.context
    jax.tree.map(np.testing.assert_array_equal, read.adapted.program, numbers.program)
    assert read.ledger == fit.program.ledger
    assert {"prompt", "vector", "vector settings"} <= {entry.field for entry in read.ledger}


def test_the_context_is_that_of_the_first_family_alone(fit, tiny_base):
    alone = icl.Icl().fit(icl.IclSetting(3), tiny_base, TASK, SEED, codec.silent)
    assert list(fit.theta[0]) == list(alone)
    assert tiny_base.decode(alone).count("#") == 3


def test_numbers_are_fitted_to_rows_that_hold_the_context(fit, tiny_base):
    context = tuple(fit.theta[0])
    plain = examples_lib.first_fitting(tiny_base, TASK, 8, 16, SEED)
    assert [one.prompt for one in fit.data.examples] == [context + one.prompt for one in plain]
    first = next(fit.data.batches(tiny_base))
    assert first.tokens_BL.shape == (8, 1 + len(context) + 16)
    assert np.all(first.tokens_BL[:, 1 : 1 + len(context)] == context)
    # Answers and ends count, the context does not.
    answers = sum(len(one.answer) + 1 for one in plain)
    assert first.weights_BL.sum() == answers and not np.any(first.weights_BL[:, : 1 + len(context)])
    # The first loss is that of the base model after the context.
    under, without = (float(step_lib.mean_loss(tiny_base.decoder, {"params": tiny_base.params}, batch))
                      for batch in (first, examples_lib.batch_of(tiny_base, plain, 8, 16)))
    assert fit.losses[0] == pytest.approx(under, rel=1e-4) != pytest.approx(without, rel=1e-2)


def test_numbers_that_are_fitted_without_the_context_are_others(fit, tiny_base):
    family = vector_lib.Vector()
    alone = family.fit(fit.setting[1], tiny_base, TASK, SEED, codec.silent)
    assert alone.form == fit.theta[1].form and alone.seed == fit.theta[1].seed
    found = [theta.latents.symbols["vector"] for theta in (alone, fit.theta[1])]
    assert all(np.count_nonzero(one) > 20 for one in found)
    assert np.mean(found[0] != found[1]) > 0.2


def test_what_a_fit_takes_counts_its_context(fit, tiny_base):
    # Rows are longer by the context, and the operations of a step at least as much.
    train = fit.family.accounts(fit.setting, fit.theta, tiny_base).train_flops
    alone = vector_lib.Vector().accounts(fit.setting[1], fit.theta[1], tiny_base).train_flops
    assert train > alone * (len(fit.theta[0]) + 16) / 16


def test_a_reader_of_both_takes_what_both_take(fit, tiny_base):
    both = fit.family.accounts(fit.setting, fit.theta, tiny_base)
    first = icl.Icl().accounts(fit.setting[0], fit.theta[0], tiny_base)
    assert both.decode_flops == first.decode_flops > 0
    alone = vector_lib.Vector().accounts(fit.setting[1], fit.theta[1], tiny_base)
    assert both.reference_bits == first.reference_bits + alone.reference_bits


def test_three_sections_are_read_as_written(tiny_base):
    sections = [(icl.Icl(), tiny_base.encode("a 2 # aa\n")), (vector_lib.Vector(), _vector(tiny_base)),
                (gains_lib.NormGains(), _gains(tiny_base))]
    written = codec.write_sections(sections, tiny_base, check=True)
    read = codec.read(written.data, tiny_base)
    assert read.family == "icl+vector+norm_gains"
    assert read.adapted.digest() == written.adapted.digest()
    alone = [_alone(*one, tiny_base) for one in sections]
    assert read.adapted.context == alone[0].context
    jax.tree.map(np.testing.assert_array_equal, read.adapted.program, alone[1].program)
    jax.tree.map(np.testing.assert_array_equal, read.adapted.deltas, alone[2].deltas)
    # Any of them alone is shorter than all, and together they share the header.
    lengths = [codec.write(*one, tiny_base).bits for one in sections]
    assert max(lengths) < written.bits < sum(lengths) + codec.CHECK_BITS + 8


def test_a_section_costs_a_code_and_little_more_beside_its_own(tiny_base):
    section = (gains_lib.NormGains(), _gains(tiny_base))
    one, two = (codec.write_sections([section] * count, tiny_base).ideal_bits for count in (1, 2))
    assert two - (2 * one - 8) == pytest.approx(5 + 4, abs=0.2)  # a family of 32, and "more" of 1/16


@pytest.mark.parametrize("count", [0, 9])
def test_too_few_or_many_sections_are_no_file(count, tiny_base):
    section = (gains_lib.NormGains(), _gains(tiny_base, top=0))
    with pytest.raises(ValueError, match=f"{count} sections, expected 1 to 8"):
        codec.write_sections([section] * count, tiny_base)


def test_as_many_sections_as_there_may_be_are_read_and_more_are_refused(tiny_base, monkeypatch):
    section = (gains_lib.NormGains(), _gains(tiny_base, top=0))
    most = codec.write_sections([section] * 8, tiny_base)
    assert codec.read(most.data, tiny_base).family == "+".join(["norm_gains"] * 8)
    monkeypatch.setattr(codec, "_MOST_SECTIONS", 9)
    data = codec.write_sections([section] * 9, tiny_base).data
    monkeypatch.undo()
    with pytest.raises(errors.UserError, match="claims more than 8 sections"):
        codec.read(data, tiny_base)


def _lora(base, seed, rank=1):
    rng = np.random.default_rng(seed)
    theta = adapters.theta(base, rank, 4, lambda number, shape: rng.integers(-7, 8, shape).astype(np.int32),
                           lambda number: -14, seed=seed)
    return _alone(lora.Lora(), theta, base)


def test_two_low_rank_programs_add_up(tiny_base):
    first, second, tokens = _lora(tiny_base, 1), _lora(tiny_base, 2, rank=2), np.arange(1, 13)[None]
    params, merged = traverse_util.flatten_dict(tiny_base.params, sep="/"), {}
    for group, name in lowrank.PROJECTIONS:
        merged[f"layers/{group}/{name}/kernel"] = sum(
            pair["a"] @ pair["b"] for pair in (one.program["layers"][group][name] for one in (first, second)))
    expected = traverse_util.unflatten_dict(
        {name: leaf + merged.get(name, 0) for name, leaf in params.items()}, sep="/")
    apply = jax.jit(tiny_base.decoder.apply)
    joined = first.then(second)
    assert joined.program["layers"]["ffn"]["up"]["a"].shape[-1] == 3
    found = apply(joined.variables(tiny_base), tokens)
    np.testing.assert_allclose(found, apply({"params": expected}, tokens), rtol=0, atol=1e-4)
    # Both matter, and their order does not.
    for one in (first, second):
        assert np.abs(found - apply(one.variables(tiny_base), tokens)).max() > 1e-2
    other_way = apply(second.then(first).variables(tiny_base), tokens)
    np.testing.assert_allclose(found, other_way, rtol=0, atol=1e-4)


def test_prefixes_stand_one_after_the_other_and_deltas_add_up(tiny_base):
    family, form = prefix.Prefix(), prefix.PrefixForm(slots=2)
    shapes = family.shapes(form, tiny_base.decoder)
    zeros = latents.Latents({name: np.zeros(shape, np.int32) for name, shape in shapes.items()},
                            dict.fromkeys(shapes, 0))
    first, second = (_alone(family, quantised.Theta(form, seed, zeros), tiny_base) for seed in (0, 1))
    joined = first.then(second).program["layers"]["attention"]
    for name, states in joined.items():
        parts = [one.program["layers"]["attention"][name] for one in (first, second)]
        np.testing.assert_array_equal(states, jnp.concatenate(parts, axis=1))
    gains = [_alone(gains_lib.NormGains(), _gains(tiny_base, seed), tiny_base) for seed in (0, 1)]
    jax.tree.map(lambda total, *parts: np.testing.assert_array_equal(total, sum(parts)),
                 gains[0].then(gains[1]).deltas, gains[0].deltas, gains[1].deltas)


def test_joined_programs_are_portable_or_unchanged_where_both_are():
    one = family_lib.Adapted({}, (1, 2), portable=True, unchanged=True)
    other = family_lib.Adapted({}, (3,))
    assert one.then(other) == family_lib.Adapted({}, (1, 2, 3))
    assert one.then(one) == family_lib.Adapted({}, (1, 2, 1, 2), portable=True, unchanged=True)


def test_joined_programs_have_the_widths_of_both():
    one, other = (family_lib.Adapted({}, widths={name: (2, 4)}) for name in "ab")
    assert one.then(family_lib.Adapted({})).then(other).widths == {"a": (2, 4), "b": (2, 4)}
