"""Commands on whole studies: study, report, verify, rebuild."""

import json
import pathlib
import sys

from absl import flags
from ml_collections import config_flags

from sah_jax import errors
from sah_jax.cli import common


def study(arguments: list[str]) -> None:
    """Runs a study: every point of a config is fitted, written, scored and verified."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "The study, such as configs/demo.py.", flag_values=values)
    flags.DEFINE_string("workdir", None, "Folder for results.jsonl and the points.", flag_values=values)
    flags.DEFINE_bool("report", True, "Write the report when the study is finished.", flag_values=values)
    common.parse(study, values, arguments, [])
    if values.config is None or values.workdir is None:
        raise errors.UserError("--config and --workdir are both needed; see sah study --help.")
    from sah_jax.training import distributed

    if distributed.initialize():
        distributed.check_one_host()
    from sah_jax.studies import grid, runner

    console = common.console()
    try:
        given = values.config.to_dict()
    except Exception as error:  # a config that failed to load says so when it is used
        raise errors.UserError(f"--config: {common.one_line(error)}; correct the config.") from error
    workdir = pathlib.Path(values.workdir)
    config = grid.parse_config(given)
    try:
        runner.run(config, workdir, console)
    finally:
        # Also where some points failed: the others are there.
        if values.report and sys.exc_info()[0] in (None, errors.UserError) and (
                workdir / runner.RESULTS_NAME).is_file():
            _report(values.workdir, console, script_bits=False)


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
    from sah_jax.studies import rows, runner

    paths = report_lib.write_report(workdir, add_script_bits=script_bits)
    found = rows.read_rows(pathlib.Path(workdir) / runner.RESULTS_NAME)
    tables.print_results(found, console, add_script_bits=script_bits)
    tables.print_complexity(found, console, add_script_bits=script_bits)
    console.print(f"report: {paths.html.resolve()}", soft_wrap=True, highlight=False)


def verify(arguments: list[str]) -> None:
    """Rebuilds programs in fresh processes and compares digest, length, ledger and score."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "model", None, "Base model; default: where the sidecar says it was.", flag_values=values)
    (target,) = common.parse(verify, values, arguments, ["WORKDIR_OR_PROGRAM"])
    from sah_jax.studies import rows, runner, sidecar

    path = pathlib.Path(target)
    programs, row_of = [path], {}
    if path.is_dir():
        programs = sorted(path.glob(f"{runner.POINTS_FOLDER}/*/{sidecar.PROGRAM_NAME}"))
        if not programs:
            raise errors.UserError(
                f"{path}: holds no points/*/{sidecar.PROGRAM_NAME}; give a study's workdir or a program.")
        row_of = {path / row.program: row for row in rows.read_rows(path / runner.RESULTS_NAME)}
    refuted = []
    for program in sorted({*programs, *row_of}):
        verdict = _verdict(program, row_of.get(program), values.model)
        print(f"{program}: {'verified' if verdict.verified else verdict.reason}", flush=True)
        refuted += [] if verdict.verified else [f"{program}: {verdict.reason}"]
    if refuted:
        raise errors.UserError(f"{len(refuted)} programs were not verified, the first is {refuted[0]}")


def _verdict(program: pathlib.Path, row, model: str | None):
    """Returns the verdict on a program and, where there is one, its row."""
    from sah_jax.studies import sidecar, verification

    try:
        record = sidecar.read(program)
        source = model or (record["base"]["source"] if record else "")
    except errors.UserError as error:
        return verification.Verdict(False, str(error))
    verdict = verification.verify(source, program)
    said = verification.row_difference(row, record) if row and verdict.verified else ""
    return verification.Verdict(False, said) if said else verdict


def rebuild(arguments: list[str]) -> None:
    """Decodes one program, scores it and prints JSON; what `sah verify` runs in a fresh process."""
    values = flags.FlagValues()
    common.define_model(values, "Base model.")
    flags.DEFINE_string("task", None, "Task to score.", flag_values=values)
    flags.DEFINE_multi_string(
        "score", ["test:64"], "Split and number of items to score; may be repeated.", flag_values=values)
    (program,) = common.parse(rebuild, values, arguments, ["PROGRAM"])
    if values.model is None or values.task is None:
        raise errors.UserError("--model and --task are both needed; see sah rebuild --help.")
    from sah_jax.studies import rebuild as rebuild_lib

    splits = {}
    for given in values.score:
        split, _, num = given.partition(":")
        if not num.isdigit():
            raise errors.UserError(f"--score is {given!r}, expected SPLIT:NUMBER, such as test:64.")
        splits[split] = int(num)
    print(json.dumps(rebuild_lib.rebuild(
        values.model, pathlib.Path(program), values.dtype, values.task, splits, values.mesh, values.remat,
        values.quantization)))
