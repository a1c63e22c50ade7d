"""Configs are checked before anything runs; points are named by what matters."""

import dataclasses

import pytest

from sah_jax import errors, version
from sah_jax.programs import registry
from sah_jax.studies import grid
from sah_jax.tasks import tabular

GIVEN = {
    "models": ("nano",), "dtype": "float32", "tasks": ("nano_math",),
    "families": {"baseline": ({},), "icl": ({"num_examples": 1}, {"num_examples": 2})},
    "seeds": (0, 1), "num_selection": 4, "num_test": 4, "selection": "selection",
    "check": False,
}


def test_points_are_the_product():
    config = grid.parse_config({**GIVEN, "tasks": ("nano_math", "gsm8k")})
    assert len(list(grid.points(config))) == 2 * 3 * 2


def test_a_task_has_one_name_however_its_options_are_spelled(monkeypatch):
    # No data are at hand, and names want a digest of them.
    monkeypatch.setattr(tabular.TabularTask, "data", lambda self, splits: {})
    given = ("gsm8k:reference,train=gsm8k", "gsm8k:train=gsm8k,reference", "gsm8k:train=metamathqa", "gsm8k")
    config = grid.parse_config({**GIVEN, "tasks": given})
    assert config.tasks == ("gsm8k:train=gsm8k,reference", "gsm8k")
    names = {point.task: point.name(config, "nano", "base") for point in grid.points(config)}
    assert names["gsm8k:train=gsm8k,reference"].startswith("nano.gsm8k-train-gsm8k-reference.")


def test_names_differ_where_anything_that_matters_does():
    config = grid.parse_config(GIVEN)
    names = {point.name(config, "nano", "base") for point in grid.points(config)}
    assert len(names) == 6
    point = next(iter(grid.points(config)))
    others = [
        point.name(config, "nano", "other base"),
        point.name(dataclasses.replace(config, num_test=5), "nano", "base"),
        point.name(dataclasses.replace(config, dtype="bfloat16"), "nano", "base"),
        point.name(dataclasses.replace(config, check=True), "nano", "base"),
        dataclasses.replace(point, seed=9).name(config, "nano", "base")]
    assert len({point.name(config, "nano", "base"), *others}) == 6
    assert point.name(config, "nano", "base") == point.name(grid.parse_config(GIVEN), "nano", "base")


def test_another_version_of_the_package_makes_its_own_points(monkeypatch):
    config = grid.parse_config(GIVEN)
    point = next(grid.points(config))
    own = point.name(config, "nano", "base")
    monkeypatch.setattr(version, "__version__", "0.0.0")
    assert point.name(config, "nano", "base") != own


@pytest.mark.parametrize("change, message", [
    ({"modles": ()}, "'modles' is unknown"),
    ({"models": ()}, "expected a tuple of at least one"),
    ({"num_test": 1}, "integer of at least 2"),
    ({"selection": "train"}, "'selection' is 'train'"),
    ({"tasks": ("nano_chess",)}, "nano_chess"),
    ({"seeds": ("x",)}, "'seeds' is"),
    ({"check": 1}, "'check' is 1, expected True or False"),
    ({"dtype": "float8"}, "'dtype' is 'float8'"),
    ({"models": ("nano", "no-model")}, "no-model: is not a folder"),
    ({"families": ("urial",)}, "'families' is"),
    ({"families": {"magic": ({},)}}, "'magic' is not known"),
    ({"families": {"icl": ({"num_example": 1},)}}, "'num_example' is not one of"),
])
def test_wrong_configs_are_refused(change, message):
    with pytest.raises(errors.UserError, match=message):
        grid.parse_config({**GIVEN, **change})


def test_missing_keys_are_refused():
    for key in GIVEN:
        with pytest.raises(errors.UserError, match=f"'{key}' is missing"):
            grid.parse_config({name: value for name, value in GIVEN.items() if name != key})


def test_a_mesh_is_a_dictionary_or_a_text_and_is_resolved():
    assert grid.parse_config(GIVEN).mesh == ""
    for given in ({"data": 1, "fsdp": -1}, "fsdp=1", {"data": 1, "fsdp": 1, "tensor": 1}):
        assert grid.parse_config({**GIVEN, "mesh": given}).mesh == "data=1,fsdp=1,tensor=1"


def test_points_of_other_data_have_names_of_their_own(monkeypatch):
    config = grid.parse_config(GIVEN)
    points = {point.family: point for point in grid.points(config)}
    task = type(grid.task_registry.get_task(config.tasks[0]))
    changed = []
    monkeypatch.setattr(
        task, "data", lambda self, splits: {one: str(one in changed) for one in splits}, raising=False)
    names = lambda: {family: point.name(config, "nano", "base") for family, point in points.items()}
    before = names()
    changed.append("test")
    assert not set(before.values()) & set(names().values())
    changed[:] = ["train"]
    trained = {family for family, name in names().items() if name != before[family]}
    assert trained == {family for family in points if registry.get_family(family).reads_examples}


def test_points_on_a_mesh_or_with_remat_have_names_of_their_own():
    config = grid.parse_config(GIVEN)
    point = next(iter(grid.points(config)))
    others = [grid.parse_config({**GIVEN, **more}) for more in ({"mesh": "data=1"}, {"remat": "full"})]
    assert len({point.name(one, "nano", "base") for one in (config, *others)}) == 3
    saving = grid.parse_config({**GIVEN, "checkpoint_every": 5})
    assert point.name(saving, "nano", "base") == point.name(config, "nano", "base")


@pytest.mark.parametrize("changes, said", [
    ({"mesh": {"rows": 2}}, "the mesh is 'rows=2', expected sizes of data, fsdp, tensor"),
    ({"mesh": {"fsdp": "x"}}, "the mesh is 'fsdp=x'"), ({"mesh": 3}, "config key 'mesh' is 3"),
    ({"mesh": {"fsdp": 64}}, "of 64 devices, there are"), ({"remat": "some"}, "expected one of none, dots"),
    ({"checkpoint_every": -1}, "'checkpoint_every' is -1"), ({"checkpoint_every": 1.5}, "is 1.5")])
def test_what_no_mesh_or_run_can_be_is_an_error(changes, said):
    with pytest.raises(errors.UserError, match=said):
        grid.parse_config({**GIVEN, **changes})
