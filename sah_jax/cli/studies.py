"""Commands on whole studies: study, report, verify, rebuild."""

import json
import pathlib

from absl import flags
from ml_collections import config_flags

from sah_jax import errors
from sah_jax.cli import common


def study(arguments: list[str]) -> None:
    """Runs a study: every point of a config is fitted, written, scored and verified."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "The study, such as configs/demo.py.", flag_values=values)
    flags.DEFINE_string("workdir", None, "Folder for results.jsonl and the points.", flag_values=values)
    flags.DEFINE_string(
        "only", "", "make: leave the points pending, for sah verify.", flag_values=values)
    flags.DEFINE_bool("report", True, "Write the report when the study is finished.", flag_values=values)
    common.parse(study, values, arguments, [])
    if values.config is None or values.workdir is None:
        raise errors.UserError("--config and --workdir are both needed; see sah study --help.")
    workdir = pathlib.Path(values.workdir)
    if values.only not in ("", "make"):
        raise errors.UserError(f"--only is {values.only!r}, expected make, or nothing for the whole study.")
    from sah_jax.studies import phases, rows

    console, failures = common.console(), []
    if not values.only and phases.needed():
        first, failures = phases.run(arguments, workdir, console)
    else:
        first = _make(values, workdir, console, failures)
    # Also where some points failed: the others are there.
    if values.report and first and not values.only and (workdir / rows.RESULTS_NAME).is_file():
        _report(values.workdir, console, script_bits=False)
    if failures:
        raise errors.UserError(failures[0] if len(failures) == 1 else (
            f"{len(failures)} failures, the first: {failures[0]}"))


def _make(values: flags.FlagValues, workdir: pathlib.Path, console, failures: list[str]) -> bool:
    """Makes a study's points, and tells what failed; returns whether this process is the first of its job."""
    import rich.console

    from sah_jax import hosts
    from sah_jax.studies import fresh

    fresh.end_with_parent()
    hosts.initialize()
    from sah_jax.studies import grid, runner

    try:
        given = values.config.to_dict()
    except Exception as error:  # a config that failed to load says so when it is used
        raise errors.UserError(f"--config: {common.one_line(error)}; correct the config.") from error
    config = grid.parse_config(given)
    if not hosts.is_first():
        console = rich.console.Console(quiet=True)
    try:
        runner.run(config, workdir, console, verify=not values.only)
    except errors.UserError as error:
        failures.append(str(error))
    return hosts.is_first()


def report(arguments: list[str]) -> None:
    """Writes figure, table and HTML page of a study's folder, and prints the tables."""
    values = flags.FlagValues()
    flags.DEFINE_bool(
        "script_bits", False, "Add the sizes of the reference's scripts to the lengths.", flag_values=values)
    (workdir,) = common.parse(report, values, arguments, ["WORKDIR"])
    _report(workdir, common.console(), values.script_bits)


def _report(workdir: str, console, script_bits: bool) -> None:
    from sah_jax.reports import report as report_lib
    from sah_jax.reports import tables
    from sah_jax.studies import rows

    paths = report_lib.write_report(workdir, add_script_bits=script_bits)
    found = rows.read_rows(pathlib.Path(workdir) / rows.RESULTS_NAME)
    tables.print_results(found, console, add_script_bits=script_bits)
    tables.print_complexity(found, console, add_script_bits=script_bits)
    console.print(f"report: {paths.html.resolve()}", soft_wrap=True, highlight=False)


def verify(arguments: list[str]) -> None:
    """Rebuilds programs in fresh processes and compares digest, length, ledger and score.

    Of a study, points that `sah study --only=make` left pending become rows. In a job of several
    hosts, each runs this command; the first one's files count.
    """
    values = flags.FlagValues()
    flags.DEFINE_string(
        "model", "", "Base model; default: where the sidecar says it was.", flag_values=values)
    (target,) = common.parse(verify, values, arguments, ["WORKDIR_OR_PROGRAM"])
    from sah_jax import hosts
    from sah_jax.studies import phases, rows, runner, sidecar, verification

    path, console = pathlib.Path(target), common.console()
    programs, row_of, refuted = [path], {}, []
    # Of a job, the other hosts need not have the folder.
    if path.is_dir() or (hosts.in_job() and not path.exists()):
        first, found, settled = phases.verify_pending(path, console)
        refuted += found.failed.values()
        programs = sorted(path.glob(f"{runner.POINTS_FOLDER}/[!.]*/{sidecar.PROGRAM_NAME}"))
        if first and not programs:
            raise errors.UserError(
                f"{path}: holds no points/*/{sidecar.PROGRAM_NAME}; give a study's workdir or a program.")
        if first:
            row_of = {path / row.program: row for row in rows.read_rows(path / rows.RESULTS_NAME)}
        programs = sorted({*programs, *row_of} - set(settled))

    def tell(number: int, verdict: verification.Verdict) -> None:
        program = programs[number]
        said = verdict.reason or _row_difference(program, row_of.get(program))
        print(f"{program}: {said or 'verified'}", flush=True)
        if said:
            refuted.append(f"{program}: {said}")

    if hosts.in_job():
        verification.verify_together(
            [(values.model, program) for program in programs], tell,
            hosts.job_environment(phases.VERIFY_AGAIN))
    else:
        # Each in a process of its own, under its own profile.
        for number, program in enumerate(programs):
            tell(number, verification.verify(values.model, program))
    if refuted:
        raise errors.UserError(f"{len(refuted)} programs were not verified, the first is {refuted[0]}")


def _row_difference(program: pathlib.Path, row) -> str:
    """Says where the row of a verified program, if there is one, is not what its sidecar says."""
    from sah_jax.studies import sidecar, verification

    return verification.row_difference(row, sidecar.read(program)) if row else ""


def rebuild(arguments: list[str]) -> None:
    """Decodes and scores the programs of a folder, prints JSON; what `sah verify` runs in a fresh process."""
    (folder,) = common.parse(rebuild, flags.FlagValues(), arguments, ["FOLDER"])
    from sah_jax import hosts
    from sah_jax.studies import fresh

    fresh.end_with_parent()
    hosts.initialize()
    from sah_jax.studies import rebuild as rebuild_lib
    from sah_jax.studies import verification

    if hosts.is_first():
        print(f"{verification.MARK}{{}}", flush=True)
    for found in rebuild_lib.rebuild_all(pathlib.Path(folder)):
        if hosts.is_first():
            print(verification.MARK + json.dumps(found), flush=True)
