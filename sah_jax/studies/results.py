"""What is known of a study's points: finished ones, ones that wait for their verdict, ones that failed.

Any number of processes on a shared folder write these files: each changes them under one lock, and whole
each time. Of a job of several hosts the first process alone does.
"""

import dataclasses
import json
import pathlib
import uuid
from collections.abc import Callable
from typing import Any

import filelock
import rich.console

from sah_jax import errors, hosts
from sah_jax.studies import grid, sidecar, verification
from sah_jax.studies import rows as rows_lib

PENDING_NAME = "pending.jsonl"
"""The rows of points that were made and not verified yet."""
FAILED_NAME = "failed.json"
"""For each point that could not be made or verified, why; a later run tries it again."""
_LOCK_NAME = ".rows.lock"


@dataclasses.dataclass
class Files:
    """What the files of a study's folder hold.

    Attributes:
      rows: the points that have a verdict.
      pending: those that were made and have none.
      failed: for each point that failed, why, and a mark that no other failure has.
    """

    rows: list[rows_lib.Row]
    pending: list[rows_lib.Row]
    failed: dict[str, tuple[str, str]]

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Files":
        """Returns what `to_json` was called of."""
        rows, pending = (
            [rows_lib.Row.from_json(one) for one in record[name]] for name in ("rows", "pending"))
        return cls(rows, pending, {point: tuple(failure) for point, failure in record["failed"].items()})

    def to_json(self) -> dict[str, Any]:
        """Returns what JSON can hold."""
        return {"rows": [row.to_json() for row in self.rows],
                "pending": [row.to_json() for row in self.pending], "failed": self.failed}

    def forget(self, point: str) -> None:
        """Removes what there is of a point."""
        self.rows = [row for row in self.rows if row.point != point]
        self.pending = [row for row in self.pending if row.point != point]
        self.failed.pop(point, None)


def read(workdir: pathlib.Path) -> Files:
    """Reads the files of a study's folder.

    Raises:
      UserError: one is damaged.
    """
    # Without the lock, for folders that cannot be written. A point goes from pending to rows: looked at in
    # this order, it is in one of them at least.
    pending, rows = (_read_rows(workdir / name) for name in (PENDING_NAME, rows_lib.RESULTS_NAME))
    points = {row.point for row in rows}
    pending = [row for row in pending if row.point not in points]
    return Files(rows, pending, _read_failed(workdir / FAILED_NAME))


def change(workdir: pathlib.Path, alter: Callable[[Files], None]) -> Files:
    """Changes what the files of a study's folder hold, and returns that.

    Raises:
      UserError: a file is damaged, or cannot be written.
    """
    try:
        with filelock.FileLock(workdir / _LOCK_NAME):
            files = read(workdir)
            before = Files.from_json(files.to_json())
            alter(files)
            if files.rows != before.rows:
                rows_lib.write_rows(workdir / rows_lib.RESULTS_NAME, files.rows)
            if files.failed != before.failed:
                rows_lib.replace_text(workdir / FAILED_NAME, json.dumps(files.failed, indent=1))
            # Last, so that a process that is killed here leaves a point in both and not in neither.
            if files.pending:
                rows_lib.write_rows(workdir / PENDING_NAME, files.pending)
            else:
                (workdir / PENDING_NAME).unlink(missing_ok=True)
            return files
    except OSError as error:
        raise errors.UserError(
            f"{workdir}: cannot be used ({error.strerror or error}), expected a writable folder; make room "
            "or choose another workdir.") from error


def _read_rows(path: pathlib.Path) -> list[rows_lib.Row]:
    try:
        return rows_lib.read_rows(path) if path.is_file() else []
    except errors.UserError:
        if path.exists():
            raise
        return []  # removed meanwhile: the last of its rows had their verdicts


