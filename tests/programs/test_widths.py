"""Tensors with bit widths: the ladder is Bayesian Bits', and what a file holds of one is what it gives.

What is expected is computed here, in Python's floats, from the paper's description of its quantiser.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sah_jax import errors
from sah_jax.coding import file
from sah_jax.programs import latents, widths

WIDTHS = (2, 4, 8, 16, 32)
# Products of the steps' quotients: s2 / 5, / 17, / 257, / 65537.
FINER = {2: 1, 4: 5, 8: 5 * 17, 16: 5 * 17 * 257, 32: 5 * 17 * 257 * 65537}
# Of a file: which of six widths; the array's prior and rounding; the digits of the step.
CHOICE_BITS, ARRAY_BITS, STEP_BITS = math.log2(6), 3, 16


def _paper(x, s2, gates):
    """The paper's quantiser: rounded at 2 bits, then residuals against what the gates have let through."""
    step, gate = s2, 1.0
    total = step * round(x / step)
    for quotient, own in zip((5, 17, 257, 65537), gates, strict=True):
        step, gate = step / quotient, gate * own
        total += gate * step * round((x - total) / step)
    return total


def _gates(width):
    return [float(width > before) for before in WIDTHS[:-1]]


def _top(width):
    return 2 ** (width - 1) - 1


def _ladder(x, s2, gates):
    """The ladder of some layers, compiled as in training."""
    arrays = (jnp.asarray(one, jnp.float32) for one in (x, s2, gates))
    return np.asarray(jax.jit(widths.ladder)(*arrays), np.float64)


def _between(width, step, count=4000):
    """Integers that a width has, all of them where there are few, and numbers that are nearest to them."""
    rng = np.random.default_rng(width)
    top = _top(width)
    integers = np.arange(-top, top + 1) if top <= count else rng.integers(-top, top + 1, count)
    return integers, (integers + rng.uniform(-0.4, 0.4, len(integers))) * step / FINER[width]


def test_numbers_worked_by_hand():
    x = np.array([[0.75, 0.25, -1.2, 1.45, 0.0, -0.25]])
    expected = {
        # 0.75 is 1 - 0.2 - 4/85; -0.25 is -0.2 - 4/85; 1.45 is 1 + 2/5 + 4/85 (119 + 4 = 123).
        2: [1, 0, -1, 1, 0, 0],
        4: [4, 1, -6, 7, 0, -1],
        8: [64, 21, -102, 123, 0, -21],
        16: [16384, 5461, -26214, 31675, 0, -5461],
        32: [1073741824, 357913941, -1717986918, 2075900859, 0, -357913941],
    }
    for width, symbols in expected.items():
        found = widths.quantise(x, np.ones(1, np.float32), np.array([width]))
        assert found.symbols.tolist() == [symbols]
        np.testing.assert_allclose(widths.values(found)[0] * FINER[width], symbols, rtol=1e-7)
        np.testing.assert_allclose(_ladder(x, [1.0], [_gates(width)])[0] * FINER[width], symbols, rtol=2e-7)


def test_steps_are_the_ladders():
    for width in WIDTHS:
        assert np.isclose(widths.step_of(0.3, width) * FINER[width], 0.3, rtol=1e-15)
        # The largest number of a width is the last that is no nearer to one step at 2 bits more.
        assert _top(width) == (3 * FINER[width] - 1) // 2


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("s2", [0.625, 0.0078125, 0.0133])
def test_training_and_file_are_the_papers_where_nothing_is_clipped(width, s2):
    s2 = float(latents.to_bfloat16(s2))
    integers, x = _between(width, s2)
    x = x.astype(np.float32)
    expected = np.array([_paper(float(one), s2, _gates(width)) for one in x])
    found = widths.quantise(x[None], np.float32([s2]), np.array([width]))
    if width < 32:
        # Exactly the integers: a number is nearest to the one that it was made from.
        np.testing.assert_array_equal(found.symbols[0], integers)
        np.testing.assert_array_equal(np.round(expected * FINER[width] / s2), integers)
    np.testing.assert_allclose(widths.values(found)[0], expected, rtol=1e-7)
    seen = _ladder(x[None], [s2], [_gates(width)])[0]
    np.testing.assert_allclose(seen, expected, rtol=3e-7, atol=1e-7 * s2)


def test_residuals_are_of_what_gates_let_through():
    rng = np.random.default_rng(1)
    steps, gates = [0.7, 0.04, 0.3], rng.uniform(0.1, 0.9, (3, 4))
    x = rng.uniform(-1.4, 1.4, (3, 50)) * np.array(steps)[:, None]
    expected = np.array([[_paper(one, step, own) for one in row]
                         for row, step, own in zip(x, steps, gates, strict=True)])
    # Of numbers near a tie, float32 may take the other side: a step at 4 bits, and few are.
    near = np.isclose(_ladder(x, steps, gates), expected, rtol=1e-5, atol=1e-6)
    assert near.mean() > 0.95


