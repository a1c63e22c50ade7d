"""Counters are threefry's integers, whatever JAX's random settings are."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sah_jax.coding import counters

SHAPES = ((), (1,), (7,), (3, 5, 7))


@pytest.mark.parametrize("shape", SHAPES)
def test_at_the_defaults_they_are_those_of_jax(shape):
    ours, theirs = counters.key(7), jax.random.key(7, impl="threefry2x32")
    np.testing.assert_array_equal(ours, jax.random.key_data(theirs))
    ours, theirs = counters.fold_in(ours, 1003), jax.random.fold_in(theirs, 1003)
    np.testing.assert_array_equal(ours, jax.random.key_data(theirs))
    np.testing.assert_array_equal(counters.bits(ours, shape), jax.random.bits(theirs, shape, jnp.uint32))


def test_signs_are_even_and_differ_by_key():
    some, others = (np.asarray(counters.signs(counters.key(seed), (10000,))) for seed in (1, 2))
    assert set(some) == {-1.0, 1.0} and abs(some.mean()) < 0.05 and abs((some * others).mean()) < 0.05


def test_seeds_may_be_traced_and_mapped():
    mapped = jax.jit(jax.vmap(lambda seed: counters.bits(counters.fold_in(counters.key(seed), 3), (4,))))
    np.testing.assert_array_equal(mapped(jnp.arange(3)), [
        counters.bits(counters.fold_in(counters.key(seed), 3), (4,)) for seed in range(3)])


@pytest.mark.parametrize("settings", [
    {"JAX_THREEFRY_PARTITIONABLE": "False"}, {"JAX_RANDOM_SEED_OFFSET": "1"},
    {"JAX_DEFAULT_PRNG_IMPL": "rbg"}, {"JAX_ENABLE_X64": "True"}])
def test_no_setting_changes_them(settings):
    code = (
        "import jax, sys; from sah_jax.coding import counters; "
        "print(jax.jit(lambda s: counters.bits(counters.fold_in(counters.key(s), 5), (3, 4)))(7).tolist())")
    told = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **settings, "JAX_PLATFORMS": "cpu"}, check=True,
        capture_output=True, text=True)
    assert told.stdout.strip() == str(
        counters.bits(counters.fold_in(counters.key(7), 5), (3, 4)).tolist())
