"""The command that searches for short programs."""

import dataclasses
import pathlib

from absl import flags
from ml_collections import config_flags

from sah_jax import errors
from sah_jax.cli import common, studies, study


def search(arguments: list[str]) -> None:
    """Looks for short programs within a budget of runs, among the settings of a config."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "Of one model and task; each of its settings may be made.", flag_values=values)
    flags.DEFINE_string("workdir", None, "Folder for results.jsonl and the points.", flag_values=values)
    flags.DEFINE_integer("runs", 20, "How many programs to make.", lower_bound=1, flag_values=values)
    flags.DEFINE_float("hours", 0.0, "How long at most; 0 for any.", lower_bound=0.0, flag_values=values)
    flags.DEFINE_integer("batch", 2, "Settings at a time.", lower_bound=1, flag_values=values)
    flags.DEFINE_list("targets", [], "Selection scores to reach with few bits.", flag_values=values)
    flags.DEFINE_list(
        "shares", ["0.5", "0.75", "0.9"], "In place of targets: shares of the best score seen so far.",
        flag_values=values)
    flags.DEFINE_string(
        "warm", "", "results.jsonl of another study, whose frontier says what to make first.",
        flag_values=values)
    flags.DEFINE_bool(
        "script_bits", True, "Look for short lengths with the sizes of the reference's scripts, as reports "
        "count them.", flag_values=values)
    flags.DEFINE_bool("report", True, "Write the report at the end.", flag_values=values)
    study.define_metrics(values)
    common.parse(search, values, arguments, [])
    if values.config is None or values.workdir is None:
        raise errors.UserError("--config and --workdir are both needed; see sah search --help.")
    targets, shares = _numbers(values, "targets"), _numbers(values, "shares")
    from sah_jax.complexity import search_runner
    from sah_jax.reports import tables
    from sah_jax.studies import rows as rows_lib
    from sah_jax.studies import status

    config, workdir, console = study.load_config(values), pathlib.Path(values.workdir), common.console()
    # Again after each batch: where processes of their own make it, it is a study to them.
    tell = lambda: status.write(workdir, dataclasses.asdict(config), values.runs)
    tell()
    warm = rows_lib.read_rows(values.warm) if values.warm else []

    def show(rows, found) -> None:
        tell()
        tables.print_frontier(rows, console, found.targets(), add_script_bits=values.script_bits)

    budget = search_runner.Budget(values.runs, values.hours, values.batch)
    with study.start_metrics(values, workdir, console) as told:
        rows = search_runner.run(
            config, workdir, console, budget, targets, shares, warm, values.script_bits, show, told,
            study.metrics_flags(values))
    console.print(f"{len(rows)} programs made", highlight=False)
    if values.report and rows:
        studies.write_report(values.workdir, console, add_script_bits=values.script_bits)


def _numbers(values: flags.FlagValues, name: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, values[name].value))
    except ValueError as error:
        raise errors.UserError(f"--{name} is {values[name].value}, expected numbers; correct it.") from error
