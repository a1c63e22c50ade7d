"""Running a study: every point once, resumable anywhere, by any number of processes on a shared folder.

A point is finished when results.jsonl has a verified row of it and its program file is there. Whatever
else an earlier run left is made again; finished points are not touched. A process claims the points that
it makes; at the end it waits for those that others have claimed, and makes what a killed one has left.
Where two processes can share the device, points are verified while the next ones are made; elsewhere
they are left pending, see `sah_jax.studies.phases`.
"""

import dataclasses
import functools
import hashlib
import pathlib
import time

import numpy as np
import rich.console
import rich.progress

from sah_jax import errors, hosts, numerics
from sah_jax.models import base as base_lib
from sah_jax.studies import claims as claims_lib
from sah_jax.studies import grid, point, verification
from sah_jax.studies import metrics as metrics_lib
from sah_jax.studies import results as results_lib
from sah_jax.studies import rows as rows_lib
from sah_jax.studies import verifier as verifier_lib
from sah_jax.training import checkpoints as checkpoints_lib
from sah_jax.training import metrics as training_metrics

POINTS_FOLDER = "points"
CHECKPOINTS_FOLDER = "checkpoints"

_LOOK_EVERY_S = 1.0  # at what others have claimed


def run(
    config: grid.StudyConfig, workdir: pathlib.Path, console: rich.console.Console, verify: bool = True,
    lease_s: float = claims_lib.LEASE_S, only: str = "", metrics: metrics_lib.Metrics | None = None,
) -> list[rows_lib.Row]:
    """Makes the points of a study that are not finished yet, and verifies them.

    Args:
      config: what to run.
      workdir: gets results.jsonl and a folder a point.
      console: gets the progress and a line a point.
      verify: False leaves made points pending. In a job of several processes it must be.
      lease_s: how long this process's claims are believed on other hosts if it shows no sign of life.
      only: make the points alone whose model, task or label holds this.
      metrics: is told how fits go and what they come to.

    Returns:
      All rows that have a verdict, also those of earlier runs.

    Raises:
      UserError: the workdir cannot be used, or (after all others have run) points failed.
    """
    total = len(config.models) * sum(1 for _ in grid.points(config)) if not only else None
    hosts.from_first(lambda: _make_folder(workdir))
    found = results_lib.Results(workdir, console)
    claims = claims_lib.Claims(workdir, lease_s) if hosts.is_first() else None
    columns = (
        rich.progress.TextColumn("{task.description}"), rich.progress.BarColumn(bar_width=20),
        rich.progress.MofNCompleteColumn(), rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("left"), rich.progress.TimeRemainingColumn())
    try:
        with rich.progress.Progress(*columns, console=console) as progress:
            found.console = progress.console
            study = _Study(
                config, only, found, claims, metrics or metrics_lib.Metrics(), progress,
                progress.add_task("study", total=total))
            if verify:
                study.verifier = verifier_lib.Verifier(workdir, study.settle)
            waiting = [(model, number) for model in config.models
                       for number, _ in enumerate(grid.groups(config))]
            while waiting := study.go_through(waiting):
                time.sleep(_LOOK_EVERY_S)
            if study.verifier is not None:
                study.verifier.finish()
    finally:
        if claims is not None:
            claims.close()
    found.refresh()
    found.check(len(study.wanted))
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
      config: what to run.
      only: of it, see `run`.
      found: its points so far.
      claims: who works on which; None on the hosts of a job that have no files.
      metrics: is told how fits go.
      verifier: verifies points meanwhile; None where that comes after.
      handed: the points that were handed to it.
      wanted: the points that are to be made, as far as their models have been looked at.
    """

    config: grid.StudyConfig
    only: str
    found: results_lib.Results
    claims: claims_lib.Claims | None
    metrics: metrics_lib.Metrics
    progress: rich.progress.Progress
    bar: rich.progress.TaskID
    verifier: verifier_lib.Verifier | None = None
    handed: set[str] = dataclasses.field(default_factory=set)
    wanted: set[str] = dataclasses.field(default_factory=set)
    _loaded: dict[str, base_lib.BaseModel] = dataclasses.field(default_factory=dict)
    _names: dict[str, list[list[str]]] = dataclasses.field(default_factory=dict)
    _profiles: dict[str, str] = dataclasses.field(default_factory=dict)

    def go_through(self, waiting: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Makes what nobody has claimed of some groups, by model and number; returns those left to others."""
        left = []
        for model, number in waiting:
            names = self._names_of(model)[number]
            if self._missing(model, names) and not self._attempt(model, number, names):
                left.append((model, number))
            self._show_count()
        return left

    def _base(self, model: str) -> base_lib.BaseModel:
        """Returns a base model; the last one is kept."""
        if model not in self._loaded:
            self._loaded = {}  # before the next takes memory
            self._loaded = {model: base_lib.load_computed(model, dataclasses.asdict(self.config))}
        return self._loaded[model]

    def _names_of(self, model: str) -> list[list[str]]:
        """Returns the names of the points of each group."""
        if model not in self._names:
            base = self._base(model)
            groups = [[(one.name(self.config, base.name, base.digest), one) for one in group]
                      for group in grid.groups(self.config)]
            self._names[model] = [[name for name, _ in group] for group in groups]
            self.wanted |= {name for group in groups for name, one in group
                             if one.matches(self.only, base.name)}
            self._profiles[model] = numerics.digest(base.profile())
        return self._names[model]

    def _missing(self, model: str, names: list[str]) -> set[str]:
        """Returns the points that are neither finished nor failed, by whomever."""
        self.found.refresh()
        over = {row.point for row in self.found.rows} | set(self.found.failed) | self.handed
        if self.verifier is None:
            over |= {row.point for row in self._pending(model)}
        return (set(names) & self.wanted) - over

    def _pending(self, model: str) -> list[rows_lib.Row]:
        # Made under another profile, they would not be what this study makes.
        return [row for row in self.found.pending if row.numerics_digest == self._profiles[model]]

    def _attempt(self, model: str, number: int, names: list[str]) -> bool:
        """Makes those of a group's points that are missing; returns whether they were nobody else's."""
        if not hosts.from_first(lambda: self.claims.take(names)):
            return False
        try:
            # Only now: whoever had the claim before may have finished them.
            self._hand_over_pending(model, self._missing(model, names))
            if missing := self._missing(model, names):
                self._make(self._base(model), list(grid.groups(self.config))[number], names, missing)
        finally:
            # What is handed over stays this process's until its verdict.
            self._release(set(names) - self.handed)
        return True

    def _hand_over_pending(self, model: str, missing: set[str]) -> None:
        """Hands over what a killed process has made and nobody verified."""
        for row in self._pending(model) if self.verifier is not None else ():
            if row.point in missing:
                self._hand_over(row)

    def _make(
        self, base: base_lib.BaseModel, group: list[grid.Point], names: list[str], missing: set[str]
    ) -> None:
        """Makes those of a group's points that are missing, and hands them over.

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
        runs = {lane: metrics_lib.Run(base.name, *named)
                for lane, named in enumerate(zip(group, names, strict=True)) if named[1] in missing}
        self._show(label, "fitting")
        try:
            fits = point.fit(self.config, base, group, self._report(label, runs), plan, lanes)
        except errors.UserError as error:
            for run in runs.values():
                self._fail(run, f"{label}: {error}")
            return
        for lane, run in runs.items():
            label = f"{base.name} {run.point.label()}"
            try:
                row = point.finish(
                    self.config, base, run.point, run.name, workdir / POINTS_FOLDER / run.name, fits[lane],
                    self._report(label, {0: run}))
            except errors.UserError as error:
                self._fail(run, f"{label}: {error}")
                continue
            # Before it waits for its verdict: from then on nobody makes it again.
            self.metrics.final(run, row)
            self.found.wait(row)
            if self.verifier is not None:
                self._hand_over(row)
        if plan is not None:
            plan.remove()

    def _report(self, label: str, runs: dict[int, metrics_lib.Run]) -> training_metrics.Report:
        """Returns what shows how a fit goes, and tells metrics of the runs that are some of its lanes."""
        def losses(lane: int, before: int, own: np.ndarray) -> None:
            if lane in runs:
                self.metrics.losses(runs[lane], before, own)

        return training_metrics.Report(functools.partial(self._show, label), losses)

    def _fail(self, run: metrics_lib.Run, sentence: str) -> None:
        self.found.fail(run.name, sentence)
        self.metrics.failed(run, sentence)

    def _hand_over(self, row: rows_lib.Row) -> None:
        self.handed.add(row.point)
        self.verifier.submit(row)

    def settle(self, row: rows_lib.Row, verdict: verification.Verdict) -> None:
        """Writes a verdict down, unless another process took the point over meanwhile."""
        if self.claims.holds(row.point):
            self.found.settle(row, verdict)
        self._release({row.point})
        self._show_count()

    def _release(self, names: set[str]) -> None:
        hosts.from_first(lambda: self.claims.release(names))

    def _show(self, label: str, line: str) -> None:
        self.progress.update(self.bar, description=f"{label}: {line}"[:70])

    def _show_count(self) -> None:
        over = {row.point for row in self.found.rows} | set(self.found.failed)
        if self.verifier is None:
            over |= {row.point for row in self.found.pending}
        self.progress.update(self.bar, completed=len(over & self.wanted))
