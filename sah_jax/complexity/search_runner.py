"""Running a search: its programs are points of a study, made, verified and kept like all others."""

import contextlib
import dataclasses
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence

import rich.console

from sah_jax import errors, hosts
from sah_jax.complexity import frontier, search
from sah_jax.models import sources
from sah_jax.studies import grid, metrics, phases, results, runner
from sah_jax.studies import rows as rows_lib

_CONFIG = """import ml_collections


def get_config():
    return ml_collections.ConfigDict({!r})
"""


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much a search may make.

    Attributes:
      runs: points, those that are there already too.
      hours: of wall time; 0 for any.
      batch: candidates at a time.
    """

    runs: int
    hours: float = 0.0
    batch: int = 2


def run(
    config: grid.StudyConfig, workdir: pathlib.Path, console: rich.console.Console, budget: Budget,
    targets: Sequence[float] = (), shares: Sequence[float] = search.SHARES,
    warm: Sequence[frontier.Row] = (), add_script_bits: bool = True,
    show: Callable[[list[rows_lib.Row], search.Search], None] = lambda rows, found: None,
    told: metrics.Metrics | None = None, arguments: Sequence[str] = (),
) -> list[rows_lib.Row]:
    """Makes programs of a config's settings until the budget is spent or no other is worth a run.

    Args:
      config: of one model and one task; each of its settings, with all seeds, is a candidate.
      workdir: as of a study; what it holds of the config counts as made.
      console: gets the progress.
      budget: when to stop.
      targets, shares: see `search.Search`.
      warm: rows of other studies, whose frontiers say what to make first.
      add_script_bits: whether a length that is to be short counts the script, as reports do.
      show: called after each batch with the rows so far.
      told: of the metrics of all points.
      arguments: more of `sah study`, for processes that make points where this one must not.

    Returns:
      The rows, in the order of their making.

    Raises:
      UserError: the config is of several models or tasks, the workdir cannot be used, or this is one of
        several processes of a job.
    """
    if hosts.in_job():
        raise errors.UserError(
            f"{hosts.ENVIRONMENT[0]} is set, expected a search to be one process; unset it, or run a study.")
    if len(config.models) != 1 or len(config.tasks) != 1:
        raise errors.UserError(
            f"A search got {len(config.models)} models and {len(config.tasks)} tasks, expected one of each; "
            "name them with --config.models and --config.tasks.")
    candidates = [search.Candidate(family, setting) for family, settings in config.families.items()
                  for setting in settings]
    found, started = search.Search(candidates, targets, shares), time.monotonic()
    good = [(row.experiment_name, row.strategy_hparams)
            for row in frontier.pareto(warm, add_script_bits=add_script_bits)]
    found.prefer([one for one in candidates if (one.family, dict(one.setting)) in good])
    rows = _rows(workdir, config)
    _tell(found, candidates, rows, add_script_bits)
    while len(rows) < budget.runs:
        thrift = 1 - (time.monotonic() - started) / (3600 * budget.hours) if budget.hours else 0.0
        if thrift < 0:
            break
        left = (budget.runs - len(rows)) // len(config.seeds)
        asked = found.ask(min(budget.batch, left), thrift)
        if not asked:
            break
        _make(dataclasses.replace(config, families=_grouped(asked)), workdir, console, told, arguments)
        rows = _rows(workdir, config)
        _tell(found, asked, rows, add_script_bits)
        for one in asked:
            if not found.knows(one):
                found.tell_failed(one)
        show(rows, found)
    return rows


def _make(
    config: grid.StudyConfig, workdir: pathlib.Path, console: rich.console.Console,
    told: metrics.Metrics | None, arguments: Sequence[str],
) -> None:
    """Makes and verifies points; which of them failed is told as it happens, and the others are there."""
    if not phases.needed():
        with contextlib.suppress(errors.UserError):
            runner.run(config, workdir, console, metrics=told)
        return
    # This process must leave the device to those that make points and verify them.
    with tempfile.TemporaryDirectory(prefix="sah-search-") as folder:
        path = pathlib.Path(folder, "config.py")
        path.write_text(_CONFIG.format(dataclasses.asdict(config)), encoding="utf-8")
        phases.run(
            [f"--config={path}", f"--workdir={workdir}", "--noreport", *arguments], workdir, console)


def _rows(workdir: pathlib.Path, config: grid.StudyConfig) -> list[rows_lib.Row]:
    """Returns the verified rows of a config's points; a folder may hold those of others."""
    model = sources.find(config.models[0], weights=False).name
    rows = [row for row in results.read(workdir).rows if row.verified and row.model_name == model]
    # By the weights that rows are of: to look at the model's own would be to load it.
    names = {point.name(config, model, digest)
             for digest in {row.base_digest for row in rows} for point in grid.points(config)}
    return [row for row in rows if row.point in names]


def _tell(
    found: search.Search, candidates: Sequence[search.Candidate], rows: Sequence[rows_lib.Row],
    add_script_bits: bool,
) -> None:
    """Tells a search what its candidates came to, a mean over seeds; nothing of those not tried."""
    for one in candidates:
        own = [row for row in rows if (row.experiment_name, row.strategy_hparams) == (
            one.family, dict(one.setting))]
        if own:
            found.tell(
                one, statistics.fmean(frontier.total_bits(row, add_script_bits) for row in own),
                statistics.fmean(row.selection_performance for row in own),
                statistics.fmean(row.wall_time_s for row in own))


def _grouped(candidates: Sequence[search.Candidate]) -> dict[str, tuple]:
    """Returns candidates as the families of a config."""
    families: dict[str, tuple] = {}
    for one in candidates:
        families[one.family] = (*families.get(one.family, ()), dict(one.setting))
    return families
