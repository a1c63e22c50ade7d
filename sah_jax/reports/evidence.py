"""Programs as their files bear them out: what a report may say of a row, and no more.

The size and digest of each program file, and the sum of its ledger, must be what its row says, and the
responses beside it those that were scored. Rows that another system reports have no files.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sah_jax import errors
from sah_jax.complexity import frontier, lineages, reported
from sah_jax.reports import html, parts
from sah_jax.studies import rows as rows_lib
from sah_jax.studies import sidecar, verification


@dataclasses.dataclass(frozen=True)
class Pool:
    """The points of a report.

    Attributes:
      programs: those with files, each point once.
      reported: those of other systems.
    """

    programs: tuple[html.Program, ...]
    reported: tuple[reported.ReportedRow, ...]

    @property
    def rows(self) -> list[frontier.Row]:
        """All rows."""
        return [*(program.row for program in self.programs), *self.reported]

    @property
    def parameters(self) -> dict[str, int]:
        """How many parameters models have, where sidecars say it and none says another number."""
        found: dict[str, set[int]] = {}
        for program in self.programs:
            if count := program.notes["base"].get("num_params"):
                found.setdefault(program.row.model_name, set()).add(count)
        return {model: count for model, (count, *others) in found.items() if not others}

    @property
    def widths(self) -> dict[str, Mapping[str, Sequence[int]]]:
        """The bit widths of programs that have such, by their points."""
        return {program.row.point: program.widths for program in self.programs if program.widths}


def read(
    files: Sequence[str | os.PathLike[str]], renamed: Mapping[str, str] = types.MappingProxyType({})
) -> Pool:
    """Reads files of rows: those of studies, with the programs beside them, and those that others release.

    Args:
      files: their paths.
      renamed: what models of rows are called in the report, beside `lineages.PAPER_NAMES`, so that those of
        two sources are one.

    Raises:
      UserError: a file is neither, a program is not what its row says, two files have different rows of one
        point or the same reported rows, or a model to be renamed has no row.
    """
    programs: dict[str, html.Program] = {}
    released: list[reported.ReportedRow] = []
    contents: list[list[reported.ReportedRow]] = []
    names, found = lineages.PAPER_NAMES | dict(renamed), set()
    for path in map(pathlib.Path, files):
        if not _is_a_studys(path):
            own = reported.read_rows(path)
            # Whatever the file is called: its rows would stand twice in every table.
            content = [dataclasses.replace(row, point="") for row in own]
            if content in contents:
                raise errors.UserError(
                    f"{path}: has the same rows as a file before it, expected each once; give it once.")
            contents.append(content)
            found |= {row.model_name for row in own}
            released += [_renamed(row, names) for row in own]
            continue
        for row in rows_lib.read_rows(path):
            program = load_program(path.parent, row)
            found.add(row.model_name)
            program = dataclasses.replace(program, row=_renamed(row, names))
            if other := _difference(programs.setdefault(row.point, program).row, program.row):
                raise errors.UserError(
                    f"{path}: has another row of point {row.point!r} than a file before it ({other}), "
                    "expected the same; report one of them.")
    check_models(renamed, found, "to be renamed")
    return Pool(tuple(programs.values()), tuple(released))


def _difference(first: rows_lib.Row, second: rows_lib.Row) -> str:
    """Says in what two rows of a point differ, '' if in nothing but how long it took to make."""
    records = [row.to_json() for row in (first, second)]
    return next((
        f"{key} is {records[0][key]!r:.80} there and {now!r:.80} here" for key, now in records[1].items()
        if key != "wall_time_s" and now != records[0][key]), "")


def check_models(names: Iterable[str], found: Iterable[str], what: str) -> None:
    """Checks that names that a user gave are of models that there are rows of.

    Raises:
      UserError: one is not; the sentence says what names there are.
    """
    if missing := [name for name in names if name not in found]:
        raise errors.UserError(
            f"Got no row of the model {missing[0]!r} {what}, expected one of {', '.join(sorted(found))}; "
            "correct the name.")


def _renamed(row: frontier.Row, names: Mapping[str, str]) -> frontier.Row:
    return dataclasses.replace(row, model_name=names.get(row.model_name, row.model_name))


def _is_a_studys(path: pathlib.Path) -> bool:
    """Whether the first row of a file is one of ours, which name their points."""
    try:
        with open(path, encoding="utf-8") as stream:
            first = next((line for line in stream if line.strip()), "{}")
        return "point" in json.loads(first)
    except (OSError, UnicodeDecodeError, ValueError, TypeError, RecursionError):
        return False  # whoever reads it says what is wrong


def load_program(workdir: pathlib.Path, row: rows_lib.Row) -> html.Program:
    """Reads the program file and the sidecar of a row and checks them against it.

    Raises:
      UserError: if one is missing, or the row's length or digest is not the file's, or the
        ledger does not sum to it in every view, or responses are others; the sentence names the file.
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
    record = sidecar.read(path)
    sidecar.check_predictions(path, record)
    if said := verification.row_difference(row, record):
        raise errors.UserError(
            f"{workdir / rows_lib.RESULTS_NAME}: the row of point {row.point!r} is not what its sidecar "
            "says: "
            f"{said}; restore the row or run the point again.")
    return html.Program(row, ledger, views, profile, notes, record.get("widths", {}))


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
    except (ValueError, RecursionError) as error:
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
    apart = ("ledger", "views", "profile", "widths")
    notes = {key: value for key, value in record.items() if key not in apart}
    return ledger, dict(zip(views, others, strict=True)), record["profile"], notes


def _bad_sidecar(path: pathlib.Path, got: str) -> errors.UserError:
    return errors.UserError(
        f"{path}: got {got}, expected a sidecar with a ledger of fields, bits and ideal bits and "
        "a numerics profile; run the point again.")
