"""A listing counts the paper's grid, what is done of a study, and says what the rest will cost."""

import dataclasses
import json
import os
import pathlib

import config_files
import pytest
import row_template

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import hf, hub
from sah_jax.programs import base as family_lib
from sah_jax.programs import registry
from sah_jax.studies import claims, estimates, grid, listing, paper, results, rows, sidecar
from sah_jax.tasks import registry as task_registry

CELLS = {
    # For each group of models: family -> points of a model and task (reference-facts.md, section 4).
    "main": {"baseline": 1, "urial": 1, "icl": 6, "online": 13 * 2 * 3 + 2 + 1, "lora": 2,
             "bayesian_bits": 2 * 2, "combined": 2 * 2},
    "dense": {"lm_head": 1, "full": 2},
    "olmo3_32b": {"baseline": 1, "urial": 1, "icl": 6, "online": 13 * 2 * 3 + 2, "lora": 2,
                  "bayesian_bits": 2 * 2},
    "checkpoints": {"baseline": 1, "urial": 1, "icl": 6, "online": 6 * 2 * 3},
}
MODELS = {"main": 2, "dense": 2, "olmo3_32b": 1, "checkpoints": 14}
GIVEN = {
    "models": ("nano",), "dtype": "float32", "tasks": ("nano_math",),
    "families": {"baseline": ({},), "icl": ({"num_examples": 1}, {"num_examples": 2}),
                 "lora": ({"rank": 1, "learning_rate": 1e-3, "num_examples": 8},)},
    "seeds": (0, 1), "num_selection": 4, "num_test": 4, "selection": "selection", "check": False}


@pytest.fixture
def offline(monkeypatch):
    """No model of the hub is here, and none can be had."""
    def snapshot(repo, revision, weights):
        raise errors.UserError(f"{repo}: the hub cannot be reached")

    monkeypatch.setattr(hub, "snapshot", snapshot)


def _paper(name: str, task: str) -> grid.StudyConfig:
    return listing.parse(config_files.load(config_files.CONFIGS / "paper" / f"{name}.py", task))


@pytest.mark.parametrize("task", paper.SCALES)
@pytest.mark.parametrize("name", CELLS)
def test_the_grid_is_the_paper_s(name, task, offline):
    found = listing.list_points(_paper(name, task))
    assert len(found.models) == len({model.model for model in found.models}) == MODELS[name]
    cells = {}
    for group in found.groups:
        assert group.point.task == task and all(entry.model == group.model for entry in group.entries)
        cells.setdefault(group.model.model, {})[group.point.family] = len(group.entries)
    assert [*cells.values()] == [CELLS[name]] * MODELS[name]
    assert found.devices == 4


def test_the_settings_are_the_paper_s():
    config = _paper("main", "gsm8k")
    coded = [one for one in config.families["online"] if one["optimizer"] == "adam"]
    whole = paper.SCALES["gsm8k"].full_set
    assert {(one["num_examples"], one["learning_rate"], one["epochs"]) for one in coded} == {
        *((8 * 2**power, rate, passes)
          for power in range(13) for rate in (1e-4, 1e-5) for passes in (1, 2, 3)),
        (whole, 1e-4, 3), (whole, 1e-5, 3)}
    assert all((one["rank"], one["alpha"], one["batch_size"]) == (8, 8, 8) for one in coded)
    (first,) = [one for one in config.families["online"] if one["optimizer"] == "adamw"]
    assert (first["num_examples"], first["learning_rate"], first["epochs"]) == (2048, 1e-4, 1)
    assert {(one["steps"], one["coded_examples"], one["learning_rate"]) for one in
            config.families["combined"]} == {(g, 8 * g, rate) for g in (8, 32) for rate in (1e-4, 1e-5)}
    assert {(one["rank"], one["scale_rate"]) for one in config.families["bayesian_bits"]} == {
        (rank, rate) for rank in (1, 2) for rate in (1e-2, 2e-3)}
    assert {(one["rank"], one["alpha"], one["bits_per_weight"], one["learning_rate"])
            for one in config.families["lora"]} == {(1, 8, 16, 1e-4), (1, 8, 16, 1e-5)}


