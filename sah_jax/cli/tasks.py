"""Commands on tasks: data, score."""

import json
import math

from absl import flags

from sah_jax import errors
from sah_jax.cli import common


def data(arguments: list[str]) -> None:
    """Prepares a data set, from local files or from where it is published, and says what it holds.

    NAME is esnli, flores, gsm8k, ifeval, ifeval_train, metamathqa or nllb.
    """
    values = flags.FlagValues()
    flags.DEFINE_string(
        "manual_dir", None, "Folder with the source's files; default: $SAH_MANUAL_DIR, else download.",
        flag_values=values)
    flags.DEFINE_string(
        "data_dir", None, "Folder for prepared data sets; default: $SAH_DATA_DIR, else where TFDS has them.",
        flag_values=values)
    (name,) = common.parse(data, values, arguments, ["NAME"])
    from sah_jax.tasks import datasets

    say = lambda line: print(line, flush=True)
    folder = datasets.prepare(name, values.data_dir, values.manual_dir, say)
    for split, rows in datasets.splits(folder).items():
        say(f"{split}: {len(rows):,} rows, {rows.num_bytes:,} bytes, {rows.left_out:,} left out")
    say(f"{name}: {folder}")


def score(arguments: list[str]) -> None:
    """Scores stored predictions of a task's test items: every metric with its standard error.

    A line of the file is a JSON object with "response" and either "index", the test item's number from
    0, or "prompt", its text with or without the task's template.
    """
    values = flags.FlagValues()
    flags.DEFINE_string(
        "task", None, "Task, with its options: flores or gsm8k:reference.", flag_values=values)
    flags.DEFINE_string("predictions", None, "File of predictions, JSON lines.", flag_values=values)
    flags.DEFINE_integer(
        "num", None, "Only the first so many test items are asked for; default: all.", lower_bound=1,
        flag_values=values)
    flags.DEFINE_bool("reference", False, "By the reference's rules.", flag_values=values)
    flags.DEFINE_bool("json", False, "Print one JSON object.", flag_values=values)
    common.parse(score, values, arguments, [])
    if values.task is None or values.predictions is None:
        raise errors.UserError("--task and --predictions are both needed; see sah score --help.")
    from sah_jax.tasks import predictions, registry

    reference = f"{',' if ':' in values.task else ':'}reference" if values.reference else ""
    task = registry.get_task(values.task + reference)
    found = predictions.score(task, values.predictions, values.num)
    if values.json:
        print(json.dumps({
            "task": task.name, "num_scored": found.score.num_scored,
            "metrics": {
                name: {"value": one.value, "stderr": None if math.isnan(one.stderr) else one.stderr,
                       "num": one.num}
                for name, one in found.score.metrics.items()},
            "missing": found.missing, "unknown_lines": found.unknown}))
        return
    print(f"{task.name}: {found.score.num_scored:,} test items scored")
    for name, one in found.score.metrics.items():
        print(f"  {name:24} {one.value:9.4f} ± {one.stderr:.4f}  over {one.num:,}")
    for what, numbers in (
            ("items without a prediction", found.missing), ("lines of no test item", found.unknown)):
        if numbers:
            print(f"{len(numbers):,} {what}: {', '.join(map(str, numbers))}")
