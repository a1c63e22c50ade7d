"""Numbers on a coded grid: what training sees is what a file gives, and the rate is what it costs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sah_jax import errors
from sah_jax.coding import file, priors, scales, tensors
from sah_jax.programs import latents

ROUND = latents.make_knobs(3, "straight_through", 1e-3, 0.01)
NOISE = latents.make_knobs(3, "noise", 1e-3, 0.01)
KEY = jax.random.key(0)


def _theta(x, parameter=-1.0):
    x = np.asarray(x, np.float32)
    return {"offset": {"w": x}, "exponent": {"w": np.float32(parameter)}, "spread": {"w": np.float32(-0.1)}}


@pytest.mark.parametrize("bits, parameter", [(2, -1.5), (4, -1.0), (8, -2.0)])
def test_training_sees_the_values_that_the_file_gives(bits, parameter):
    x = np.random.default_rng(0).normal(size=200).astype(np.float32) * 0.1
    theta = _theta(x, parameter)
    knobs = latents.make_knobs(bits, "straight_through", 0.0, 0.01)
    frozen = latents.freeze(theta, bits)
    seen = latents.quantised(theta, knobs, np.float32(0.5), KEY)["w"]
    # exp2 on the device and the grid's correctly rounded steps differ by an ulp at most.
    np.testing.assert_allclose(seen, frozen.values()["w"], rtol=3e-7)
    assert np.abs(frozen.symbols["w"]).max() <= priors.levels(bits)
    assert len(np.unique(frozen.symbols["w"])) > 2


def test_step_and_values_get_gradients():
    def loss(x, parameter):
        theta = {"offset": {"w": x}, "exponent": {"w": parameter}}
        knobs = latents.make_knobs(2, "straight_through", 0.0, 0.01)
        seen = latents.quantised(theta, knobs, np.float32(0), KEY)
        return (seen["w"] * np.array([1.0, 2.0, 3.0])).sum()

    x = np.array([0.01, 0.04, 5.0], np.float32)
    by_x, by_parameter = jax.grad(loss, argnums=(0, 1))(x, np.float32(-0.8))
    # Straight through inside the range, nothing beyond it; the clipped value moves with the step.
    np.testing.assert_allclose(by_x, [1.0, 2.0, 0.0])
    assert by_parameter != 0


def test_noise_stands_in_for_rounding_until_the_end():
    theta = _theta(np.linspace(-0.02, 0.02, 50))
    step = scales.step(int(latents._exponent(np.float32(-1.0))))
    early, late, rounded = (
        np.asarray(latents.quantised(theta, knobs, np.float32(progress), KEY)["w"])
        for knobs, progress in ((NOISE, 0.5), (NOISE, 0.9), (ROUND, 0.5)))
    np.testing.assert_array_equal(late, rounded)
    assert np.any(early != rounded)
    assert np.abs(early - theta["offset"]["w"]).max() <= 0.5 * step * (1 + 1e-6)


def test_laplace_bits_are_a_probability_of_each_integer():
    q = jnp.arange(-400, 401, dtype=jnp.float32)
    for spread in (0.3, 1.0, 20.0):
        assert np.isclose(np.sum(2.0 ** -np.asarray(latents.laplace_bits(q, spread))), 1.0, atol=1e-4)
    assert latents.laplace_bits(jnp.float32(0), 0.1) < 0.01
    # Both forms meet at a half.
    below, above = latents.laplace_bits(jnp.float32([0.49999, 0.50001]), 0.7)
    assert np.isclose(below, above, atol=1e-3)


def test_gradients_stay_finite_however_narrow_a_spread_is():
    q = jnp.array([0.0, 0.3, -0.5, 0.7, 40.0], jnp.float32)
    for log_spread in (-12.0, -7.6, -6.0, 0.0, 16.0):
        theta = {"offset": {"w": q}, "exponent": {"w": jnp.float32(0)},
                 "spread": {"w": jnp.float32(log_spread / 16)}}
        value, gradient = jax.value_and_grad(latents.rate_bits)(theta, KEY)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((value, gradient))), log_spread


def test_the_estimate_is_near_what_the_coder_takes():
    rng = np.random.default_rng(1)
    q = np.round(rng.laplace(size=4000) * 2).clip(-63, 63)
    step = 2.0 ** (-16 / scales.STEPS_PER_OCTAVE)
    theta = {"offset": {"w": (q * step).astype(np.float32)}, "exponent": {"w": np.float32(-1)},
             "spread": {"w": np.float32(np.log2(2.0) / 16)}}
    writer = file.ProgramWriter()
    tensors.write_array(writer, q.astype(np.int32), 7)
    estimate = float(latents.rate_bits(theta, KEY))
    # The estimate is of values with noise: half a bit more than that of integers at the most.
    assert 0 < estimate - writer.ledger.ideal_bits < 0.15 * writer.ledger.ideal_bits


def test_the_rate_counts_later_on_only():
    shares = [float(latents.rate_share(np.float32(progress))) for progress in (0, 0.1, 0.3, 0.5, 1)]
    assert shares == sorted(shares) and shares[1] == 0 and shares[-2:] == [1, 1]


@pytest.mark.parametrize("bits", [2, 5, 8, 16])
def test_what_is_written_is_read_and_rows_that_are_left_out_are_zero(bits):
    rng, shapes = np.random.default_rng(2), {"b": (4, 3, 5), "a": (4, 7), "none": (4, 2)}
    kept = {"b": [1, 3], "a": None, "none": []}
    top = priors.levels(bits)
    symbols = {}
    for name, shape in shapes.items():
        whole = rng.integers(-top, top + 1, shape).astype(np.int32)
        if bits == latents.RAW_BITS:
            whole = latents.to_bfloat16(rng.normal(size=shape))
        rows = range(4) if kept[name] is None else kept[name]
        symbols[name] = np.zeros_like(whole)
        symbols[name][list(rows)] = whole[list(rows)]
    exponents = {} if bits == latents.RAW_BITS else {"b": -3, "a": 5, "none": 0}
    writer = file.ProgramWriter()
    latents.write(writer, latents.Latents(symbols, exponents), bits, kept, True)
    data = writer.close()
    found = latents.read(file.ProgramReader(data), shapes, bits, kept, True)
    for name in shapes:
        np.testing.assert_array_equal(found.symbols[name], symbols[name])
    assert found.exponents == exponents
    if bits == latents.RAW_BITS:
        assert 8 * len(data) - 8 < 16 * (2 * 15 + 28) <= 8 * len(data)


def test_zeros_cost_next_to_nothing_and_no_step():
    writer = file.ProgramWriter()
    zeros = latents.Latents({"w": np.zeros((50, 50), np.int32)}, {"w": -9})
    latents.write(writer, zeros, 8, {"w": None}, False)
    assert zeros.all_zero and writer.ledger.ideal_bits < 3
    found = latents.read(file.ProgramReader(writer.close()), {"w": (50, 50)}, 8, {"w": None}, False)
    assert not found.values()["w"].any()


def test_raw_numbers_that_are_not_finite_are_refused():
    writer = file.ProgramWriter()
    latents.write_bfloat16(writer, np.full(4, np.inf, np.float32))
    with pytest.raises(errors.UserError, match="not finite"):
        latents.read_bfloat16(file.ProgramReader(writer.close()), (4,))
    with pytest.raises(errors.UserError, match="claims 4000000 numbers"):
        latents.read_bfloat16(file.ProgramReader(b"\x00\x01"), (2000, 2000))
