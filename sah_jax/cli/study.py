"""The command that runs a study."""

import dataclasses
import functools
import pathlib

from absl import flags
from ml_collections import config_flags

from sah_jax import errors
from sah_jax.cli import common, studies

_PHASES = ("", "make")
_LAUNCH_FLAGS = ("launcher", "launcher_options")  # not for the processes that are started


def study(arguments: list[str]) -> None:
    """Runs a study: every point of a config is fitted, written, scored and verified."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "The study, such as configs/demo.py.", flag_values=values)
    flags.DEFINE_string("workdir", None, "Folder for results.jsonl and the points.", flag_values=values)
    flags.DEFINE_bool("list", False, "Show the points, what is done and what they cost; run none.",
                      flag_values=values)
    flags.DEFINE_bool("dry_run", False, "Show every point that would be made; run none.", flag_values=values)
    flags.DEFINE_string("only", "", "Make the points alone whose model, task or setting holds this text.",
                        flag_values=values)
    flags.DEFINE_enum(
        "phase", "", _PHASES, "make: leave the points pending, for sah verify.", flag_values=values)
    flags.DEFINE_string(
        "launcher", "", "local:N or slurm:N: start N processes that work on it together.",
        flag_values=values)
    flags.DEFINE_string(
        "launcher_options", "", "Of Slurm: partition=gpu,timeout_min=600,gpus_per_node=1 as submitit calls "
        "them, slurm_NAME for others of sbatch.", flag_values=values)
    flags.DEFINE_float(
        "lease", 120.0, "Seconds after which other hosts take over from a process that shows no sign of "
        "life.", lower_bound=1.0, flag_values=values)
    flags.DEFINE_bool("report", True, "Write the report when the study is finished.", flag_values=values)
    define_metrics(values)
    common.parse(study, values, arguments, [])
    if values.config is None or (values.workdir is None and not values.list):
        raise errors.UserError("--config and --workdir are both needed; see sah study --help.")
    workdir = pathlib.Path(values.workdir) if values.workdir else None
    if values.list or values.dry_run:
        _list(values, workdir)
        return
    from sah_jax.studies import phases, rows

    console, failures = common.console(), []
    if values.launcher:
        first = _launch(values, arguments, workdir, console, failures)
    elif not values.phase and phases.needed():
        first, failures = phases.run(arguments, workdir, console, values.lease)
    else:
        first = _make(values, workdir, console, failures)
    told = failures if len(failures) < 2 else [f"{len(failures)} failures, the first: {failures[0]}"]
    # Also where some points failed: the others are there.
    if values.report and first and not values.phase and (workdir / rows.RESULTS_NAME).is_file():
        try:
            studies.write_report(values.workdir, console)
        except errors.UserError as error:
            told = [*told, f"the report was not written: {error}"]
    if told:
        raise errors.UserError("; ".join(told))


def _list(values: flags.FlagValues, workdir: pathlib.Path | None) -> None:
    from sah_jax.reports import listing as printing
    from sah_jax.studies import listing

    config = listing.parse(_given(values))
    printing.print_listing(
        listing.list_points(config, workdir, only=values.only), common.console(), every_point=values.dry_run)


def _launch(
    values: flags.FlagValues, arguments: list[str], workdir: pathlib.Path, console, failures: list[str]
) -> bool:
    """Starts the processes, shows how far they are until all have ended, and tells what failed."""
    from sah_jax.cli import INTERRUPTED
    from sah_jax.studies import launchers, wandb_runs
    from sah_jax.studies import status as status_lib

    kind, number = launchers.parse(values.launcher)
    options = launchers.parse_options(values.launcher_options)
    # What is wrong is said here, not in each process's log.
    load_config(values)
    if values.wandb:
        wandb_runs.check()
    kept = _without(arguments, _LAUNCH_FLAGS)
    processes = launchers.start(kind, number, ["study", *kept, "--noreport"], workdir, options)
    try:
        studies.watch(workdir, console, lambda found: processes.running() > 0)
    except KeyboardInterrupt:
        cancel = processes.stop()
        if not cancel:
            raise
        console.print(
            f"The jobs go on: sah status {workdir} --watch shows how far they are, {cancel} cancels them.",
            soft_wrap=True, highlight=False)
        raise SystemExit(INTERRUPTED) from None
    failed = list(status_lib.read(workdir).failed.values())
    # A process whose points failed ends as one that could not start; the points are told themselves.
    failures += processes.failures((0, errors.EXIT_CODE) if failed else (0,)) + failed
    return True


def _without(arguments: list[str], names: tuple[str, ...]) -> list[str]:
    """Returns arguments without some flags, written as --flag=value or --flag value."""
    kept, skip = [], False
    for one in arguments:
        name, equals, _ = one.lstrip("-").partition("=")
        is_flag = one.startswith("-") and name in names
        if not (skip or is_flag):
            kept.append(one)
        skip = is_flag and not equals
    return kept


def _make(values: flags.FlagValues, workdir: pathlib.Path, console, failures: list[str]) -> bool:
    """Makes a study's points, and tells what failed; returns whether this process is the first of its job."""
    import rich.console

    from sah_jax import hosts
    from sah_jax.studies import fresh

    fresh.end_with_parent()
    hosts.initialize()
    from sah_jax.studies import grid, runner, status

    config = load_config(values)
    if not hosts.is_first():
        console = rich.console.Console(quiet=True)
    total = len(config.models) * sum(1 for _ in grid.points(config))
    try:
        hosts.from_first(lambda: status.write(workdir, dataclasses.asdict(config), total))
        with start_metrics(values, workdir, console) as metrics:
            runner.run(
                config, workdir, console, verify=not values.phase, lease_s=values.lease, only=values.only,
                metrics=metrics)
    except errors.UserError as error:
        failures.append(str(error))
    return hosts.is_first()


def define_metrics(values: flags.FlagValues) -> None:
    """Defines the flags that `start_metrics` takes."""
    flags.DEFINE_bool(
        "metrics", True, "Write losses and results for TensorBoard, to the workdir's folder metrics.",
        flag_values=values)
    flags.DEFINE_string(
        "wandb", "", "A project of W&B, or ENTITY/PROJECT, that losses and results are sent to as well.",
        flag_values=values)


def metrics_flags(values: flags.FlagValues) -> list[str]:
    """Returns the flags that `define_metrics` defined, for another process."""
    return [f"--metrics={values.metrics}", f"--wandb={values.wandb}"]


def start_metrics(values: flags.FlagValues, workdir: pathlib.Path, console):
    """Returns the metrics that flags ask for; of a job of several hosts, the first alone has any.

    Raises:
      UserError: W&B is asked for and cannot be used.
    """
    from sah_jax import hosts
    from sah_jax.studies import event_files, metrics, wandb_runs

    if values.wandb:
        hosts.from_first(wandb_runs.check)
    if not hosts.is_first():
        return metrics.Metrics()
    say = functools.partial(console.print, highlight=False, markup=False, soft_wrap=True)
    writers = [event_files.EventFiles(workdir / event_files.FOLDER)] if values.metrics else []
    if values.wandb:
        writers.append(wandb_runs.WandbRuns(workdir, values.wandb, say))
    return metrics.Metrics(writers, say)


def load_config(values: flags.FlagValues):
    """Returns the study's config, checked."""
    from sah_jax.studies import grid

    return grid.parse_config(_given(values))


def _given(values: flags.FlagValues) -> dict:
    """Returns what a config file says."""
    try:
        return values.config.to_dict()
    except Exception as error:  # a config that failed to load says so when it is used
        raise errors.UserError(f"--config: {common.one_line(error)}; correct the config.") from error
