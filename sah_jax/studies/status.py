"""How far a study is, by its folder: for whoever looks, from any machine that sees it."""

import dataclasses
import json
import pathlib

from sah_jax import errors
from sah_jax.studies import claims as claims_lib
from sah_jax.studies import results
from sah_jax.studies import rows as rows_lib

STUDY_NAME = "study.json"
"""What was run: the config as it was parsed, and how many points it has."""

LATEST = 8


@dataclasses.dataclass(frozen=True)
class Status:
    """How far a study is.

    Attributes:
      total: the points of its last config; 0 where that is not known, or fewer than there are by now.
      verified, refuted: the points that have a verdict.
      pending: made, and without one.
      failed: for each point that could not be made or was refuted, why.
      working: the points that processes work on, with who does.
      latest: the rows that came last.
      mean_s: what a point took, on average, in seconds; 0 where there is none.
    """

    total: int
    verified: int
    refuted: int
    pending: int
    failed: dict[str, str]
    working: dict[str, claims_lib.Claim]
    latest: tuple[rows_lib.Row, ...]
    mean_s: float

    @property
    def left_s(self) -> float | None:
        """How long the rest takes at this pace with the processes of now; None where that is not known."""
        left = max(self.total - self.verified - len(self.failed), 0)
        processes = len({(one.host, one.process) for one in self.working.values()})
        return left * self.mean_s / processes if processes and self.mean_s and self.total else None


def write(workdir: pathlib.Path, config: dict, total: int) -> None:
    """Notes what is run in a study's folder, which is made where there is none.

    Raises:
      UserError: it cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(
            f"{workdir}: cannot be made ({error.strerror}); choose another workdir.") from error
    rows_lib.replace_text(
        workdir / STUDY_NAME, json.dumps({"points": total, "config": config}, indent=1, sort_keys=True))


def read(workdir: pathlib.Path) -> Status:
    """Returns how far the study of a folder is.

    Raises:
      UserError: there is no such folder, or a file in it is damaged.
    """
    if not workdir.is_dir():
        raise errors.UserError(f"{workdir}: is no folder, expected that of a study; correct the path.")
    files, path = results.read(workdir), workdir / STUDY_NAME
    try:
        total = int(json.loads(path.read_text(encoding="utf-8"))["points"]) if path.is_file() else 0
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise errors.UserError(f"{path}: got something else ({error!r}); run the study again.") from error
    if total < len({row.point for row in (*files.rows, *files.pending)} | files.failed.keys()):
        total = 0  # what is there is of other configs, too
    times = [row.wall_time_s for row in files.rows]
    return Status(
        total=total, verified=sum(row.verified for row in files.rows),
        refuted=sum(not row.verified for row in files.rows), pending=len(files.pending),
        failed={point: why for point, (why, _) in files.failed.items()},
        working=claims_lib.look(workdir), latest=tuple(files.rows[-LATEST:]),
        mean_s=sum(times) / len(times) if times else 0.0)
