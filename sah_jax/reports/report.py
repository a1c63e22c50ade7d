"""Writes the report of a study, after checking every row against its program file.

Nothing is reported that the files do not bear out: the size and digest of each program file
and the sum of its ledger must be what its row says.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

from sah_jax import errors
from sah_jax.reports import figures, html, pages, parts, tables
from sah_jax.studies import rows as rows_lib
from sah_jax.studies import sidecar, verification

REPORT_FOLDER = "report"


@dataclasses.dataclass(frozen=True)
class ReportPaths:
    """The files of a report."""

    html: pathlib.Path
    png: pathlib.Path
    pdf: pathlib.Path
    csv: pathlib.Path


def write_report(
    workdir: str | os.PathLike[str], out: str | os.PathLike[str] | None = None, *,
    add_script_bits: bool = True,
) -> ReportPaths:
    """Writes the figure (PNG and PDF), complexity.csv and report.html of a study.

    All files are made before the first of them takes its place, so a failure leaves the
    report that was there.

    Args:
      workdir: the study's folder, which holds results.jsonl and points/.
      out: the folder to write to; WORKDIR/report if None.
      add_script_bits: whether a length counts the script.

    Returns:
      The paths of the files written.

    Raises:
      UserError: if there are no results, a row and its files disagree, or the report cannot be
        written; the sentence names the file.
    """
    workdir = pathlib.Path(workdir)
    results = workdir / rows_lib.RESULTS_NAME
    if not workdir.is_dir():
        raise errors.UserError(
            f"{workdir}: got no folder, expected the folder of a study; correct the path.")
    rows = rows_lib.read_rows(results)
    if not rows:
        raise errors.UserError(
            f"{results}: got no rows, expected at least one point; run the study first.")
    programs = [load_program(workdir, row) for row in rows]

    folder = workdir / REPORT_FOLDER if out is None else pathlib.Path(out)
    paths = ReportPaths(
        html=folder / "report.html", png=folder / "frontier.png", pdf=folder / "frontier.pdf",
        csv=folder / "complexity.csv")
    names = [path.name for path in dataclasses.astuple(paths)]
    with pages.staged(folder, "the report", names) as making:
        table = tables.complexity_table(rows, add_script_bits=add_script_bits)
        figures.frontier_figure(rows, making / paths.png.stem, add_script_bits=add_script_bits)
        tables.write_csv(table, making / paths.csv.name)
        page = html.render(
            workdir.resolve().name, programs, table, (making / paths.png.name).read_bytes(),
            add_script_bits=add_script_bits)
        pages.write_text(making / paths.html.name, page)
    return paths


def load_program(workdir: pathlib.Path, row: rows_lib.Row) -> html.Program:
    """Reads the program file and the sidecar of a row and checks them against it.

    Raises:
      UserError: if one is missing, or the row's length or digest is not the file's, or the
        ledger does not sum to it in every view; the sentence names the file.
    """
    path = workdir / row.program
    content = _read(path, row)
    if 8 * len(content) != row.bits:
        raise errors.UserError(
            f"{path}: got {8 * len(content)} bits, expected the {row.bits} bits that the row of "
            f"point {row.point!r} reports; restore the file or run the point again.")
    digest = hashlib.sha256(content).hexdigest()
    if digest != row.program_sha256:
        raise errors.UserError(
            f"{path}: got a file with sha256 {digest}, expected {row.program_sha256} as the row "
            f"of point {row.point!r} reports; restore the file or run the point again.")

    sidecar_path = path.with_suffix(".json")
    ledger, views, profile, notes = _parse_sidecar(sidecar_path, _read(sidecar_path, row))
    for by, found in {"field": ledger, **views}.items():
        parts.check_sum(found, row.bits, by, sidecar_path)
    if said := verification.row_difference(row, sidecar.read(path)):
        raise errors.UserError(
            f"{workdir / rows_lib.RESULTS_NAME}: the row of point {row.point!r} is not what its sidecar "
            "says: "
            f"{said}; restore the row or run the point again.")
    return html.Program(row, ledger, views, profile, notes)


def _read(path: pathlib.Path, row: rows_lib.Row) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.UserError(
            f"{path}: got {error.strerror or error}, expected a file of point {row.point!r}; "
            "restore the file or run the point again.") from error


def _parse_sidecar(
    path: pathlib.Path, content: bytes
) -> tuple[tuple[parts.Part, ...], dict[str, tuple[parts.Part, ...]], dict[str, Any], dict[str, Any]]:
    """Returns the ledger, its views, the profile and the rest."""
    try:
        record = json.loads(content)
    except ValueError as error:
        raise _bad_sidecar(path, f"text that is not JSON ({error})") from error
    if not isinstance(record, dict):
        raise _bad_sidecar(path, f"a {type(record).__name__}")
    if not isinstance(record.get("ledger"), list):
        raise _bad_sidecar(path, "no list 'ledger'")
    if not isinstance(record.get("profile"), dict):
        raise _bad_sidecar(path, "no object 'profile'")
    views = record.get("views", {})
    if not isinstance(views, dict) or not all(isinstance(view, list) for view in views.values()):
        raise _bad_sidecar(path, "no object of lists 'views'")
    try:
        ledger, *others = (tuple(map(parts.parse, view)) for view in (record["ledger"], *views.values()))
    except ValueError as error:
        raise _bad_sidecar(path, f"the ledger entry {error}") from error
    notes = {key: value for key, value in record.items() if key not in ("ledger", "views", "profile")}
    return ledger, dict(zip(views, others, strict=True)), record["profile"], notes


def _bad_sidecar(path: pathlib.Path, got: str) -> errors.UserError:
    return errors.UserError(
        f"{path}: got {got}, expected a sidecar with a ledger of fields, bits and ideal bits and "
        "a numerics profile; run the point again.")
