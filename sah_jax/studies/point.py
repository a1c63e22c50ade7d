"""Making one point: fit, write, score."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from sah_jax import errors, hosts, numerics
from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, registry
from sah_jax.studies import grid, rows, scripts, sidecar, views
from sah_jax.tasks import base as task_lib
from sah_jax.tasks import evaluate, predictions
from sah_jax.tasks import registry as task_registry
from sah_jax.training import checkpoints as checkpoints_lib


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a fit came to.

    Attributes:
      theta: what is coded, or why there is none.
      wall_time_s: the point's share of the time.
      lanes: how many settings the compiled step fitted at once.
    """

    theta: Any
    wall_time_s: float
    lanes: int = 1


def fit(
    config: grid.StudyConfig, base: base_lib.BaseModel, points: Sequence[grid.Point],
    report: family_lib.Report, checkpoints: checkpoints_lib.Plan | None = None, lanes: int = 1,
) -> list[Fitted]:
    """Fits θ of points that are alike by `grid.groups`, together where there is more than one lane.

    Raises:
      UserError: the setting of a point alone does not suit, or its training diverged.
    """
    started = time.monotonic()
    family, task = registry.get_family(points[0].family), task_registry.get_task(points[0].task)
    for split, num in ((config.selection, config.num_selection), ("test", config.num_test)):
        task.examples(split, num)  # a task that cannot supply them says so before a long fit
    runs = [(family_lib.parse_setting(family, point.setting), point.seed) for point in points]
    if lanes == 1:
        found = [family.fit(setting, base, task, seed, report, checkpoints) for setting, seed in runs]
    else:
        found = family.fit_together(runs, base, task, report, checkpoints, lanes)
    each = (time.monotonic() - started) / len(points)
    return [Fitted(theta, each, lanes) for theta in found]


def finish(
    config: grid.StudyConfig, base: base_lib.BaseModel, point: grid.Point, name: str, folder: pathlib.Path,
    fitted: Fitted, report: family_lib.Report,
) -> rows.Row:
    """Writes and scores a program; returns its row, not verified yet.

    `folder` is written whole: the program file and its sidecar.

    Raises:
      UserError: the fit diverged, or the disk is full.
    """
    started, theta = time.monotonic(), fitted.theta
    if isinstance(theta, errors.UserError):
        raise theta
    family, task = registry.get_family(point.family), task_registry.get_task(point.task)
    setting = family_lib.parse_setting(family, point.setting)
    program = codec.write(family, theta, base, report, check=config.check)
    report("scoring")
    selection, _ = _scored(config, base, program, task, config.selection, config.num_selection)
    test, responses = _scored(config, base, program, task, "test", config.num_test)
    predicted = predictions.write(responses)
    accounts = dataclasses.asdict(family.accounts(setting, theta, base)) | {
        "query_flops": _query_flops(base, program.adapted, task, config.num_test),
        "wall_time_s": round(fitted.wall_time_s + time.monotonic() - started, 3)}
    record = _record(config, base, point, program, task, selection, test, predicted) | {
        "accounts": accounts, "lanes": fitted.lanes,
        sidecar.SAMPLES: predictions.samples(task.examples("test", config.num_test), responses)}
    hosts.from_first(lambda: sidecar.write_folder(folder, program.data, record, predicted))
    return rows.Row(
        experiment_name=program.family, dataset_name=point.task, model_name=base.name,
        performance=test.value, bits=program.bits, seed=point.seed, strategy_hparams=point.setting,
        point=name, program=f"{folder.parent.name}/{folder.name}/{sidecar.PROGRAM_NAME}",
        program_sha256=sidecar.file_digest(program.data), ideal_bits=program.ideal_bits,
        script_bits=scripts.bits(program.family, program.adapted.unchanged), verified=False,
        performance_stderr=test.stderr, num_scored=test.num_scored,
        selection_split=config.selection, selection_performance=selection.value,
        selection_stderr=selection.stderr, selection_num_scored=selection.num_scored,
        numerics_digest=numerics.digest(record["profile"]), adapted_digest=program.adapted.digest(),
        base_digest=base.digest, task_digest=record["scores"]["task_digest"],
        portable=program.adapted.portable, unchanged=program.adapted.unchanged, **accounts)


def _query_flops(base, adapted: family_lib.Adapted, task, num: int) -> int:
    """Returns the operations of running the model over a test item of mean length, its answer included."""
    texts = [example.prompt + example.answer for example in task.examples("test", num)]
    encoded = base.tokenizer.encode_batch(texts, add_special_tokens=False)
    length = 1 + len(adapted.context) + round(sum(map(len, encoded)) / len(encoded))
    return family_lib.forward_flops(base, adapted.program, min(length, base.spec.max_positions))


def _scored(
    config, base, program: codec.Program, task, split: str, num: int
) -> tuple[task_lib.Score, list[str]]:
    """Returns the score of a split, and the responses that are scored."""
    adapted = program.adapted
    responses = evaluate.answered(base, adapted.variables(base), task, split, num, adapted.context)
    return task.score(task.examples(split, num), responses), responses


def _record(config, base, point, program, task, selection, test, predicted: str) -> dict[str, Any]:
    """Returns the sidecar, see `sidecar.read`."""
    widths = program.adapted.widths
    return views.file_record(program, base) | ({"widths": widths} if widths else {}) | {
        "family": program.family,
        "adapted_digest": program.adapted.digest(),
        "portable": program.adapted.portable,
        "unchanged": program.adapted.unchanged,
        "setting": point.setting,
        "seed": point.seed,
        "scores": {
            "task": point.task, "num_test": config.num_test, "performance": test.value,
            "performance_stderr": test.stderr, "selection_split": config.selection,
            "task_digest": task_lib.digest(task, ("test", config.selection)),
            "data": dict(task.data(("test", config.selection))),
            "num_selection": config.num_selection, "selection_performance": selection.value,
            "selection_stderr": selection.stderr,
            "predictions_sha256": sidecar.file_digest(predicted.encode()),
        },
    }