@pytest.mark.parametrize("only, labels", [
    ("icl", ["icl(num_examples=1)", "icl(num_examples=1) seed 1", "icl(num_examples=2)",
             "icl(num_examples=2) seed 1"]),
    ("nano-chat nano_math icl(num_examples=2) seed", ["icl(num_examples=2) seed 1"]),
    ("baseline", ["baseline()", "baseline() seed 1"])])
def test_only_what_is_named_is_listed(only, labels):
    config = listing.parse({**GIVEN, "models": ("nano", "nano-chat")})
    found = listing.list_points(config, only=only)
    models = ["nano-chat"] if "chat" in only else ["nano", "nano-chat"]
    assert [model.name for model in found.models] == models
    assert [entry.point.label() for entry in found.whole.entries] == labels * len(models)
    # The points that a study would make of it.
    assert sorted((model, point.label()) for model in config.models for point in grid.points(config)
                  if point.matches(only, model)) == sorted(
        (entry.model.name, entry.point.label()) for entry in found.whole.entries)


def test_what_stands_for_no_point_is_named():
    with pytest.raises(errors.UserError, match="no model, task and setting of a point holds 'icl x'"):
        listing.list_points(listing.parse(GIVEN), only="icl x")


def test_models_that_are_not_here_are_said_and_counted(offline):
    found = listing.list_points(listing.parse({**GIVEN, "models": ("org/name@v1", "nano")}))
    missing, here = found.models
    assert not missing.here and missing.spec is None and "cannot be reached" in missing.problem
    assert here.here and here.device_bytes == 4 * here.spec.num_params
    assert found.whole.cost() is None and len(found.whole.entries) == 2 * 8
    assert {group.cost() is None for group in found.groups if group.model == missing} == {True}


def test_a_model_without_weights_is_not_here(tmp_path):
    spec = base_lib.hf_config.read(base_lib.SHIPPED / "nano")
    (tmp_path / "config.json").write_text(json.dumps(hf.hf_config.to_hf(spec)))
    (found,) = listing.list_points(listing.parse({**GIVEN, "models": (str(tmp_path),)})).models
    assert found.spec == spec and not found.here
    (drawn,) = listing.list_points(listing.parse({**GIVEN, "models": (f"{tmp_path}#step0-seed1",)})).models
    assert drawn.here  # its weights are drawn


def test_what_is_wrong_besides_models_and_devices_is_an_error():
    assert listing.parse({**GIVEN, "mesh": {"data": 64, "fsdp": 1}}).mesh == "data=64,fsdp=1,tensor=1"
    assert listing.parse({**GIVEN, "mesh": "data=64"}).mesh == "data=64"  # what is left is not known here
    for change, said in (
            ({"models": ()}, "expected a tuple of at least one"), ({"models": None}, "'models' is None"),
            ({"mesh": "rows=2"}, "the mesh is 'rows=2'"), ({"mesh": 3}, "config key 'mesh' is 3"),
            ({"families": {"icl": ({"num_example": 1},)}}, "'num_example' is not one of")):
        with pytest.raises(errors.UserError, match=said):
            listing.parse({**GIVEN, **change})
    with pytest.raises(errors.UserError, match="the chip is 'v1', expected one of v5e"):
        listing.list_points(listing.parse(GIVEN), chip="v1")


def _write(workdir: pathlib.Path, config: grid.StudyConfig, point: grid.Point, **changes) -> rows.Row:
    """Leaves a program in a workdir; returns its row."""
    name = point.name(config, "nano", "abc")
    folder = workdir / "points" / name
    folder.mkdir(parents=True)
    (folder / sidecar.PROGRAM_NAME).write_bytes(name.encode())
    given = dict(
        experiment_name=point.family, dataset_name=point.task, model_name="nano", seed=point.seed,
        strategy_hparams=point.setting, point=name, program=f"points/{name}/{sidecar.PROGRAM_NAME}",
        program_sha256=sidecar.file_digest(name.encode()), base_digest="abc")
    return dataclasses.replace(row_template.TEMPLATE, **given | changes)


