"""Commands on tasks: data, score, sample, lm_eval."""

import dataclasses
import json
import math
import pathlib

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
    flags.DEFINE_string(
        "against", None, "Another such file: compares the first metric on the items that both predict.",
        flag_values=values)
    flags.DEFINE_integer(
        "num", None, "Only the first so many test items are asked for; default: all.", lower_bound=1,
        flag_values=values)
    flags.DEFINE_bool("reference", False, "By the reference's rules.", flag_values=values)
    flags.DEFINE_bool("json", False, "Print one JSON object.", flag_values=values)
    common.parse(score, values, arguments, [])
    if values.task is None or values.predictions is None:
        raise errors.UserError("--task and --predictions are both needed; see sah score --help.")
    from sah_jax.tasks import predictions, registry

    kind, _, said = values.task.partition(":")
    if values.reference and (kind == "lm_eval" or values.task.endswith(".toml")):
        raise errors.UserError(f"got --reference with {values.task}, which has no reference; leave it out.")
    if values.reference and "reference" not in said.split(","):
        said = f"{said},reference" if said else "reference"
    task = registry.get_task(f"{kind}:{said}" if said else values.task)
    found = predictions.score(task, values.predictions, values.num)
    against = values.against and predictions.compare(task, values.predictions, values.against, values.num)
    data = task.data(("test",))
    or_none = lambda value: None if math.isnan(value) else value
    if values.json:
        print(json.dumps({
            "task": task.name, "data": dict(data), "num_scored": found.score.num_scored,
            "metrics": {
                name: {"value": one.value, "stderr": or_none(one.stderr), "num": one.num}
                for name, one in found.score.metrics.items()},
            "missing": found.missing, "unknown": found.unknown,
            **({"difference": dataclasses.asdict(against) | {"stderr": or_none(against.stderr)}}
               if against else {})}))
        return
    print(f"{task.name}: {found.score.num_scored:,} test items scored")
    for name, digest in data.items():
        print(f"  {name}, SHA-256 {digest[:16]}...")
    for name, one in found.score.metrics.items():
        print(f"  {name:24} {one.value:9.4f} ± {one.stderr:.4f}  over {one.num:,}")
    for what, numbers in (
            ("items without a prediction", found.missing), ("predictions of no test item", found.unknown)):
        if numbers:
            print(f"{len(numbers):,} {what}: {', '.join(map(str, numbers))}")
    if against:
        print(f"less {values.against}, on the {against.num:,} items that both predict:\n"
              f"  {next(iter(found.score.metrics)):24} {against.value:9.4f} ± {against.stderr:.4f}  "
              f"p = {against.p_value:.4f}")


def sample(arguments: list[str]) -> None:
    """Makes training data for ifeval: samples answers from a model and keeps those that verifiers accept.

    PROMPTS has a JSON object a line, with prompt and, unless random ones are to be added,
    instruction_id_list and kwargs as IFEval has them. Put the file into manual_dir as
    ifeval/ifeval_train.jsonl. A stopped run goes on from OUT.partial.
    """
    values = flags.FlagValues()
    common.define_model(values, "Model that answers.")
    flags.DEFINE_string("program", None, "Program that adapts the model.", flag_values=values)
    flags.DEFINE_string("out", None, "File of conversations to write.", flag_values=values)
    flags.DEFINE_integer("num", 6, "Answers sampled for each prompt.", lower_bound=1, flag_values=values)
    flags.DEFINE_float("temperature", 1.0, "Temperature of the sampling.", flag_values=values)
    flags.DEFINE_integer("max_new_tokens", 1280, "Longest answer.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed of added instructions and of the sampling.", flag_values=values)
    (path,) = common.parse(sample, values, arguments, ["PROMPTS"])
    if values.model is None or values.out is None:
        raise errors.UserError("--model and --out are both needed; see sah sample --help.")
    if pathlib.Path(values.out).exists():
        raise errors.UserError(f"{values.out}: is there already; remove it, or choose another file.")
    from sah_jax.tasks import rejection

    prompts = rejection.read_prompts(path, values.seed)
    base, adapted = common.adapted(values)
    settings = {name: values[name].value for name in ("num", "temperature", "max_new_tokens", "seed")}
    log = rejection.Log(pathlib.Path(f"{values.out}.partial"), {
        **settings, "prompts": rejection.digest(prompts), "base": base.digest, "program": adapted.digest()})
    num = sum(map(len, log.rows))
    for rows in rejection.accepted(
            base, adapted.variables(base), prompts, context=adapted.context, first=len(log.rows), **settings):
        log.add(rows)
        num += len(rows)
        print(f"{len(log.rows)}/{len(prompts)} prompts: {num} answers accepted", flush=True)
    lines = [json.dumps(row, ensure_ascii=False) for row in log.accepted()]
    if lines:
        common.write_file(values.out, "".join(f"{line}\n" for line in lines).encode())
    log.path.unlink()
    if not lines:
        raise errors.UserError(
            f"none of {values.num * len(prompts)} answers was accepted, so {values.out} was not written; ask "
            "a stronger model, or sample more.")


def lm_eval(arguments: list[str]) -> None:
    """Runs lm-evaluation-harness, whose arguments these are; --model=sah_jax is a model with a program.

    sah lm_eval run --model=sah_jax --model_args=model=nano,program=FILE --tasks=arc_easy
    """
    from sah_jax.cli import harness

    harness.run(arguments)
