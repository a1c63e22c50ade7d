"""Running a study: every point once, verified while the next one is made, resumable anywhere.

A point is finished when results.jsonl has a verified row of it and its program file is
there. Whatever else an earlier run left is made again; finished points are not touched.
"""

import concurrent.futures
import dataclasses
import pathlib

import rich.console
import rich.progress

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import sharding
from sah_jax.studies import grid, point, sidecar, verification
from sah_jax.studies import rows as rows_lib
from sah_jax.training import checkpoints as checkpoints_lib

RESULTS_NAME = "results.jsonl"
POINTS_FOLDER = "points"
CHECKPOINTS_FOLDER = "checkpoints"


def run(config: grid.StudyConfig, workdir: pathlib.Path, console: rich.console.Console) -> list[rows_lib.Row]:
    """Makes and verifies the points of a study that are not finished yet.

    Args:
      config: what to run.
      workdir: gets results.jsonl and a folder a point.
      console: gets the progress and a line a point.

    Returns:
      All rows, also those of earlier runs.

    Raises:
      UserError: the workdir cannot be used, or (after all others have run) points failed.
    """
    results = workdir / RESULTS_NAME
    try:
        (workdir / POINTS_FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(
            f"{workdir}: cannot be made ({error.strerror}); choose another workdir.") from error
    known = rows_lib.read_rows(results) if results.is_file() else []
    known = [row for row in known if _is_finished(row, workdir)]
    total = len(config.models) * sum(1 for _ in grid.points(config))
    columns = (
        rich.progress.TextColumn("{task.description}"), rich.progress.BarColumn(bar_width=20),
        rich.progress.MofNCompleteColumn(), rich.progress.TimeElapsedColumn())
    # One worker: while its process verifies a point, this process makes the next.
    verifier = concurrent.futures.ThreadPoolExecutor(max_workers=1)
    try:
        with rich.progress.Progress(*columns, console=console) as progress:
            bar = progress.add_task("study", total=total)
            study = _Study(config, workdir, progress, bar, verifier, known, [], [])
            for model in config.models:
                study.run_model(model)
            while study.pending:
                study.settle()
    finally:
        # After Ctrl-C nothing queued is started.
        verifier.shutdown(cancel_futures=True)
    if study.failures:
        raise errors.UserError(
            f"{len(study.failures)} of {total} points failed, the first: {study.failures[0]}")
    return study.rows


def _is_finished(row: rows_lib.Row, workdir: pathlib.Path) -> bool:
    program = workdir / row.program
    return row.verified and program.is_file() and (
        sidecar.file_digest(sidecar.read_program(program)) == row.program_sha256)


@dataclasses.dataclass
class _Study:
    """A running study.

    Attributes:
      rows: the finished points.
      pending: points whose verification is under way: row, future verdict, label.
      failures: a sentence for each point that could not be made or verified.
    """

    config: grid.StudyConfig
    workdir: pathlib.Path
    progress: rich.progress.Progress
    bar: rich.progress.TaskID
    verifier: concurrent.futures.Executor
    rows: list[rows_lib.Row]
    pending: list[tuple[rows_lib.Row, concurrent.futures.Future, str]]
    failures: list[str]

    def run_model(self, model: str) -> None:
        """Makes the unfinished points of one base model."""
        base = base_lib.load_base(
            model, self.config.dtype, sharding.parse_mesh(self.config.mesh), self.config.remat,
            quantization=self.config.quantization)
        finished = {row.point for row in self.rows}
        for one in grid.points(self.config):
            name, label = one.name(self.config, base.name, base.digest), f"{base.name} {one.label()}"
            if name in finished:
                self.progress.advance(self.bar)
                continue

            def show(line: str, label: str = label) -> None:
                # A good moment to write down verdicts that have come in.
                self._settle_done()
                self.progress.update(self.bar, description=f"{label}: {line}"[:70])

            show("fitting")
            every, plan = self.config.checkpoint_every, None
            if every:
                plan = checkpoints_lib.Plan(self.workdir / CHECKPOINTS_FOLDER / name, every)
            try:
                row = point.make(
                    self.config, base, one, name, self.workdir / POINTS_FOLDER / name, show, plan)
            except errors.UserError as error:
                self._fail(f"{label}: {error}")
                continue
            # The source, not the name given: a branch of the hub may move meanwhile.
            future = self.verifier.submit(verification.verify, base.source, self.workdir / row.program)
            self.pending.append((row, future, label))
            self._settle_done()

    def _settle_done(self) -> None:
        while self.pending and self.pending[0][1].done():
            self.settle()

    def settle(self) -> None:
        """Waits for the oldest verdict, adds its row to results.jsonl and prints it."""
        row, future, label = self.pending[0]
        self.progress.update(self.bar, description=f"{label}: verifying"[:70])
        verdict = future.result()
        self.pending.pop(0)
        row = dataclasses.replace(row, verified=verdict.verified)
        self.rows.append(row)
        rows_lib.write_rows(self.workdir / RESULTS_NAME, self.rows)
        self.progress.console.print(
            f"{label}: {row.bits:,} bits, {row.dataset_name} {row.performance:.3f} ± "
            f"{row.performance_stderr:.3f}, {'verified' if row.verified else 'NOT VERIFIED'}",
            highlight=False, soft_wrap=True)
        self.progress.advance(self.bar)
        if not row.verified:
            self._fail(f"{label} was not verified: {verdict.reason}")

    def _fail(self, sentence: str) -> None:
        """Keeps a point's failure for the end; the other points go on."""
        self.failures.append(sentence)
        self.progress.console.print(f"failed: {sentence}", highlight=False, markup=False, soft_wrap=True)
