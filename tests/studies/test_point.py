"""Making a point: a stopped fit goes on, and the program is the one of a fit that was not stopped."""

import io

import pytest
import rich.console

from sah_jax.studies import grid, point, runner, sidecar
from sah_jax.tasks import base as task_lib
from sah_jax.training import checkpoints

CONFIG = {
    "models": ("nano",), "dtype": "float32", "tasks": ("nano_math",),
    "families": {
        "lora": ({"rank": 1, "bits_per_weight": 2, "learning_rate": 5e-3, "num_examples": 8,
                  "batch_size": 2},)},
    "seeds": (0,), "num_selection": 2, "num_test": 2, "selection": "selection", "check": False,
}


class Killed(BaseException):
    """What nothing on the way catches."""


def test_a_killed_point_is_made_as_if_it_had_not_been(nano, tmp_path, monkeypatch):
    monkeypatch.setattr(point, "_scored", lambda *_: (task_lib.Score(0.0, 0.0, (0.0, 0.0)), []))
    monkeypatch.setattr(runner.base_lib, "load_base", lambda *_, **__: nano)
    config, lines = grid.parse_config({**CONFIG, "checkpoint_every": 1}), []
    monkeypatch.setattr(runner._Study, "_show", lambda self, label, line: lines.append(line))

    def make(name):
        runner.run(config, tmp_path / name, rich.console.Console(file=io.StringIO()), verify=False)
        (path,) = tmp_path.glob(f"{name}/points/*/{sidecar.PROGRAM_NAME}")
        return path.read_bytes()

    save, folder = checkpoints.Checkpoints.save, tmp_path / "stopped" / runner.CHECKPOINTS_FOLDER

    def killing(self, position, state):
        save(self, position, state)
        if position == 3:
            raise Killed

    monkeypatch.setattr(checkpoints.Checkpoints, "save", killing)
    with pytest.raises(Killed):
        make("stopped")
    assert list(folder.iterdir()) and not list((tmp_path / "stopped").glob("points/*"))
    monkeypatch.setattr(checkpoints.Checkpoints, "save", save)
    lines.clear()
    assert make("stopped") == make("whole")
    assert lines.count("going on after step 3/4") == 1 and not list(folder.iterdir())


def test_a_study_saves_as_often_as_its_config_says(tmp_path, monkeypatch, nano):
    plans, console = [], rich.console.Console(file=io.StringIO())
    monkeypatch.setattr(runner.base_lib, "load_base", lambda *_, **__: nano)

    def make(*arguments):
        plans.append(arguments[-2])
        raise Killed

    monkeypatch.setattr(point, "fit", make)
    for every in (0, 7):
        with pytest.raises(Killed):
            runner.run(grid.parse_config({**CONFIG, "checkpoint_every": every}), tmp_path, console)
    assert plans[0] is None and plans[1].every == 7
    assert plans[1].folder.parent == tmp_path / runner.CHECKPOINTS_FOLDER
