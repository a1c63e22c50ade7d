"""Running a study: every point once, resumable anywhere.

A point is finished when results.jsonl has a verified row of it and its program file is
there. Whatever else an earlier run left is made again; finished points are not touched. Where
two processes can share the device, a point is verified while the next one is made; elsewhere
points are left pending, see `sah_jax.studies.phases`.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import pathlib

import rich.console
import rich.progress

from sah_jax import errors, hosts, numerics
from sah_jax.models import base as base_lib
from sah_jax.studies import grid, point, verification
from sah_jax.studies import results as results_lib
from sah_jax.studies import rows as rows_lib
from sah_jax.training import checkpoints as checkpoints_lib

POINTS_FOLDER = "points"
CHECKPOINTS_FOLDER = "checkpoints"


def run(
    config: grid.StudyConfig, workdir: pathlib.Path, console: rich.console.Console, verify: bool = True
) -> list[rows_lib.Row]:
    """Makes the points of a study that are not finished yet, and verifies them.

    Args:
      config: what to run.
      workdir: gets results.jsonl and a folder a point.
      console: gets the progress and a line a point.
      verify: False leaves made points pending. In a job of several processes it must be.

    Returns:
      All rows that have a verdict, also those of earlier runs.

    Raises:
      UserError: the workdir cannot be used, or (after all others have run) points failed.
    """
    hosts.from_first(lambda: _make_folder(workdir))
    found = results_lib.Results.read(workdir, console)
    total = len(config.models) * sum(1 for _ in grid.points(config))
    columns = (
        rich.progress.TextColumn("{task.description}"), rich.progress.BarColumn(bar_width=20),
        rich.progress.MofNCompleteColumn(), rich.progress.TimeElapsedColumn())
    # One worker: while its process verifies a point, this process makes the next.
    verifier = concurrent.futures.ThreadPoolExecutor(max_workers=1) if verify else None
    try:
        with rich.progress.Progress(*columns, console=console) as progress:
            found.console = progress.console
            study = _Study(config, found, progress, progress.add_task("study", total=total), verifier, [])
            for model in config.models:
                study.run_model(model)
            while study.under_way:
                study.settle()
    finally:
        # After Ctrl-C nothing queued is started.
        if verifier is not None:
            verifier.shutdown(cancel_futures=True)
    found.check(total)
    return found.rows


def _make_folder(workdir: pathlib.Path) -> None:
    try:
        (workdir / POINTS_FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(
            f"{workdir}: cannot be made ({error.strerror}); choose another workdir.") from error


@dataclasses.dataclass
class _Study:
    """A running study.

    Attributes:
      found: its points so far.
      verifier: verifies points meanwhile; None where that comes after.
      under_way: points whose verification is under way: row and future verdict.
    """

    config: grid.StudyConfig
    found: results_lib.Results
    progress: rich.progress.Progress
    bar: rich.progress.TaskID
    verifier: concurrent.futures.Executor | None
    under_way: list[tuple[rows_lib.Row, concurrent.futures.Future]]

    def run_model(self, model: str) -> None:
        """Makes the unfinished points of one base model."""
        base = base_lib.load_computed(model, dataclasses.asdict(self.config))
        finished = {row.point for row in self.found.rows}
        if self.verifier is None:
            # Made under another profile, they would not be what this study makes.
            profile = numerics.digest(base.profile())
            finished |= {row.point for row in self.found.pending if row.numerics_digest == profile}
        for group in grid.groups(self.config):
            names = [one.name(self.config, base.name, base.digest) for one in group]
            missing = set(names) - finished
            self.progress.advance(self.bar, len(group) - len(missing))
            if missing:
                self._make(base, group, names, missing)

    def _make(
        self, base: base_lib.BaseModel, group: list[grid.Point], names: list[str], missing: set[str]
    ) -> None:
        """Makes those of a group's points that are missing.

        All are fitted, each in its own lane, also those that are finished: another number of lanes would be
        another compilation, whose last bits differ.
        """
        every, plan, workdir = self.config.checkpoint_every, None, self.found.workdir
        lanes, name = len(group), names[0]
        label = f"{base.name} {group[0].label() if lanes == 1 else f'{group[0].family}, {lanes} together'}"
        if lanes > 1:
            name = hashlib.sha256("".join(names).encode()).hexdigest()[:16]
        if every:
            plan = checkpoints_lib.Plan(workdir / CHECKPOINTS_FOLDER / name, every)
        self._show(label, "fitting")
        try:
            fits = point.fit(self.config, base, group, functools.partial(self._show, label), plan, lanes)
        except errors.UserError as error:
            self.found.fail(f"{label}: {error}")
            return
        for one, name, fitted in zip(group, names, fits, strict=True):
            if name not in missing:
                continue
            label = f"{base.name} {one.label()}"
            try:
                row = point.finish(
                    self.config, base, one, name, workdir / POINTS_FOLDER / name, fitted,
                    functools.partial(self._show, label))
            except errors.UserError as error:
                self.found.fail(f"{label}: {error}")
                continue
            self._hand_over(base, row)
        if plan is not None:
            plan.remove()

    def _hand_over(self, base: base_lib.BaseModel, row: rows_lib.Row) -> None:
        """Gives a made point to the verifier, or leaves it pending."""
        if self.verifier is None:
            self.found.wait(row)
            self.progress.advance(self.bar)
            return
        # The source, not the name given: a branch of the hub may move meanwhile.
        future = self.verifier.submit(verification.verify, base.source, self.found.workdir / row.program)
        self.under_way.append((row, future))
        self._settle_done()

    def _show(self, label: str, line: str) -> None:
        # A good moment to write down verdicts that have come in.
        self._settle_done()
        self.progress.update(self.bar, description=f"{label}: {line}"[:70])

    def _settle_done(self) -> None:
        while self.under_way and self.under_way[0][1].done():
            self.settle()

    def settle(self) -> None:
        """Waits for the oldest verdict, and writes it down."""
        row, future = self.under_way[0]
        self.progress.update(self.bar, description=f"{results_lib.label(row)}: verifying"[:70])
        verdict = future.result()
        self.under_way.pop(0)
        self.found.settle(row, verdict)
        self.progress.advance(self.bar)
