"""What is known of a study's points while it runs: finished ones, and ones that wait for their verdict.

Both files are written by the first process of a job alone, and whole each time.
"""

import dataclasses
import pathlib

import rich.console

from sah_jax import errors, hosts
from sah_jax.studies import grid, sidecar, verification
from sah_jax.studies import rows as rows_lib

PENDING_NAME = "pending.jsonl"
"""The rows of points that were made and not verified yet, where verification comes after."""


@dataclasses.dataclass
class Results:
    """The rows of a study's folder.

    Attributes:
      workdir: the folder.
      console: gets a line a point.
      rows: the points that have a verdict.
      pending: those that have none.
      failures: a sentence for each point that could not be made or verified.
    """

    workdir: pathlib.Path
    console: rich.console.Console
    rows: list[rows_lib.Row]
    pending: list[rows_lib.Row]
    failures: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def read(cls, workdir: pathlib.Path, console: rich.console.Console) -> "Results":
        """Reads what earlier runs left: verified points, and pending ones, whose program files are there.

        Raises:
          UserError: a file of rows is damaged.
        """
        def found(name: str, accept) -> list[dict]:
            path = workdir / name
            rows = rows_lib.read_rows(path) if path.is_file() else []
            return [row.to_json() for row in rows if accept(row) and _has_program(row, workdir)]

        finished, pending = hosts.from_first(lambda: [
            found(rows_lib.RESULTS_NAME, lambda row: row.verified), found(PENDING_NAME, lambda row: True)])
        rows = [rows_lib.Row.from_json(record) for record in finished]
        points = {row.point for row in rows}
        waiting = [rows_lib.Row.from_json(record) for record in pending]
        return cls(workdir, console, rows, [row for row in waiting if row.point not in points])

    def wait(self, row: rows_lib.Row) -> None:
        """Keeps a row until its verdict comes; an earlier one of the same point is forgotten."""
        self._set_pending([*(one for one in self.pending if one.point != row.point), row])

    def settle(self, row: rows_lib.Row, verdict: verification.Verdict) -> None:
        """Adds a row with its verdict, writes it down and prints it."""
        row = dataclasses.replace(row, verified=verdict.verified)
        self.rows.append(row)
        hosts.from_first(lambda: rows_lib.write_rows(self.workdir / rows_lib.RESULTS_NAME, self.rows))
        if any(one.point == row.point for one in self.pending):
            self._set_pending([one for one in self.pending if one.point != row.point])
        self.console.print(
            f"{label(row)}: {row.bits:,} bits, {row.dataset_name} {row.performance:.3f} ± "
            f"{row.performance_stderr:.3f}, {'verified' if row.verified else 'NOT VERIFIED'}"
            f"{', all zero: the base model' if row.unchanged and row.experiment_name != 'baseline' else ''}",
            highlight=False, soft_wrap=True)
        if not row.verified:
            self.fail(f"{label(row)} was not verified: {verdict.reason}")

    def fail(self, sentence: str) -> None:
        """Keeps a point's failure for the end; the other points go on."""
        self.failures.append(sentence)
        self.console.print(f"failed: {sentence}", highlight=False, markup=False, soft_wrap=True)

    def check(self, total: int) -> None:
        """Raises UserError where any of so many points failed."""
        if self.failures:
            raise errors.UserError(
                f"{len(self.failures)} of {total} points failed, the first: {self.failures[0]}")

    def _set_pending(self, pending: list[rows_lib.Row]) -> None:
        self.pending = pending
        path = self.workdir / PENDING_NAME
        hosts.from_first(
            lambda: rows_lib.write_rows(path, pending) if pending else path.unlink(missing_ok=True))


def label(row: rows_lib.Row) -> str:
    """Returns a short description of a row's point for people."""
    point = grid.Point(row.dataset_name, row.experiment_name, row.strategy_hparams, row.seed)
    return f"{row.model_name} {point.label()}"


def _has_program(row: rows_lib.Row, workdir: pathlib.Path) -> bool:
    program = workdir / row.program
    return program.is_file() and (
        sidecar.file_digest(sidecar.read_program(program)) == row.program_sha256)