def test_a_closed_gate_closes_all_after_it():
    x = np.random.default_rng(2).uniform(-1.4, 1.4, (16, 30)) * 0.3
    gates = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    found = _ladder(x, np.full(16, 0.3), gates)
    expected = _ladder(x, np.full(16, 0.3), np.cumprod(gates, axis=1))
    np.testing.assert_array_equal(found, expected)
    # And an open one before it stays open.
    assert np.any(found[0b1011] != _ladder(x[:1], [0.3], [_gates(2)])[0])


def test_layers_have_their_own_steps_and_gates():
    x = np.random.default_rng(3).uniform(-1, 1, (5, 4, 6)).astype(np.float32)
    steps = latents.to_bfloat16([0.7, 0.8, 0.9, 1.0, 1.1])
    found = _ladder(x, steps, [_gates(width) for width in WIDTHS])
    held = widths.quantise(x, steps, np.array(WIDTHS))
    for layer, (step, width) in enumerate(zip(steps, WIDTHS, strict=True)):
        alone = _ladder(x[layer][None], [step], [_gates(width)])[0]
        np.testing.assert_array_equal(found[layer], alone)
        np.testing.assert_allclose(widths.values(held)[layer], alone, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_file_has_no_number_beyond_its_width(width):
    x = np.array([[1.49, 1.51, 1.8, 2.5, 1e4], [-1.49, -1.51, -1.8, -2.5, -1e4]]) * 0.25
    symbols = widths.quantise(x, np.float32([0.25, 0.25]), np.full(2, width)).symbols
    assert np.abs(symbols).max() <= _top(width)
    # The last numbers of 32 bits are nearer to the bound than a float32 tells.
    np.testing.assert_allclose(symbols[0, 1:], _top(width), rtol=0 if width < 32 else 2e-6)
    np.testing.assert_array_equal(symbols[1], -symbols[0])
    np.testing.assert_allclose(symbols[0, 0], 1.49 * FINER[width], atol=0.5)


@pytest.mark.parametrize("width", [2, 4, 8, 16])
def test_training_sees_no_number_beyond_its_width(width):
    # Steps as a fit has them, with all digits of a float32, and as files have them.
    steps = np.random.default_rng(4).uniform(0.001, 0.1, 3000).astype(np.float32)
    steps = np.concatenate([steps, latents.to_bfloat16(steps)])
    x = np.array([1.5, -1.5, 40.0, -40.0], np.float32) * steps[:, None]
    found = _ladder(x, steps, np.tile(_gates(width), (len(steps), 1)))
    symbols = np.round(found * FINER[width] / steps[:, None].astype(np.float64))
    assert set(np.unique(np.abs(symbols))) == {_top(width)}


def test_at_32_bits_training_clips_to_float32_rounding():
    found = _ladder([[5.0, -5.0, 1.499]], [1.0], [_gates(32)])[0]
    np.testing.assert_allclose(found, [1.5, -1.5, 1.499], rtol=2e-6)


def test_a_steps_sign_does_not_matter():
    x = np.random.default_rng(5).normal(size=(2, 20))
    gates = [_gates(8), _gates(2)]
    np.testing.assert_array_equal(_ladder(x, [0.6, 0.8], gates), _ladder(x, [-0.6, -0.8], gates))


@pytest.mark.parametrize("gates", [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [0.3, 0.8, 0.5, 1]])
def test_gradients_are_straight_through_and_reach_the_step(gates):
    x = np.array([[0.7, -0.31, 0.05, -1.2, 9.0, -9.0]], np.float32)
    weights = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 7.0]], np.float32)
    loss = lambda x, s2: jnp.sum(weights * widths.ladder(x, s2, jnp.float32([gates])))
    by_x, by_step = jax.grad(loss, argnums=(0, 1))(x, jnp.ones(1))
    # Nothing of what is clipped reaches the number, and all of it the step.
    np.testing.assert_allclose(by_x, [[1, 2, 3, 4, 0, 0]], atol=1e-5)
    clipped = _ladder([[9.0]], [1.0], [gates])[0, 0]
    inside = np.array([_paper(float(one), 1.0, gates) - float(one) for one in x[0, :4]])
    # In units of the step the inside's gradient is what rounding added, that of the rest the value.
    np.testing.assert_allclose(by_step, [np.dot(weights[0, :4], inside) + (5 - 7) * clipped], rtol=1e-4)


def test_gates_get_the_gradient_of_their_residual():
    x = np.array([[0.74]], np.float32)
    loss = lambda gates: jnp.sum(widths.ladder(x, jnp.ones(1), gates))
    of = lambda *gates: jax.grad(loss)(jnp.float32([gates]))[0]
    # 1 - 0.2 at 4 bits, then -0.06 * 85 = -5.1; at 8 bits, shut, the two after it hang on it as well.
    np.testing.assert_allclose(of(1, 0, 1, 1), [-0.2, -5 / 85 - 0.06 - 0.06, 0, 0], rtol=1e-4)
    # Straight through, the residual at 8 bits makes up for what the one at 4 bits leaves.
    np.testing.assert_allclose(of(1, 1, 0, 0)[:2], [-5 / 85, -5 / 85], rtol=1e-4)


