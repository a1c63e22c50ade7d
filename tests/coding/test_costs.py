"""Costs by teacher forcing: the plain costs, without an array of all logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sah_jax.coding import arithmetic, costs, freqs

WIDTH, VOCAB = 6, 37


def _problem(batch, length):
    rng = np.random.default_rng(0)
    head_DV = jnp.asarray(3 * rng.normal(size=(WIDTH, VOCAB)), jnp.float32)
    hidden_BLD = jnp.asarray(rng.normal(size=(batch, length, WIDTH)), jnp.float32)
    targets_BL = jnp.asarray(rng.integers(0, VOCAB, (batch, length)), jnp.int32)
    return (lambda hidden_MD: hidden_MD @ head_DV), hidden_BLD, targets_BL


@pytest.mark.parametrize("block, batch, length, parts", [
    (1024, 3, 5, 1), (15, 3, 5, 1), (5, 3, 5, 1), (4, 3, 5, 1), (14, 3, 5, 1), (1, 1, 7, 1), (3, 2, 1, 1),
    (1024, 4, 5, 2), (3, 4, 5, 2), (2, 3, 5, 3)])
def test_blocks_give_the_plain_costs(monkeypatch, block, batch, length, parts):
    monkeypatch.setattr(costs, "_BLOCK_TOKENS", block)
    logits_of, hidden_BLD, targets_BL = _problem(batch, length)
    got = costs.of_tokens(logits_of, hidden_BLD, targets_BL, parts)
    logits_BLV = np.asarray(logits_of(hidden_BLD), np.float64)
    log_p = logits_BLV - np.log(np.exp(logits_BLV).sum(axis=-1, keepdims=True))
    ideal = -np.take_along_axis(log_p, np.asarray(targets_BL)[..., None], axis=-1)[..., 0] / np.log(2)
    np.testing.assert_allclose(got.ideal_bits, ideal, rtol=1e-5, atol=1e-5)
    flat = np.asarray(logits_of(hidden_BLD)).reshape(-1, VOCAB)
    _, freqs_N = freqs.interval(freqs.from_logits(flat), targets_BL.reshape(-1))
    expected = arithmetic.TOTAL_BITS - np.log2(np.asarray(freqs_N, np.float64))
    np.testing.assert_allclose(got.quantised_bits.reshape(-1), expected, atol=1e-4)


def test_memory_does_not_grow_with_the_sequence():
    logits_of, *_ = _problem(1, 1)

    def scratch(length):
        _, hidden_BLD, targets_BL = _problem(8, length)
        compiled = jax.jit(lambda h, t: costs.of_tokens(logits_of, h, t)).lower(hidden_BLD, targets_BL)
        return compiled.compile().memory_analysis().temp_size_in_bytes

    all_logits = 8 * 4096 * VOCAB * 4
    assert scratch(4096) < all_logits / 2
    assert scratch(8192) - scratch(4096) < 8 * 4096 * (WIDTH + 4) * 4


def test_a_block_of_a_large_vocabulary_is_small():
    head_DV = jax.ShapeDtypeStruct((WIDTH, 128_256), jnp.float32)
    hidden_BLD = jax.ShapeDtypeStruct((8, 512, WIDTH), jnp.float32)
    for parts in (1, 4):
        block = costs.block_tokens(
            lambda hidden: jnp.zeros((len(hidden), head_DV.shape[1])), hidden_BLD, parts)
        assert 64 <= block and block * 128_256 * 4 <= 1 << 27
