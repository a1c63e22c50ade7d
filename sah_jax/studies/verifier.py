"""Verifies points in the background, while their study makes the next ones.

All points that wait go to one fresh process, which takes them one after the other. While it runs, others
gather for the next: where points are cheap, one process verifies many.
"""

import pathlib
import threading
from collections.abc import Callable

from sah_jax import errors
from sah_jax.studies import rows as rows_lib
from sah_jax.studies import sidecar, verification


class Verifier:
    """Verifies rows that are handed to it.

    Args:
      workdir: the study's folder.
      settle: called, in this object's thread, with a row and its verdict.
    """

    def __init__(
        self, workdir: pathlib.Path, settle: Callable[[rows_lib.Row, verification.Verdict], None]
    ):
        self._workdir, self._settle = workdir, settle
        self._waiting: list[rows_lib.Row] = []
        self._changed = threading.Condition()
        self._over = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def submit(self, row: rows_lib.Row) -> None:
        """Takes a row whose files are written."""
        with self._changed:
            self._waiting.append(row)
            self._changed.notify()

    def finish(self) -> None:
        """Waits for the verdicts of all rows.

        Raises:
          Exception: what `settle` raised.
        """
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            while rows := self._next():
                self._verify(rows)
        except BaseException as error:  # told where the study waits for it
            self._failure = error

    def _next(self) -> list[rows_lib.Row]:
        """Returns what waits, when something does; nothing when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over)
            rows, self._waiting = self._waiting, []
            return rows

    def _verify(self, rows: list[rows_lib.Row]) -> None:
        settled: set[int] = set()

        def settle(number: int, verdict: verification.Verdict) -> None:
            settled.add(number)
            try:
                self._settle(rows[number], checked(self._workdir, rows[number], verdict))
            except errors.UserError as error:
                self._failure = error  # a full disk, say: the process did what it should
                raise

        try:
            # Each finds its base model by the sidecar: a branch of the hub may move meanwhile.
            verification.verify_together([("", self._workdir / row.program) for row in rows], settle, {})
            reason = "the process that was to rebuild it said nothing of it"
        except errors.UserError as error:
            reason = str(error)
        # Where the process broke down on one, the others have their own.
        left = [row for number, row in enumerate(rows) if number not in settled]
        for row in left:
            verdict = verification.verify("", self._workdir / row.program) if len(rows) > 1 else (
                verification.Verdict(False, reason))
            self._settle(row, checked(self._workdir, row, verdict))


def checked(
    workdir: pathlib.Path, row: rows_lib.Row, verdict: verification.Verdict
) -> verification.Verdict:
    """Returns the verdict on a row, given that on its file: it says the same as the sidecar, too."""
    if not verdict.verified:
        return verdict
    try:
        said = verification.row_difference(row, sidecar.read(workdir / row.program))
    except errors.UserError as error:
        said = str(error)
    return verification.Verdict(not said, said)
