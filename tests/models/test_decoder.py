"""The decoder is causal, the same with and without a cache, and adapted the way it says."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
from flax import traverse_util

from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.programs import lowrank

ROUNDING = 2e-5
"""Two float32 evaluations of the same logits, which are of order 1, differ by less."""

ROWS, LENGTH = 3, 9
RANK = 3


@pytest.fixture(scope="module")
def decoder(tiny_spec):
    return decoder_lib.Decoder(tiny_spec)


@pytest.fixture(scope="module")
def params(tiny_spec, draw_params):
    return draw_params(tiny_spec)


@pytest.fixture(scope="module")
def apply(decoder):
    """One executable for each kind of variables and shape of tokens."""
    return jax.jit(decoder.apply)


def _tokens(spec, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.integers(1, spec.vocab_size, (ROWS, LENGTH)), jnp.int32)


def _factors(decoder, seed):
    """A low-rank pair on every projection, both factors random."""
    rng = np.random.default_rng(seed)
    return {
        name: {factor: jnp.asarray(rng.normal(size=shape) * 0.3, jnp.float32)
               for factor, shape in pair.items()}
        for name, pair in lowrank.shapes(decoder, RANK).items()}


def test_the_loss_of_a_position_does_not_hang_on_later_tokens(tiny_spec, decoder, params):
    tokens_L = jnp.arange(1, 1 + LENGTH)  # each token once, so that a row of `embed` is a position
    readout_LV = jax.random.normal(jax.random.key(0), (LENGTH, tiny_spec.vocab_size))

    def losses_L(embed_VD):
        logits_1LV = decoder.apply({"params": params | {"embed": embed_VD}}, tokens_L[None])
        return jnp.sum(logits_1LV[0] * readout_LV, axis=-1)

    by_position_LLD = jax.jit(jax.jacrev(losses_L))(params["embed"])[:, tokens_L]
    reached_LL = np.asarray(jnp.any(by_position_LLD != 0, axis=-1))
    assert np.array_equal(reached_LL, np.tri(LENGTH, dtype=bool))


def test_what_lies_beyond_the_end_of_a_row_does_not_change_a_bit(tiny_spec, params, apply):
    tokens_BL = _tokens(tiny_spec)
    ends_B1 = jnp.array([1, 4, LENGTH - 1])[:, None]
    before_BL = jnp.arange(LENGTH) < ends_B1
    others_BL = jnp.where(before_BL, tokens_BL, _tokens(tiny_spec, seed=1))
    zeros_BL = jnp.where(before_BL, tokens_BL, 0)
    logits_BLV = apply({"params": params}, tokens_BL)
    for changed_BL in (others_BL, zeros_BL):
        changed_BLV = apply({"params": params}, changed_BL)
        assert np.array_equal(changed_BLV[before_BL], logits_BLV[before_BL])
        assert not np.array_equal(changed_BLV, logits_BLV)


@pytest.mark.parametrize("adapted", [False, True])
def test_steps_with_a_cache_give_the_logits_of_the_whole_row(tiny_spec, decoder, params, apply, adapted):
    variables = {"params": params}
    if adapted:
        variables["program"] = lowrank.expand(_factors(decoder, 0), 1.0)
    tokens_BL = _tokens(tiny_spec)
    whole_BLV = apply(variables, tokens_BL)
    step = jax.jit(base_lib.cached_step(decoder))
    # More slots than positions, filled with what nobody may look at.
    cache = jax.tree.map(
        lambda leaf: leaf + 1e3, decoder_lib.init_cache(tiny_spec, ROWS, LENGTH + 5, jnp.float32))
    for position in range(LENGTH):
        cache, logits_BV = step(variables, cache, tokens_BL[:, position], position)
        assert logits_BV.dtype == jnp.float32
        np.testing.assert_allclose(logits_BV, whole_BLV[:, position], rtol=0, atol=ROUNDING)


def test_rows_may_stand_at_their_own_positions(tiny_spec, decoder, params, apply):
    tokens_BL = _tokens(tiny_spec)
    whole_BLV = apply({"params": params}, tokens_BL)
    lengths_B = jnp.array([2, 5, LENGTH - 1])
    cache = decoder_lib.init_cache(tiny_spec, ROWS, LENGTH, jnp.float32)
    positions_BL = jnp.broadcast_to(jnp.arange(LENGTH), tokens_BL.shape)
    padded_BL = jnp.where(positions_BL < lengths_B[:, None], tokens_BL, 0)
    extend = jax.jit(functools.partial(decoder.apply, mutable=["cache"]))
    _, state = extend({"params": params, "cache": cache}, padded_BL, positions_BL)
    rows_B = jnp.arange(ROWS)
    logits_B1V, _ = extend(
        {"params": params, **state}, tokens_BL[rows_B, lengths_B][:, None], lengths_B[:, None])
    np.testing.assert_allclose(
        logits_B1V[:, 0], whole_BLV[rows_B, lengths_B], rtol=0, atol=ROUNDING)


def test_the_same_decoder_has_one_step(decoder, tiny_spec):
    assert base_lib.cached_step(decoder) is base_lib.cached_step(decoder_lib.Decoder(tiny_spec))


def test_a_low_rank_pair_that_is_zero_changes_nothing(tiny_spec, decoder, params, apply):
    tokens_BL = _tokens(tiny_spec)
    factors = [_factors(decoder, seed) for seed in (0, 1)]
    zero = [
        {name: pair | {"b": jnp.zeros_like(pair["b"])} for name, pair in one.items()}
        for one in factors]
    adapted = [
        apply({"params": params, "program": lowrank.expand(one, 1.0)}, tokens_BL) for one in zero]
    assert np.array_equal(*adapted)
    np.testing.assert_allclose(
        adapted[0], apply({"params": params}, tokens_BL), rtol=0, atol=ROUNDING)
    changed = apply({"params": params, "program": lowrank.expand(factors[0], 1.0)}, tokens_BL)
    assert np.max(np.abs(changed - adapted[0])) > 0.1


@pytest.mark.parametrize("name", ["all", *("/".join(path) for path in lowrank.PROJECTIONS)])
def test_a_low_rank_pair_is_an_addition_to_its_kernel(tiny_spec, decoder, params, apply, name):
    factors = {
        projection: pair | {"b": pair["b"] * (name in ("all", projection))}
        for projection, pair in _factors(decoder, 0).items()}
    scale = 0.75
    merged = traverse_util.flatten_dict(params, sep="/")
    for projection, pair in factors.items():
        merged[f"layers/{projection}/kernel"] += scale * pair["a"] @ pair["b"]
    tokens_BL = _tokens(tiny_spec)
    program = lowrank.expand(factors, scale)
    adapted = apply({"params": params, "program": program}, tokens_BL)
    expected = apply({"params": traverse_util.unflatten_dict(merged, sep="/")}, tokens_BL)
    np.testing.assert_allclose(adapted, expected, rtol=0, atol=ROUNDING)
    assert np.max(np.abs(adapted - apply({"params": params}, tokens_BL))) > 1e-2


def test_grouped_heads_are_key_and_value_heads_that_repeat(tiny_spec, params, apply):
    group = tiny_spec.heads // tiny_spec.kv_heads
    repeated = traverse_util.flatten_dict(params, sep="/")
    for name in ("layers/attention/k/kernel", "layers/attention/v/kernel"):
        kernel_JDKH = repeated[name].reshape(
            tiny_spec.layers, tiny_spec.width, tiny_spec.kv_heads, tiny_spec.head_dim)
        repeated[name] = jnp.repeat(kernel_JDKH, group, axis=2).reshape(
            tiny_spec.layers, tiny_spec.width, tiny_spec.heads * tiny_spec.head_dim)
    spec = dataclasses.replace(tiny_spec, kv_heads=tiny_spec.heads)
    tokens_BL = _tokens(tiny_spec)
    np.testing.assert_allclose(
        jax.jit(decoder_lib.Decoder(spec).apply)(
            {"params": traverse_util.unflatten_dict(repeated, sep="/")}, tokens_BL),
        apply({"params": params}, tokens_BL), rtol=0, atol=ROUNDING)


def test_a_tied_head_is_the_embedding(tiny_spec, params, apply):
    tied = decoder_lib.Decoder(dataclasses.replace(tiny_spec, tied_embedding=True))
    without_head = {name: leaf for name, leaf in params.items() if name != "head"}
    tokens_BL = _tokens(tiny_spec)
    np.testing.assert_allclose(
        jax.jit(tied.apply)({"params": without_head}, tokens_BL),
        apply({"params": params | {"head": params["embed"].T}}, tokens_BL), rtol=0, atol=ROUNDING)


def test_a_bfloat16_decoder_still_gives_float32_logits(tiny_spec, params, apply):
    low = decoder_lib.Decoder(tiny_spec, jnp.bfloat16)
    tokens_BL = _tokens(tiny_spec)
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    hidden_of = functools.partial(low.apply, method="hidden")
    assert jax.eval_shape(hidden_of, {"params": half}, tokens_BL).dtype == jnp.bfloat16
    logits_BLV = jax.jit(low.apply)({"params": half}, tokens_BL)
    assert logits_BLV.dtype == jnp.float32
    assert np.mean(np.abs(logits_BLV - apply({"params": params}, tokens_BL))) < 0.1


def test_the_shipped_decoder_has_as_many_parameters_as_its_file(nano):
    path = base_lib.SHIPPED / "nano" / "model.safetensors"
    with safetensors.safe_open(path, framework="numpy") as file:
        stored = sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())
    assert sum(leaf.size for leaf in jax.tree.leaves(nano.params)) == stored


def _prefix(spec, slots, seed=0):
    """Random keys and values before every sequence."""
    rng = np.random.default_rng(seed)
    shape = (spec.layers, slots, spec.kv_heads, spec.head_dim)
    return {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name in ("prefix_k", "prefix_v")}


def test_a_prefix_does_what_the_tokens_would_whose_keys_and_values_it_holds(tiny_spec, params):
    # Where positions are not encoded, keys do not hang on where their tokens stand.
    decoder = decoder_lib.Decoder(dataclasses.replace(tiny_spec, ropes=(None,) * tiny_spec.layers))
    tokens_BL, first = jnp.repeat(_tokens(tiny_spec)[:1], ROWS, axis=0), 4
    tokens_BL = tokens_BL.at[:, first:].set(_tokens(tiny_spec, seed=1)[:, first:])
    cache = decoder_lib.init_cache(tiny_spec, 1, first, jnp.float32)
    _, state = decoder.apply(
        {"params": params, "cache": cache}, tokens_BL[:1, :first], jnp.arange(first)[None], mutable=["cache"])
    kept = state["cache"]["layers"]["attention"]
    prefix = {"prefix_k": jnp.einsum("JKHS->JSKH", kept["k"][:, 0]),
              "prefix_v": jnp.einsum("JKSH->JSKH", kept["v"][:, 0])}
    program = {"layers": {"attention": prefix}}
    logits_BLV = decoder.apply({"params": params, "program": program}, tokens_BL[:, first:])
    whole_BLV = decoder.apply({"params": params}, tokens_BL)
    assert np.allclose(logits_BLV, whole_BLV[:, first:], rtol=0, atol=ROUNDING)


def test_a_prefix_is_seen_in_every_window_with_and_without_a_cache(tiny_spec, params):
    spec = dataclasses.replace(tiny_spec, windows=(2,) * tiny_spec.layers)
    decoder, tokens_BL = decoder_lib.Decoder(spec), _tokens(tiny_spec)
    program = {"layers": {"attention": _prefix(spec, slots=5)}}
    variables = {"params": params, "program": program}
    logits_BLV = decoder.apply(variables, tokens_BL)
    cache, step = decoder_lib.init_cache(spec, ROWS, LENGTH, jnp.float32), base_lib.cached_step(decoder)
    for position in range(LENGTH):
        cache, logits_BV = step(variables, cache, tokens_BL[:, position], position)
        assert np.allclose(logits_BV, logits_BLV[:, position], rtol=0, atol=ROUNDING)
    # The last token, to which the window shows two tokens, sees each of the slots.
    by_slot_S = jax.grad(lambda v_JSKH: decoder.apply(
        {"params": params, "program": {"layers": {"attention": program["layers"]["attention"] | {
            "prefix_v": v_JSKH}}}}, tokens_BL)[0, -1].sum())(program["layers"]["attention"]["prefix_v"])
    assert np.all(np.any(by_slot_S[-1] != 0, axis=(1, 2)))
