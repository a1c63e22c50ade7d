"""Making one point: fit, write, score."""

import pathlib
import time
from typing import Any

from sah_jax import hosts, numerics
from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, registry
from sah_jax.studies import grid, rows, sidecar, views
from sah_jax.tasks import base as task_lib
from sah_jax.tasks import evaluate
from sah_jax.tasks import registry as task_registry
from sah_jax.training import checkpoints as checkpoints_lib

# The sizes of the reference's inference scripts, for curves that are pooled with its own
# (its README, "Script Sizes"); a family it does not have counts none.
SCRIPT_BITS = {"baseline": 2952, "urial": 3704, "icl": 3704, "online": 5704, "lora": 2832}


def make(
    config: grid.StudyConfig, base: base_lib.BaseModel, point: grid.Point, name: str,
    folder: pathlib.Path, report: family_lib.Report, checkpoints: checkpoints_lib.Plan | None = None,
) -> rows.Row:
    """Fits, writes and scores a program; returns its row, not verified yet.

    `folder` is written whole: the program file and its sidecar. Checkpoints are removed after it.

    Raises:
      UserError: the setting does not suit, training diverged, or the disk is full.
    """
    started = time.monotonic()
    family, task = registry.get_family(point.family), task_registry.get_task(point.task)
    setting = family_lib.parse_setting(family, point.setting)
    for split, num in ((config.selection, config.num_selection), ("test", config.num_test)):
        task.examples(split, num)  # a task that cannot supply them says so before a long fit
    theta = family.fit(setting, base, task, point.seed, report, checkpoints)
    program = codec.write(family, theta, base, report, check=config.check)
    report("scoring")
    selection = _score(config, base, program, task, config.selection, config.num_selection)
    test = _score(config, base, program, task, "test", config.num_test)
    record = _record(config, base, point, program, task, selection, test)
    hosts.from_first(lambda: sidecar.write_folder(folder, program.data, record))
    if checkpoints is not None:
        checkpoints.remove()
    return rows.Row(
        experiment_name=point.family, dataset_name=point.task, model_name=base.name,
        performance=test.value, bits=program.bits, seed=point.seed, strategy_hparams=point.setting,
        point=name, program=f"{folder.parent.name}/{folder.name}/{sidecar.PROGRAM_NAME}",
        program_sha256=sidecar.file_digest(program.data), ideal_bits=program.ideal_bits,
        script_bits=SCRIPT_BITS.get(point.family, 0), verified=False,
        performance_stderr=test.stderr, num_scored=test.num_scored,
        selection_split=config.selection, selection_performance=selection.value,
        selection_stderr=selection.stderr, selection_num_scored=selection.num_scored,
        numerics_digest=numerics.digest(record["profile"]), adapted_digest=program.adapted.digest(),
        base_digest=base.digest, task_digest=record["scores"]["task_digest"],
        wall_time_s=round(time.monotonic() - started, 3))


def _score(config, base, program: codec.Program, task, split: str, num: int) -> task_lib.Score:
    adapted = program.adapted
    return evaluate.evaluate(base, adapted.variables(base), task, split, num, adapted.context)


def _record(config, base, point, program, task, selection, test) -> dict[str, Any]:
    """Returns the sidecar, see `sidecar.read`."""
    return views.file_record(program, base) | {
        "family": point.family,
        "adapted_digest": program.adapted.digest(),
        "setting": point.setting,
        "seed": point.seed,
        "scores": {
            "task": point.task, "num_test": config.num_test, "performance": test.value,
            "performance_stderr": test.stderr, "selection_split": config.selection,
            "task_digest": task_lib.digest(task, ("test", config.selection)),
            "data": dict(task.data(("test", config.selection))),
            "num_selection": config.num_selection, "selection_performance": selection.value,
            "selection_stderr": selection.stderr,
        },
    }
