"""Points that are fitted together: which, and that a stopped or partly failed group costs nothing."""

import io

import pytest
import rich.console

from sah_jax import errors
from sah_jax.studies import grid, point, runner
from sah_jax.tasks import base as task_lib

LORA = {"rank": 1, "learning_rate": 5e-3, "num_examples": 8, "batch_size": 4, "max_tokens": 96}
CONFIG = {
    "models": ("nano",), "dtype": "float32", "tasks": ("nano_math",), "seeds": (0, 1),
    "families": {"baseline": ({},), "lora": tuple(LORA | {"learning_rate": rate} for rate in (5e-3, 1e-3))},
    "num_selection": 2, "num_test": 2, "selection": "selection", "check": False,
}


class Killed(BaseException):
    """What nothing on the way catches."""


def _sizes(**changes):
    groups = list(grid.groups(grid.parse_config(CONFIG | changes)))
    points = [one for group in groups for one in group]
    assert sorted(map(str, points)) == sorted(map(str, grid.points(grid.parse_config(CONFIG | changes))))
    return sorted(len(group) for group in groups if group[0].family == "lora")


def test_points_that_differ_in_what_changes_no_shape_are_fitted_together():
    assert _sizes() == [4]
    # 4 rows of 96 tokens a lane.
    assert _sizes(fit_tokens=3 * 384) == [1, 3]
    assert _sizes(fit_tokens=0) == [1, 1, 1, 1] == _sizes(fit_tokens=384)


@pytest.mark.parametrize("change, sizes", [
    ({"alpha": 2, "layers": "0-2", "modules": "q", "rate_weight": 1e-3, "bits_per_weight": 3,
      "order": 1}, [4]),
    ({"rank": 2}, [2, 2]), ({"batch_size": 2}, [2, 2]), ({"bits_per_weight": 16}, [2, 2]),
    ({"num_examples": 9}, [4]), ({"num_examples": 16}, [2, 2])])
def test_other_shapes_and_lengths_are_fitted_apart(change, sizes):
    assert _sizes(families={"lora": (LORA, LORA | change)}) == sizes


def test_a_wrong_number_of_tokens_is_refused():
    with pytest.raises(errors.UserError, match="'fit_tokens' is -1"):
        grid.parse_config(CONFIG | {"fit_tokens": -1})


def _run(workdir, monkeypatch, **changes):
    monkeypatch.setattr(point, "_scored", lambda *_: (task_lib.Score(0.0, 0.0, (0.0, 0.0)), []))
    console = rich.console.Console(file=io.StringIO(), width=200)
    config = grid.parse_config(CONFIG | changes)
    try:
        runner.run(config, workdir, console, verify=False)
    except errors.UserError as error:
        return str(error)
    return ""


def _programs(workdir):
    return {path.parent.name: path.read_bytes() for path in sorted(workdir.glob("points/[!.]*/program.sah"))}


def test_a_killed_group_goes_on_to_the_same_files(tmp_path, monkeypatch):
    _run(tmp_path / "whole", monkeypatch)
    whole, finish, calls = _programs(tmp_path / "whole"), point.finish, []

    def killing(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise Killed
        return finish(*arguments)

    monkeypatch.setattr(point, "finish", killing)
    with pytest.raises(Killed):
        _run(tmp_path / "killed", monkeypatch)
    before = _programs(tmp_path / "killed")
    assert 2 < len(before) < len(whole) == 6
    monkeypatch.setattr(point, "finish", finish)
    _run(tmp_path / "killed", monkeypatch)
    assert _programs(tmp_path / "killed") == whole


def test_a_point_that_diverges_leaves_the_others_of_its_group(tmp_path, monkeypatch):
    settings = tuple(LORA | {"learning_rate": rate, "bits_per_weight": 16} for rate in (1e-3, 1e38, 5e-3))
    said = _run(tmp_path, monkeypatch, families={"lora": settings}, seeds=(0,))
    assert said.startswith("1 of 3 points failed") and "training loss is nan at step 2 of 2" in said
    assert len(_programs(tmp_path)) == 2


def test_a_wrong_setting_leaves_the_others_of_its_group(tmp_path, monkeypatch):
    settings = (LORA, LORA | {"layers": "7"}, LORA | {"alpha": 4})
    said = _run(tmp_path, monkeypatch, families={"lora": settings}, seeds=(0,))
    assert said.startswith("1 of 3 points failed") and "has the layers 0 to 4" in said
    assert len(_programs(tmp_path)) == 2


def test_a_program_of_zeros_is_said_to_be_the_base_model(tmp_path, monkeypatch):
    setting = LORA | {"rate_weight": 1e3, "learning_rate": 1e-4}
    _run(tmp_path, monkeypatch, families={"lora": (setting,)}, seeds=(0,))
    found = runner.results_lib.Results(tmp_path, rich.console.Console(file=io.StringIO()))
    (row,) = found.pending
    assert row.unchanged and row.bits < 80
