"""A fit that was stopped goes on as if it had not been; the base is never written."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sharded_model

from sah_jax import errors
from sah_jax.programs import lowrank
from sah_jax.training import checkpoints
from sah_jax.training import fit as fit_lib
from sah_jax.training import step as step_lib

STEPS = 7


class Stopped(Exception):
    """What a stop looks like from inside."""


@pytest.fixture(scope="module")
def problem():
    """A jitted step, the state it begins with, and the base."""
    decoder = sharded_model.decoder_on(None)
    optimizer = optax.adam(1e-2)
    expand = lambda theta, params: {"params": params, "program": lowrank.expand(theta, 1.0)}
    step = step_lib.make_step(decoder, optimizer, expand)
    theta = sharded_model.theta()
    return step, step_lib.FitState(theta, optimizer.init(theta)), sharded_model.params_on(decoder)


def _fit(problem, plan=None, stop_at=None, lines=None):
    step, state, params = problem

    def batches():
        for number in range(STEPS):
            if number == stop_at:
                raise Stopped
            yield sharded_model.batch(number)

    state = jax.tree.map(jnp.array, state)  # it is donated
    return fit_lib.fit(step, state, params, batches(), STEPS, (lines or []).append, plan)


@pytest.fixture(scope="module")
def whole(problem):
    return _fit(problem)


@pytest.mark.parametrize("every, stop_at, first", [(2, 5, 4), (3, 3, 3), (4, 3, 0)])
def test_a_stopped_fit_goes_on_bit_for_bit(problem, whole, tmp_path, every, stop_at, first):
    plan = checkpoints.Plan(tmp_path / "fit", every)
    with pytest.raises(Stopped):
        _fit(problem, plan, stop_at)
    theta, losses = _fit(problem, plan)
    jax.tree.map(np.testing.assert_array_equal, theta, whole[0])
    assert losses == whole[1][first:]


def test_checkpoints_change_nothing_and_hold_no_base(problem, whole, tmp_path):
    plan = checkpoints.Plan(tmp_path / "fit", 3)
    theta, losses = _fit(problem, plan)
    jax.tree.map(np.testing.assert_array_equal, theta, whole[0])
    assert losses == whole[1]
    kept = sorted(int(path.name) for path in plan.folder.iterdir() if path.name.isdigit())
    assert kept == [3, 6]
    size = sum(path.stat().st_size for path in (plan.folder / "6").rglob("*") if path.is_file())
    numbers = sum(map(np.size, jax.tree.leaves(problem[1])))
    assert size < 4 * numbers + 64_000
    names = " ".join(str(path) for path in plan.folder.rglob("*")) + (
        plan.folder / "6" / "state" / "_METADATA").read_text()
    assert "kernel" not in names and "embed" not in names and "attention/q" in names
    plan.remove()
    assert not plan.folder.exists()


def test_the_report_says_where_it_goes_on(problem, tmp_path):
    plan, lines = checkpoints.Plan(tmp_path / "fit", 2), ["start"]
    with pytest.raises(Stopped):
        _fit(problem, plan, 5)
    _fit(problem, plan, lines=lines)
    assert lines[1] == f"going on after step 4/{STEPS}" and lines[-1].startswith(f"step {STEPS}/{STEPS}")


def test_a_checkpoint_of_another_fit_is_refused(problem, tmp_path):
    step, state, params = problem
    plan = checkpoints.Plan(tmp_path / "fit", 2)
    with pytest.raises(Stopped):
        _fit(problem, plan, 5)
    other = state._replace(theta={"something": jnp.zeros(3)})
    with pytest.raises(errors.UserError, match="step 4 cannot be restored"):
        fit_lib.fit(step, other, params, itertools.repeat(None), STEPS, [].append, plan)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.UserError, match="cannot hold checkpoints"):
        checkpoints.Checkpoints(checkpoints.Plan(tmp_path / "file" / "fit", 1))