def test_done_pending_claimed_and_failed_points_are_counted(tmp_path):
    config = grid.parse_config(GIVEN)
    points = {point.label(): point for point in grid.points(config)}
    made = [_write(tmp_path, config, points[label]) for label in (
        "baseline()", "icl(num_examples=1)", "icl(num_examples=1) seed 1", "icl(num_examples=2)")]
    (tmp_path / made[2].program).unlink()
    refuted = dataclasses.replace(made[3], verified=False)
    other = dataclasses.replace(config, num_test=5)
    elsewhere = _write(tmp_path, other, points["icl(num_examples=2) seed 1"])
    rows.write_rows(tmp_path / rows.RESULTS_NAME, [*made[:3], refuted, elsewhere])
    lora = next(point for point in points.values() if point.family == "lora")
    rows.write_rows(tmp_path / results.PENDING_NAME, [_write(tmp_path, config, lora)])
    results.change(tmp_path, lambda files: files.failed.update({
        points["icl(num_examples=2)"].name(config, "nano", "abc"): ("why", "mark")}))
    held = claims.Claims(tmp_path)
    assert held.take([dataclasses.replace(lora, seed=1).name(config, "nano", "abc")])
    try:
        found = listing.list_points(config, tmp_path)
    finally:
        held.close()
    counts = {group.point.family: (*map(group.count, listing.STATES), group.claimed, group.failed)
              for group in found.groups}
    assert counts == {"baseline": (1, 0, 1, 0, 0), "icl": (1, 0, 3, 0, 1), "lora": (0, 1, 1, 1, 0)}
    done = [entry.point for entry in found.whole.entries if entry.state == listing.DONE]
    assert done == [points["baseline()"], points["icl(num_examples=1)"]]
    assert found.whole.cost((listing.MISSING,)).training < found.whole.cost().training


def test_a_listing_writes_nothing_and_wants_no_folder(tmp_path):
    listing.list_points(grid.parse_config(GIVEN), tmp_path / "none")
    assert not os.listdir(tmp_path)


def _cost(name: str, setting: dict) -> estimates.Cost:
    parsed = family_lib.parse_setting(registry.get_family(name), setting)
    spec = base_lib.hf_config.read(base_lib.SHIPPED / "nano")
    return estimates.of_setting(parsed, spec, task_registry.get_task("nano_math"), 8)


def test_costs_grow_with_examples_and_are_proportional_to_passes():
    online_of = lambda size, passes: _cost(
        "online", {"num_examples": size, "learning_rate": 1e-3, "epochs": passes})
    costs = [online_of(size, 1) for size in (8, 16, 64, 1024)]
    assert [cost.training for cost in costs] == sorted({cost.training for cost in costs})
    assert online_of(64, 3).training == 3 * online_of(64, 1).training
    assert online_of(64, 3).coding == online_of(64, 1).coding > 0  # later passes code nothing
    fit = {"rank": 1, "learning_rate": 1e-3, "num_examples": 64}
    lora, longer = _cost("lora", fit), _cost("lora", fit | {"epochs": 4})
    assert longer.training == 4 * lora.training and longer.scoring == lora.scoring > 0
    assert _cost("lora", fit | {"num_examples": 65}).training > lora.training  # a batch more
    both = _cost("icl+lora", {"icl": {"num_examples": 1}, "lora": fit})
    # Each row begins with the prompt's example.
    assert both.training == 2 * lora.training and both.scoring == lora.scoring
    assert _cost("baseline", {}).training == 0
    phases = fit | {"coded_examples": 64, "data_rate": 1e-3}
    del phases["rank"]
    assert _cost("combined", phases).training > lora.training and _cost("combined", phases).coding > 0


def test_hours_are_those_of_the_operations_at_the_stated_utilisation():
    chip = listing.topologies.CHIPS["v5p"]
    hour = int(3600 * chip.flops)
    assert estimates.Cost(training=hour).hours(chip) == pytest.approx(1 / estimates.TRAINING_UTILISATION)
    assert estimates.Cost(coding=hour).hours(chip) > estimates.Cost(training=hour).hours(chip)


def test_estimates_are_near_what_finished_rows_have_counted():
    near = set()
    for line in (config_files.CONFIGS.parent / "docs" / "programs.jsonl").read_text().splitlines():
        row = json.loads(line)
        counted = row["train_flops"] + row["decode_flops"]
        cost = _cost(row["experiment_name"], row["strategy_hparams"])
        if cost.training:
            assert counted / 2 < cost.training + cost.coding < 2 * counted, row["point"]
            near.add(row["experiment_name"])
    assert near > {"lora", "bayesian_bits", "online", "combined", "full", "lm_head"}
