"""Several settings fitted as lanes of one step: each is what it is alone, whatever is beside it."""

import dataclasses

import jax
import jax.numpy as jnp
import letters
import numpy as np
import pytest

from sah_jax import errors
from sah_jax.programs import lowrank
from sah_jax.training import checkpoints, metrics, tuned
from sah_jax.training import lanes as lanes_lib

TASK, TOKENS, ROWS = letters.Letters(), 16, 4


@dataclasses.dataclass(frozen=True)
class One:
    """A setting: what `Data` asks for, and what else may differ between lanes."""

    num_examples: int = 12
    epochs: int = 2
    batch_size: int = ROWS
    max_tokens: int = TOKENS
    learning_rate: float = 0.01
    seed: int = 0
    weight: float = 0.0


A, B, C = One(), One(learning_rate=0.03, seed=1, weight=0.01), One(seed=2, num_examples=9)
"""Six steps each, of examples of their own; the last batches of C are short."""


@pytest.fixture(scope="module")
def problem(tiny_base) -> tuned.Problem:
    decoder = tiny_base.decoder

    def start(knobs):
        drawn = lowrank.start(decoder, 1, knobs["seed"])
        # Both factors are not zero, so that both have a gradient from the first step on.
        return jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(x.size), x.shape), drawn)

    def expand(theta, params, knobs, moment):
        return {"params": params, "program": lowrank.expand(theta, 1.0)}

    def penalty(theta, knobs, moment):
        return knobs["weight"] * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(theta))

    return tuned.Problem(decoder, start, expand, _knobs(One()), penalty)


def _knobs(one):
    return {"seed": np.int32(one.seed), "weight": np.float32(one.weight)}


def _fit(problem, base, ones, report=lambda line: None, lanes=0, plan=None):
    """Returns a θ for each setting (fetched), and the losses."""
    data = [lanes_lib.Data.of(base, TASK, one, one.seed) for one in ones]
    tunings = [
        tuned.Tuning(np.float32(one.learning_rate), np.float32(0.1), np.float32(0.01), np.int32(each.steps),
                     np.int32(one.seed)) for one, each in zip(ones, data, strict=True)]
    theta, losses = lanes_lib.fit(
        problem, base, data, tunings, [_knobs(one) for one in ones], report, plan, lanes)
    theta = jax.device_get(theta)
    return [jax.tree.map(lambda leaf, lane=lane: leaf[lane], theta) for lane in range(len(ones))], losses


@pytest.fixture(scope="module")
def together(problem, tiny_base):
    return _fit(problem, tiny_base, [A, B, C])


def _same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def _differ(tree, other):
    return any(np.any(x != y) for x, y in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True))


def test_lanes_are_the_fits_of_their_settings_alone(problem, tiny_base, together):
    found, losses = together
    assert losses.shape == (6, 3)
    for lane, one in enumerate((A, B, C)):
        (alone,), own = _fit(problem, tiny_base, [one])
        assert own.shape == (6, 1)
        # Where a gradient is all rounding, Adam's direction is too.
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0, atol=2e-5), found[lane], alone)
        np.testing.assert_allclose(losses[:, lane], own[:, 0], rtol=1e-4)
    moved = jax.tree.map(lambda x, y: np.abs(x - y).max(), found[0], jax.device_get(problem.start(_knobs(A))))
    assert min(jax.tree.leaves(moved)) > 0.01
    assert _differ(found[0], found[1])


def test_a_lane_does_not_hang_on_its_place_nor_on_the_others(problem, tiny_base, together):
    found, losses = together
    moved, again = _fit(problem, tiny_base, [C, A, A])
    _same(moved[0], found[2])
    _same(moved[1], found[0])
    _same(moved[2], found[0])
    np.testing.assert_array_equal(again[:, [1, 0]], losses[:, [0, 2]])


def test_lanes_beyond_the_settings_repeat_the_last_and_are_not_told(problem, tiny_base, together):
    told = []
    padded, losses = _fit(problem, tiny_base, [A, B], told.append, lanes=3)
    assert len(padded) == 2 and losses.shape == (6, 2)
    for lane in range(2):
        _same(padded[lane], together[0][lane])
    np.testing.assert_array_equal(losses, together[1][:, :2])
    assert told[-1].startswith("step 6/6, loss ")
    # No fewer lanes than settings, whatever is asked for.
    fewer, _ = _fit(problem, tiny_base, [A, B, C], lanes=1)
    _same(fewer[2], together[0][2])


def test_lanes_that_were_saved_after_their_last_step_are_what_they_were(
        problem, tiny_base, together, tmp_path):
    plan = checkpoints.Plan(tmp_path, 3)
    for steps in (6, 0):
        found, losses = _fit(problem, tiny_base, [A, B, C], plan=plan)
        assert losses.shape == (steps, 3)
        for lane in range(3):
            _same(found[lane], together[0][lane])


def test_a_lane_with_fewer_steps_stops(problem, tiny_base, together):
    short = dataclasses.replace(A, epochs=1)
    found, losses = _fit(problem, tiny_base, [short, B, C])
    assert losses.shape == (6, 3)
    # The longer ones go on as if nothing was.
    for lane in (1, 2):
        _same(found[lane], together[0][lane])
    among_short, first = _fit(problem, tiny_base, [short, short, short])
    assert first.shape == (3, 3)
    _same(found[0], among_short[0])
    np.testing.assert_array_equal(losses[:3, 0], first[:, 0])
    assert _differ(found[0], together[0][0])