def _read_failed(path: pathlib.Path) -> dict[str, tuple[str, str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(point): (str(why), str(mark)) for point, (why, mark) in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise errors.UserError(
            f"{path}: got something else ({error}), expected the failures of a study; remove it.") from error


class Results:
    """The points of a study, as one of its processes sees them.

    Attributes:
      workdir: the folder.
      console: gets a line a point.
      rows: the points that have a verdict, when the files were last looked at.
      pending: those that were made and have none.
      failed: for each point that failed since this process began, by whomever, why.
    """

    def __init__(self, workdir: pathlib.Path, console: rich.console.Console):
        """Reads what earlier runs left: verified points, and pending ones, whose program files are there.

        Raises:
          UserError: a file of rows is damaged.
        """
        self.workdir, self.console = workdir, console
        files = self._read()
        # What an earlier run left of these is made again.
        gone = hosts.from_first(lambda: [
            row.to_json() for row in (*files.rows, *files.pending) if not _has_program(row, workdir)])
        self._stale = [rows_lib.Row.from_json(row) for row in gone]
        self._stale += [row for row in files.rows if not row.verified]
        self._earlier = {mark for _, mark in files.failed.values()}
        self._show(files)

    def refresh(self) -> None:
        """Looks at the files again, which other processes may have changed.

        Raises:
          UserError: a file of rows is damaged.
        """
        self._show(self._read())

    def wait(self, row: rows_lib.Row) -> None:
        """Keeps a row until its verdict comes; whatever there was of the point is forgotten."""
        def alter(files: Files) -> None:
            files.forget(row.point)
            files.pending.append(row)

        self._show(self._changed(alter))

    def settle(self, row: rows_lib.Row, verdict: verification.Verdict) -> None:
        """Adds a row with its verdict, writes it down and prints it."""
        row = dataclasses.replace(row, verified=verdict.verified)

        def alter(files: Files) -> None:
            files.forget(row.point)
            files.rows.append(row)

        self._show(self._changed(alter))
        self.console.print(
            f"{label(row)}: {row.bits:,} bits, {row.dataset_name} {row.performance:.3f} ± "
            f"{row.performance_stderr:.3f}, {'verified' if row.verified else 'NOT VERIFIED'}"
            f"{', all zero: the base model' if row.unchanged and row.experiment_name != 'baseline' else ''}",
            highlight=False, soft_wrap=True)
        if not row.verified:
            self.fail(row.point, f"{label(row)} was not verified: {verdict.reason}")

    def fail(self, point: str, sentence: str) -> None:
        """Keeps a point's failure for the end; the other points go on."""
        mark = uuid.uuid4().hex
        self._show(self._changed(lambda files: files.failed.update({point: (sentence, mark)})))
        self.console.print(f"failed: {sentence}", highlight=False, markup=False, soft_wrap=True)

    def check(self, total: int) -> None:
        """Raises UserError where any of so many points failed."""
        if self.failed:
            raise errors.UserError(
                f"{len(self.failed)} of {total} points failed, the first: {next(iter(self.failed.values()))}")

    def _read(self) -> Files:
        return Files.from_json(hosts.from_first(lambda: read(self.workdir).to_json()))

    def _changed(self, alter: Callable[[Files], None]) -> Files:
        return Files.from_json(hosts.from_first(lambda: change(self.workdir, alter).to_json()))

    def _show(self, files: Files) -> None:
        self.rows = [row for row in files.rows if row not in self._stale]
        self.pending = [row for row in files.pending if row not in self._stale]
        self.failed = {point: why for point, (why, mark) in files.failed.items() if mark not in self._earlier}


def label(row: rows_lib.Row) -> str:
    """Returns a short description of a row's point for people."""
    point = grid.Point(row.dataset_name, row.experiment_name, row.strategy_hparams, row.seed)
    return f"{row.model_name} {point.label()}"


def _has_program(row: rows_lib.Row, workdir: pathlib.Path) -> bool:
    program = workdir / row.program
    return program.is_file() and (
        sidecar.file_digest(sidecar.read_program(program)) == row.program_sha256)
