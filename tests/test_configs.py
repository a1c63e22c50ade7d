"""Every config of the repository loads, and every setting in it is one of its family."""

import pytest
from config_files import CONFIGS, load

from sah_jax import errors
from sah_jax.models import sources
from sah_jax.studies import grid, listing, paper

PATHS = sorted(CONFIGS.rglob("*.py"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_config_in_the_repository_is_valid(path):
    given = load(path)
    shipped = all((sources.SHIPPED / model).is_dir() for model in given["models"])
    # Of the others, models and devices need not be here.
    config = (grid.parse_config if shipped else listing.parse)(given)
    points = list(grid.points(config))
    assert points and all(points.count(point) == 1 for point in points)


@pytest.mark.parametrize("task", [*paper.SCALES, "gsm8k:reference", "ifeval:reference"])
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("paper/*.py")), ids=lambda path: path.stem)
def test_a_config_of_the_paper_takes_each_task(path, task):
    config = listing.parse(load(path, task))
    assert config.tasks == (task,) and config.num_test == paper.SCALES[task.partition(":")[0]].num_test
    for settings in config.families.values():
        for setting in settings:
            assert setting.get("max_tokens", 0) in (0, 128 if task == "flores" else 500)


def test_a_task_that_the_paper_does_not_have_is_an_error():
    with pytest.raises(errors.UserError, match="the task is 'esnli', expected one of gsm8k, flores, ifeval"):
        load(CONFIGS / "paper" / "main.py", "esnli")


@pytest.mark.parametrize("name", ["ladder", "main", "checkpoints"])
def test_nano_configs_take_a_folder_of_models(name):
    given = load(CONFIGS / "nano" / f"{name}.py", "out/family")
    assert all(model.startswith("out/family/nano") for model in given["models"])
    assert [f"out/family/{model}" for model in load(CONFIGS / "nano" / f"{name}.py")["models"]] == [
        *given["models"]]
