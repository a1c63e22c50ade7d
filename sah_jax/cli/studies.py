"""Commands on whole studies: report, status, verify, rebuild."""

import json
import pathlib
import time
from collections.abc import Callable

from absl import flags

from sah_jax import errors
from sah_jax.cli import common

_LOOK_EVERY_S = 1.0
_IDLE_S = 60.0
"""So long may nothing happen while a study is watched: what is left may be nobody's, see `--only`."""


def report(arguments: list[str]) -> None:
    """Writes the figures, tables and HTML page of a study's folder, and prints the tables."""
    values = flags.FlagValues()
    flags.DEFINE_bool(
        "script_bits", True, "Add the sizes of the reference's scripts to the lengths.", flag_values=values)
    flags.DEFINE_multi_string(
        "add", [], "Another file of rows to pool with, of a study or as the reference releases them; may be "
        "repeated, and stand alone.", flag_values=values)
    flags.DEFINE_string("out", None, "Folder to write to; default: WORKDIR/report.", flag_values=values)
    flags.DEFINE_list("figures", ["all"], "Which figures, by name.", flag_values=values)
    flags.DEFINE_multi_string(
        "lineage", [], "NAME:RANDOM,PRETRAINED,POSTTRAINED: models that are stages of one, - for one without "
        "rows; may be repeated.", flag_values=values)
    flags.DEFINE_multi_string(
        "rename", [], "OLD=NEW: what a model of rows is called, beside the paper's names for its own; may be "
        "repeated.", flag_values=values)
    workdir = common.parse(report, values, arguments, ["[WORKDIR]"])
    if not workdir and not values.add:
        raise errors.UserError("WORKDIR or --add is needed; see sah report --help.")
    from sah_jax.complexity import lineages
    from sah_jax.reports import figures

    names = figures.NAMES if values.figures == ["all"] else tuple(values.figures)
    if unknown := sorted(set(names) - set(figures.NAMES)):
        raise errors.UserError(
            f"--figures has {unknown[0]!r}, expected all or some of {', '.join(figures.NAMES)}.")
    known = (*lineages.KNOWN, *map(lineages.parse, values.lineage))
    pairs = [one.split("=") for one in values.rename]
    if wrong := ["=".join(pair) for pair in pairs if len(pair) != 2 or not all(pair)]:
        raise errors.UserError(f"--rename is {wrong[0]!r}, expected OLD=NEW; correct it.")
    write_report(
        workdir[0] if workdir else None, common.console(), out=values.out, add=values.add, known=known,
        renamed=dict(pairs), names=names, add_script_bits=values.script_bits,
        say_missing=values.figures != ["all"])


def write_report(
    workdir: str | None, console, *, add_script_bits: bool = True, say_missing: bool = False, **options
) -> None:
    """Writes a report, see `sah_jax.reports.report`, and prints its tables, and why figures are missing."""
    from sah_jax.complexity import lineages
    from sah_jax.reports import report as report_lib
    from sah_jax.reports import tables

    with console.status("") as status:
        found = report_lib.write_report(
            workdir, add_script_bits=add_script_bits, tell=status.update, **options)
    # Of another system's rows there may be thousands.
    own = [row for row in found.rows if not row.reported]
    tables.print_results(own, console, add_script_bits=add_script_bits)
    tables.print_complexity(
        found.rows, console, known=options.get("known", lineages.KNOWN), add_script_bits=add_script_bits)
    missing = [f"{name} is not drawn: {why}" for name, why in found.missing.items()] if say_missing else []
    for said in (*found.doubts, *missing):
        console.print(said, soft_wrap=True, highlight=False, markup=False)
    console.print(f"report: {found.html.resolve()}", soft_wrap=True, highlight=False)


def status(arguments: list[str]) -> None:
    """Shows how far a study is: points, who works on which, the latest, failures.

    With --watch it goes on until every point is made or has failed, or nobody has worked on it for a minute.
    """
    values = flags.FlagValues()
    flags.DEFINE_bool(
        "watch", False, "Go on until every point is made or has failed, or nobody works.", flag_values=values)
    (workdir,) = common.parse(status, values, arguments, ["WORKDIR"])
    console = common.console()
    if values.watch:
        _watch_to_the_end(pathlib.Path(workdir), console)
        return
    from sah_jax.reports import status as page_lib
    from sah_jax.studies import status as status_lib

    console.print(page_lib.page(status_lib.read(pathlib.Path(workdir))))


def _watch_to_the_end(workdir: pathlib.Path, console) -> None:
    """Shows how far a study is until it is finished, or nothing has happened for a while, which is said."""
    before, since, idle = None, time.monotonic(), False

    def goes_on(found) -> bool:
        nonlocal before, since, idle
        if found.working or found != before:
            before, since = found, time.monotonic()
        left = found.verified + len(found.failed) < found.total
        idle = left and not found.working and time.monotonic() - since >= _IDLE_S
        return not idle and (left or bool(found.working))

    watch(workdir, console, goes_on)
    if idle:
        console.print(
            f"Nobody has worked on it for {_IDLE_S:.0f} seconds. sah study or sah search goes on with it.",
            highlight=False, soft_wrap=True)


def watch(workdir: pathlib.Path, console, goes_on: Callable) -> None:
    """Shows how far a study is, until `goes_on` says of what is known of it that this is enough."""
    import rich.live

    from sah_jax.reports import status as page_lib
    from sah_jax.studies import status as status_lib

    with rich.live.Live(console=console, auto_refresh=False) as live:
        while True:
            found = status_lib.read(workdir)
            live.update(page_lib.page(found), refresh=True)
            if not goes_on(found):
                return
            time.sleep(_LOOK_EVERY_S)


def verify(arguments: list[str]) -> None:
    """Rebuilds programs in fresh processes and compares digest, length, ledger and score.

    Of a study, points that `sah study --phase=make` left pending become rows. In a job of several
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
