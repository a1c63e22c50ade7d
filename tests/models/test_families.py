"""What sets one family apart from another, part by part."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from sah_jax.models import base as base_lib
from sah_jax.models import config as config_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import rope

ROUNDING = 2e-5
"""Two float32 evaluations of the same logits, which are of order 1, differ by less."""

ROWS, LENGTH = 2, 11
ALL = config_lib.NO_WINDOW
PLAIN, SCALED = rope.Rope(5000.0), rope.Rope(5000.0, "linear", (("factor", 4.0),))

TRAITS = {
    "layers without positions": dict(ropes=(PLAIN, None, PLAIN)),
    "windows, scaled elsewhere": dict(windows=(3, ALL, 4), ropes=(PLAIN, SCALED, PLAIN)),
    "norms after": dict(norm_after=True, qk_norm="width"),
    "norms of heads": dict(qk_norm="head"),
    "biases": dict(biases=("q", "k", "v", "o", "gate", "up", "down")),
}


def _spec(tiny_spec, trait):
    return dataclasses.replace(tiny_spec, **TRAITS[trait])


def _tokens(spec, seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(1, spec.vocab_size, (ROWS, LENGTH)), jnp.int32)


def _logits(spec, params, tokens_BL):
    return np.asarray(jax.jit(decoder_lib.Decoder(spec).apply)({"params": params}, tokens_BL))


def _scaled(params, path, factor):
    """The params with one leaf multiplied."""
    leaves = traverse_util.flatten_dict(params, sep="/")
    return traverse_util.unflatten_dict(leaves | {path: leaves[path] * factor}, sep="/")


@pytest.mark.parametrize("trait", TRAITS)
def test_steps_with_a_cache_give_the_logits_of_the_whole_row(tiny_spec, draw_params, trait):
    spec = _spec(tiny_spec, trait)
    params, tokens_BL = draw_params(spec), _tokens(spec)
    whole_BLV = _logits(spec, params, tokens_BL)
    assert np.max(np.abs(whole_BLV - _logits(tiny_spec, draw_params(tiny_spec), tokens_BL))) > 1e-2
    step = jax.jit(base_lib.cached_step(decoder_lib.Decoder(spec)))
    cache = decoder_lib.init_cache(spec, ROWS, LENGTH + 5, jnp.float32)
    for position in range(LENGTH):
        cache, logits_BV = step({"params": params}, cache, tokens_BL[:, position], position)
        np.testing.assert_allclose(logits_BV, whole_BLV[:, position], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("trait", TRAITS)
def test_the_tree_holds_as_many_numbers_as_the_spec_says(tiny_spec, trait):
    spec = _spec(tiny_spec, trait)
    leaves = jax.tree.leaves(decoder_lib.abstract_params(decoder_lib.Decoder(spec)))
    assert sum(leaf.size for leaf in leaves) == spec.num_params


@pytest.mark.parametrize("window", [1, 4, LENGTH, ALL])
def test_a_layer_sees_its_window(tiny_spec, draw_params, window):
    spec = dataclasses.replace(tiny_spec, layers=1, ropes=(PLAIN,), windows=(window,))
    params, tokens_L = draw_params(spec), jnp.arange(1, 1 + LENGTH)
    readout_LV = jax.random.normal(jax.random.key(0), (LENGTH, spec.vocab_size))

    def losses_L(embed_VD):
        variables = {"params": params | {"embed": embed_VD}}
        logits_1LV = decoder_lib.Decoder(spec).apply(variables, tokens_L[None])
        return jnp.sum(logits_1LV[0] * readout_LV, axis=-1)

    by_position_LLD = jax.jit(jax.jacrev(losses_L))(params["embed"])[:, tokens_L]
    reached_LL = np.asarray(jnp.any(by_position_LLD != 0, axis=-1))
    distance_LL = np.arange(LENGTH)[:, None] - np.arange(LENGTH)
    assert np.array_equal(reached_LL, (distance_LL >= 0) & (distance_LL < window))


@pytest.mark.parametrize("one, ordered", [(None, False), (PLAIN, True)])
def test_only_a_rotary_embedding_sees_the_order(tiny_spec, draw_params, one, ordered):
    spec = dataclasses.replace(tiny_spec, layers=1, ropes=(one,))
    params, tokens_BL = draw_params(spec), _tokens(spec)
    turned_BL = jnp.concatenate([tokens_BL[:, :-1][:, ::-1], tokens_BL[:, -1:]], axis=1)
    last, turned = (_logits(spec, params, t)[:, -1] for t in (tokens_BL, turned_BL))
    assert (np.max(np.abs(last - turned)) > 1e-3) == ordered


@pytest.mark.parametrize("one", [None, PLAIN, SCALED])
def test_each_layer_has_its_own_embedding(tiny_spec, draw_params, one):
    alone = dataclasses.replace(tiny_spec, layers=1, ropes=(one,))
    after = dataclasses.replace(tiny_spec, layers=2, ropes=(rope.Rope(77.0), one))
    params, tokens_BL = draw_params(alone), _tokens(alone)
    # The layer before it adds nothing.
    leaves = traverse_util.flatten_dict(params["layers"], sep="/")
    before = {path: 0 * leaf if path in ("attention/o/kernel", "ffn/down/kernel") else leaf
              for path, leaf in leaves.items()}
    both = {path: jnp.concatenate([before[path], leaves[path]]) for path in leaves}
    stacked = params | {"layers": traverse_util.unflatten_dict(both, sep="/")}
    np.testing.assert_allclose(
        _logits(after, stacked, tokens_BL), _logits(alone, params, tokens_BL), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("path", ["layers/attention/o/kernel", "layers/ffn/down/kernel"])
@pytest.mark.parametrize("norm_after", [False, True])
def test_a_norm_after_a_part_takes_out_its_size(tiny_spec, draw_params, path, norm_after):
    spec = dataclasses.replace(tiny_spec, norm_after=norm_after, norm_eps=1e-12)
    params, tokens_BL = draw_params(spec), _tokens(spec)
    difference = _logits(spec, _scaled(params, path, 8.0), tokens_BL) - _logits(spec, params, tokens_BL)
    assert (np.max(np.abs(difference)) < ROUNDING) == norm_after


@pytest.mark.parametrize("qk_norm, alone, together", [
    ("", True, True), ("width", True, False), ("head", False, False)])
@pytest.mark.parametrize("name", ["q", "k"])
def test_a_norm_of_queries_and_keys_takes_out_their_size(
    tiny_spec, draw_params, name, qk_norm, alone, together):
    """Whether the size of one head matters, and that of all heads."""
    spec = dataclasses.replace(tiny_spec, qk_norm=qk_norm, norm_eps=1e-12)
    params, tokens_BL = draw_params(spec), _tokens(spec)
    path, plain = f"layers/attention/{name}/kernel", _logits(spec, params, tokens_BL)
    width = params["layers"]["attention"][name]["kernel"].shape[-1]
    first_head = jnp.where(jnp.arange(width) < spec.head_dim, 8.0, 1.0)
    for factor, matters in ((first_head, alone), (8.0, together)):
        scaled = _logits(spec, _scaled(params, path, factor), tokens_BL)
        assert (np.max(np.abs(scaled - plain)) > 1e-3) == matters


@pytest.mark.parametrize("name", ["q", "k", "v", "o", "gate", "up", "down"])
def test_a_bias_stands_where_the_spec_says(tiny_spec, draw_params, name):
    spec = dataclasses.replace(tiny_spec, biases=(name,))
    params, tokens_BL = draw_params(spec), _tokens(spec)
    leaves = traverse_util.flatten_dict(params, sep="/")
    [path] = [path for path in leaves if path.endswith("bias")]
    assert path.split("/")[-2] == name
    moved = _logits(spec, _scaled(params, path, -1.0), tokens_BL) - _logits(spec, params, tokens_BL)
    assert np.max(np.abs(moved)) > 1e-3


@pytest.mark.parametrize("remat", ["dots", "full"])
def test_a_remat_policy_leaves_loss_and_gradient_as_they_are(tiny_spec, draw_params, remat):
    params, tokens_BL = draw_params(tiny_spec), _tokens(tiny_spec)
    readout_BLV = jax.random.normal(jax.random.key(1), (ROWS, LENGTH, tiny_spec.vocab_size))

    def gradient(policy):
        decoder = decoder_lib.Decoder(tiny_spec, remat=policy)
        loss = lambda p: jnp.sum(decoder.apply({"params": p}, tokens_BL) * readout_BLV)
        return jax.jit(jax.value_and_grad(loss))(params)

    for ours, plain in zip(jax.tree.leaves(gradient(remat)), jax.tree.leaves(gradient("none")), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-4)


def _saved_floats(spec, remat):
    """How many numbers the layers keep for the backward pass."""
    decoder = decoder_lib.Decoder(spec, remat=remat)
    params = decoder_lib.abstract_params(decoder)
    loss = lambda p, t: jnp.sum(decoder.apply({"params": p}, t))
    tokens_BL = jax.ShapeDtypeStruct((ROWS, LENGTH), jnp.int32)
    _, pullback = jax.eval_shape(lambda p, t: jax.vjp(lambda q: loss(q, t), p), params, tokens_BL)
    return sum(leaf.size for leaf in jax.tree.leaves(pullback) if leaf.dtype == jnp.float32)


def test_a_remat_policy_keeps_less(tiny_spec):
    none, dots, full = (_saved_floats(tiny_spec, remat) for remat in ("none", "dots", "full"))
    assert full < dots < none