def test_what_is_zero_has_neither_step_nor_width():
    x = np.stack([np.zeros((3, 4)), np.full((3, 4), 0.1), np.ones((3, 4)), np.ones((3, 4))])
    found = widths.quantise(x, np.float32([1, 1, 1, 0]), np.array([8, 2, 8, 4]))
    assert found.widths.tolist() == [0, 0, 8, 0]
    assert found.steps.tolist() == [0, 0, 1, 0]
    assert np.array_equal(widths.values(found)[2], np.ones((3, 4)))
    assert not widths.values(found)[[0, 1, 3]].any()


def _tensor(axis, ranks, seed=0):
    """A tensor with a layer of every coded width, and nothing in the ranks that a layer does not have."""
    rng, coded = np.random.default_rng(seed), (0, *WIDTHS)
    shape = {0: (6, 4, 7), 1: (6, 7, 4)}[axis]
    symbols = np.stack([rng.integers(-_top(max(width, 2)), _top(max(width, 2)), shape[1:], endpoint=True)
                        for width in coded])
    symbols[0] = 0
    for layer, rank in enumerate(ranks):
        np.moveaxis(symbols[layer], axis, 0)[rank:] = 0
    steps = latents.to_bfloat16(rng.uniform(0.001, 2, 6)) * (np.array(coded) > 0)
    return widths.Tensor(symbols, np.array(coded), steps.astype(np.float32))


def _written(tensor, axis, ranks):
    writer = file.ProgramWriter()
    widths.write(writer, tensor, axis, ranks)
    return writer, writer.close()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("ranks", [(4, 4, 4, 4, 4, 4), (1, 2, 3, 1, 2, 3), (4, 3, 2, 2, 1, 1)])
def test_what_is_written_is_read(axis, ranks):
    ranks = np.array(ranks)
    tensor = _tensor(axis, ranks)
    writer, data = _written(tensor, axis, ranks)
    found = widths.read(file.ProgramReader(data), tensor.symbols.shape, axis, ranks)
    for one, other in zip(found, tensor, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(widths.values(found), widths.values(tensor))
    numbers = 7 * ranks[1:]
    bound = 6 * CHOICE_BITS + 5 * STEP_BITS + 4 * ARRAY_BITS + np.sum(numbers * WIDTHS)
    assert 32 * numbers[-1] < writer.ledger.ideal_bits <= bound


@pytest.mark.parametrize("axis", [0, 1])
def test_ranks_that_a_layer_does_not_have_are_zero_and_not_coded(axis):
    ranks = np.array([1, 2, 3, 1, 2, 3])
    cut = _tensor(axis, ranks, 7)
    whole = cut._replace(symbols=cut.symbols.copy())
    for layer, rank in list(enumerate(ranks))[1:]:
        np.moveaxis(whole.symbols[layer], axis, 0)[rank:] = 1
    (_, data), (_, other) = _written(cut, axis, ranks), _written(whole, axis, ranks)
    assert data == other
    found = widths.read(file.ProgramReader(other), cut.symbols.shape, axis, ranks)
    np.testing.assert_array_equal(found.symbols, cut.symbols)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_layer_costs_its_width_and_a_step(width):
    count = 600
    symbols = np.random.default_rng(width).integers(-_top(width), _top(width), (1, count, 1), endpoint=True)
    tensor = widths.Tensor(symbols, np.array([width]), np.ones(1, np.float32))
    writer, data = _written(tensor, 1, np.ones(1, np.int64))
    least = count * math.log2(2 * _top(width) + 1) + STEP_BITS
    assert least - 8 < writer.ledger.ideal_bits <= count * width + STEP_BITS + CHOICE_BITS + ARRAY_BITS
    assert 8 * len(data) <= count * width + STEP_BITS + 24


def test_a_layer_of_zeros_costs_the_choice_of_its_width():
    tensor = widths.Tensor(np.zeros((10, 50, 1), np.int64), np.zeros(10, np.int64), np.zeros(10, np.float32))
    writer, _ = _written(tensor, 1, np.ones(10, np.int64))
    assert np.isclose(writer.ledger.ideal_bits, 10 * CHOICE_BITS, atol=0.01)


def test_a_file_too_small_for_its_claims_is_refused():
    tensor = _tensor(1, np.full(6, 4))
    _, data = _written(tensor._replace(widths=np.array([0, 0, 0, 0, 0, 32])), 1, np.full(6, 4))
    with pytest.raises(errors.UserError, match="claims 4000000 numbers of 32 bits"):
        widths.read(file.ProgramReader(data), (6, 1000000, 4), 1, np.full(6, 4))
