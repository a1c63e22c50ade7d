"""A fit that was stopped goes on as if it had not been; the base is never written."""

import itertools
import json
import os
import pathlib
import subprocess
import sys

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


TESTS = pathlib.Path(__file__).parents[1]
CHILD = """
import sah_jax
import json, pathlib, shutil, sys
import jax, numpy as np, sharded_model
from sah_jax.models import sharding
from sah_jax.training import checkpoints

def fitted(sizes, folder=None, steps=6):
    mesh = sharding.make_mesh(*sizes, devices=jax.devices()[:int(np.prod(sizes))]) if sizes else None
    plan = checkpoints.Plan(folder, 4) if folder else None
    return sharded_model.fitted(mesh, lambda _: map(sharded_model.batch, range(steps)), 6, plan)

folder = pathlib.Path(sys.argv[1])
fitted((2, 2, 1), folder / "0", steps=5)
whole, found = fitted((2, 2, 1)), {}
for name, sizes in {"same": (2, 2, 1), "fewer": (1, 2, 1), "one": None}.items():
    shutil.copytree(folder / "0", folder / name)
    theta, losses = fitted(sizes, folder / name)
    differ = jax.tree.map(lambda x, y: float(np.abs(np.asarray(x) - y).max()), theta, whole[0])
    found[name] = {"theta": max(jax.tree.leaves(differ)), "steps": len(losses),
                   "loss": float(np.abs(np.subtract(losses, whole[1][4:])).max())}
print(json.dumps(found))
"""


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
    assert losses.tolist() == whole[1][first:].tolist()


def test_checkpoints_change_nothing_and_hold_no_base(problem, whole, tmp_path):
    plan = checkpoints.Plan(tmp_path / "fit", 3)
    theta, losses = _fit(problem, plan)
    jax.tree.map(np.testing.assert_array_equal, theta, whole[0])
    assert losses.tolist() == whole[1].tolist()
    kept = sorted(int(path.name) for path in plan.folder.iterdir() if path.name.isdigit())
    assert kept == [3, 6]
    saved = json.loads((plan.folder / "6" / "state" / "_METADATA").read_text())["tree_metadata"]
    shapes = sorted(tuple(one["value_metadata"]["write_shape"]) for one in saved.values()
                    if not one["value_metadata"].get("skip_deserialize"))
    assert shapes == sorted(map(np.shape, jax.tree.leaves(problem[1])))
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


def test_a_fit_goes_on_on_another_number_of_devices(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)], capture_output=True, text=True, check=False,
        env={**os.environ, "JAX_NUM_CPU_DEVICES": "4", "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("same") == {"theta": 0, "steps": 2, "loss": 0}
    for one in found.values():
        assert one["steps"] == 2 and one["loss"] < 4e-6 and one["theta"] < 4e-6