def test_a_lane_that_diverges_does_not_harm_the_others(problem, tiny_base, together):
    bad = dataclasses.replace(A, learning_rate=1e38)
    for place in range(3):
        ones = [A, B, C]
        ones[place] = bad
        found, losses = _fit(problem, tiny_base, ones)
        assert not np.all(np.isfinite(losses[:, place]))
        for lane in {0, 1, 2} - {place}:
            _same(found[lane], together[0][lane])
            np.testing.assert_array_equal(losses[:, lane], together[1][:, lane])


def test_lanes_that_all_diverge_are_an_error(problem, tiny_base):
    bad = [dataclasses.replace(one, learning_rate=1e38) for one in (A, B, C)]
    with pytest.raises(errors.UserError, match=r"training loss is (nan|inf) at step \d of 6"):
        _fit(problem, tiny_base, bad)


@pytest.mark.parametrize("lanes", [0, 4])
def test_each_run_is_told_its_own_losses_whatever_becomes_of_the_others(problem, tiny_base, lanes):
    def ready(one):
        data = lanes_lib.Data.of(tiny_base, TASK, one, one.seed)
        tuning = tuned.Tuning(
            np.float32(one.learning_rate), np.float32(0.1), np.float32(0.01), np.int32(data.steps),
            np.int32(one.seed))
        return lanes_lib.Run(data, tuning, _knobs(one))

    told, short = {}, dataclasses.replace(A, epochs=1)
    losses = lambda run, before, own: told.setdefault(run, []).extend(own.tolist())
    lanes_lib.fit_each(
        problem, tiny_base, [ready(B), errors.UserError("no such layer"), ready(short), ready(C)],
        metrics.Report(lambda line: None, losses), lanes=lanes)
    assert {run: len(own) for run, own in told.items()} == {0: 6, 2: 3, 3: 6}
    for run, one in ((0, B), (2, short), (3, C)):
        _, alone = _fit(problem, tiny_base, [one])
        np.testing.assert_allclose(told[run], alone[:, 0], rtol=1e-4)


def test_settings_of_as_many_lanes_share_one_compiled_step(problem, tiny_base, together):
    step = tuned.make_step(problem, ROWS, 3)
    _fit(problem, tiny_base, [dataclasses.replace(B, epochs=1), A, C])
    assert tuned.make_step(problem, ROWS, 3) is step and step.run._cache_size() == 1


def test_data_are_the_first_examples_in_an_order_of_each_epoch(tiny_base):
    data = lanes_lib.Data.of(tiny_base, TASK, C, 2)
    assert data.steps == 6 == len(list(data.batches(tiny_base)))
    assert len(data.examples) == 9 and len(data.orders) == 2
    assert all(sorted(order) == list(range(9)) for order in data.orders)
    assert not np.array_equal(*data.orders)
    texts = [tiny_base.decode(one.prompt + one.answer) for one in data.examples]
    assert texts == [one.prompt + one.answer for one in TASK.examples("train", 9, 2)]


def test_an_order_gives_the_same_examples_in_another_order(tiny_base):
    plain, again, other = (lanes_lib.Data.of(tiny_base, TASK, A, 0, order) for order in (0, 0, 1))
    assert plain.examples == again.examples == other.examples
    assert all(np.array_equal(*pair) for pair in zip(plain.orders, again.orders, strict=True))
    assert not any(np.array_equal(*pair) for pair in zip(plain.orders, other.orders, strict=True))


def test_a_context_stands_before_every_prompt_and_makes_rows_longer(tiny_base):
    context = (3, 1, 4)
    plain, under = (lanes_lib.Data.of(tiny_base, TASK, A, 0, context=one) for one in ((), context))
    assert under.max_tokens == plain.max_tokens + 3
    for short, long in zip(plain.batches(tiny_base), under.batches(tiny_base), strict=True):
        assert long.tokens_BL.shape == (ROWS, 1 + TOKENS + 3)
        assert np.all(long.tokens_BL[:, 1:4] == context)
        np.testing.assert_array_equal(long.tokens_BL[:, 4:], short.tokens_BL[:, 1:])
        np.testing.assert_array_equal(long.weights_BL[:, 4:], short.weights_BL[:, 1:])
        assert not np.any(long.weights_BL[:, :4])


def test_a_lane_without_more_batches_gets_empty_ones(tiny_base):
    short = dataclasses.replace(B, epochs=1)
    data = [lanes_lib.Data.of(tiny_base, TASK, one, one.seed) for one in (A, short)]
    found = list(lanes_lib._stacked([one.batches(tiny_base) for one in data], tiny_base, data[0]))
    assert len(found) == 6
    for number, batch in enumerate(found):
        assert batch.tokens_BL.shape == (2, ROWS, 1 + TOKENS)
        assert np.any(batch.weights_BL[0]) and np.any(batch.weights_BL[1]) == (number < 3)


def test_the_operations_of_a_step_grow_with_its_tokens(problem):
    one, two, long = (lanes_lib.step_flops(problem, _knobs(A), rows, tokens)
                      for rows, tokens in ((4, 16), (8, 16), (4, 32)))
    assert 1.9 * one < two <= 2 * one < long
