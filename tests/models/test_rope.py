"""Rotary embeddings encode distances, and each scaling slows the rotations it says."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from sah_jax.models import rope

RELEASED_YARN = rope.parse({
    "rope_theta": 500000, "rope_type": "yarn", "factor": 8.0, "beta_fast": 32.0, "beta_slow": 1.0,
    "original_max_position_embeddings": 8192, "attention_factor": 1.2079441541679836}, "olmo3")
LLAMA = rope.parse({
    "rope_theta": 500000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}, "llama")


def _rotated(vector_H, position, one):
    positions = jnp.array([[position]])
    cos, sin = rope.angles((one,), len(vector_H), positions)
    return np.asarray(rope.rotate(jnp.asarray(vector_H)[None, None, None], cos[0], sin[0]))[0, 0, 0]


@pytest.mark.parametrize("one", [rope.Rope(1e4), rope.Rope(1e4, "linear", (("factor", 3.0),)), LLAMA])
def test_a_product_hangs_on_the_distance_only(one):
    q_H, k_H = np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32)
    product = lambda p, s: float(_rotated(q_H, p, one) @ _rotated(k_H, s, one))
    assert product(3, 1) == pytest.approx(product(53, 51), abs=1e-4)
    assert product(3, 1) != pytest.approx(product(3, 2), abs=1e-2)
    assert product(0, 0) == pytest.approx(float(q_H @ k_H), abs=1e-5)


def test_pairs_rotate_at_a_geometric_series_of_speeds():
    inverse, amplitude = rope.inverse_frequencies(rope.Rope(1e4), 8)
    np.testing.assert_allclose(inverse, [1.0, 0.1, 0.01, 0.001], rtol=1e-6)
    assert amplitude == 1.0
    turned = _rotated(np.eye(8, dtype=np.float32)[1], 7, rope.Rope(1e4))
    # The partner of an entry is half the dimension away.
    np.testing.assert_allclose(turned[[1, 5]], [math.cos(0.7), math.sin(0.7)], rtol=1e-6)


def test_no_embedding_leaves_a_vector_as_it_is():
    vector_H = np.random.default_rng(0).normal(size=16).astype(np.float32)
    assert np.array_equal(_rotated(vector_H, 1234, None), vector_H)


def test_linear_scaling_squeezes_positions():
    plain, _ = rope.inverse_frequencies(rope.Rope(1e4), 16)
    scaled, amplitude = rope.inverse_frequencies(rope.Rope(1e4, "linear", (("factor", 4.0),)), 16)
    assert np.array_equal(4 * scaled, plain)
    assert amplitude == 1.0


def test_llama3_slows_long_waves_only():
    plain, _ = rope.inverse_frequencies(LLAMA.plain(), 128)
    scaled, amplitude = rope.inverse_frequencies(LLAMA, 128)
    waves = 2 * np.pi / plain
    short, long = waves < 8192 / 4, waves > 8192
    assert short.any() and long.any() and not np.all(short | long)
    np.testing.assert_allclose(scaled[short], plain[short], rtol=1e-6)
    np.testing.assert_allclose(scaled[long], plain[long] / 8, rtol=1e-6)
    share = (plain / scaled)[~short & ~long]
    assert np.all(np.diff(share) > 0) and share.min() > 1 and share.max() < 8
    assert amplitude == 1.0


def test_yarn_slows_the_dimensions_that_turn_little():
    plain, _ = rope.inverse_frequencies(RELEASED_YARN.plain(), 128)
    scaled, amplitude = rope.inverse_frequencies(RELEASED_YARN, 128)
    # Published for these numbers: the ramp runs from dimension 18 to 35.
    np.testing.assert_allclose(scaled[:19], plain[:19], rtol=1e-6)
    np.testing.assert_allclose(scaled[35:], plain[35:] / 8, rtol=1e-6)
    middle = (plain / scaled)[18:36]
    assert np.all(np.diff(middle) > 0)
    assert amplitude == 1.2079441541679836


def test_yarn_raises_the_amplitude_with_the_factor_where_none_is_given():
    amplitude = lambda factor: rope.inverse_frequencies(rope.parse({
        "rope_theta": 1e4, "rope_type": "yarn", "factor": factor,
        "original_max_position_embeddings": 64}, "here"), 16)[1]
    assert amplitude(8.0) == pytest.approx(1.2079441541679836)
    assert amplitude(1.0) == amplitude(0.5) == 1.0


def test_the_amplitude_reaches_cosines_and_sines():
    positions = jnp.arange(5)[None]
    (cos, plain_cos), (sin, plain_sin) = rope.angles(
        (rope.Rope(1e4, "yarn", (("attention_factor", 3.0), ("beta_fast", 32.0), ("beta_slow", 1.0),
                                 ("factor", 1.0), ("original_max_position_embeddings", 64.0))),
         rope.Rope(1e4)), 16, positions)
    np.testing.assert_allclose(cos, 3 * plain_cos, rtol=1e-6)
    np.testing.assert_allclose(sin, 3 * plain_sin, rtol=1e-6)
