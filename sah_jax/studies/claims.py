"""Claims on points, so that any number of processes on a shared folder work one study.

A claim is a small file that its process touches now and then. One that was not touched for a lease belongs
to a process that was killed or cut off, and is free again; of a process on this host that is known at once.
All of a folder's claims change under one lock, so that of several processes exactly one takes a point.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import platform
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence

import filelock

from sah_jax import errors

FOLDER = "claims"
LEASE_S = 120.0
"""How long a claim that nobody touches is believed, in seconds."""

_TOUCHES = 6  # in a lease
_KINDS = {"host": str, "process": int, "started": str, "space": str, "lease_s": (int, float)}
_WORKER = ".worker-"  # hidden: it is no point


@dataclasses.dataclass(frozen=True)
class Claim:
    """Who works on a point.

    Attributes:
      host, process: where, and which.
      started: of the process, in clock ticks since the host started: another process of the same number
        has another.
      space: names the space of process numbers that `process` is one of.
      lease_s: how long the claim is believed after it was touched, in seconds.
    """

    host: str
    process: int
    started: str
    space: str
    lease_s: float

    @classmethod
    def own(cls, lease_s: float) -> "Claim":
        """Returns this process's."""
        return cls(platform.node(), os.getpid(), _started(os.getpid()), _space(), lease_s)

    def is_dead(self) -> bool:
        """Whether the process is known to have ended; of another host nothing is known."""
        here = Claim.own(0.0)
        if (self.host, self.space) != (here.host, here.space) or not self.space:
            return False
        return _started(self.process) != self.started


class Claims:
    """The claims of a study's folder, as this process sees them and makes them.

    Args:
      workdir: the study's folder.
      lease_s: seconds.

    Raises:
      UserError: the folder cannot be written.
    """

    def __init__(self, workdir: pathlib.Path, lease_s: float = LEASE_S):
        self._folder, self._own = workdir / FOLDER, Claim.own(lease_s)
        self._held: set[str] = set()
        self._over = threading.Event()
        with _told(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = filelock.FileLock(self._folder / ".lock")
        self._toucher = threading.Thread(target=self._touch, daemon=True)
        self._toucher.start()

    def take(self, names: Sequence[str]) -> bool:
        """Takes points where nobody works on any of them; returns whether they are this process's now."""
        with _told(self._folder), self._lock:
            now = self._now()
            # Also of those it has taken before: one that slept too long may have lost them to others.
            if any(_live(self._folder / name, now) not in (None, self._own) for name in set(names)):
                return False
            for name in names:
                self._write(name)
            self._held |= set(names)
            return True

    def holds(self, name: str) -> bool:
        """Whether a point is still this process's: one that slept too long may have lost it."""
        with _told(self._folder), self._lock:
            return _read(self._folder / name) == self._own

    def release(self, names: Iterable[str]) -> None:
        """Lets go of points."""
        with _told(self._folder), self._lock:
            for name in names:
                self._held.discard(name)
                if _read(self._folder / name) == self._own:
                    (self._folder / name).unlink(missing_ok=True)

    def join(self) -> None:
        """Counts this process among the folder's workers, until it closes."""
        self.take([f"{_WORKER}{uuid.uuid4().hex}"])

    def workers(self) -> int:
        """Returns how many processes have joined and live."""
        with _told(self._folder), self._lock:
            now = self._now()
            return sum(_live(path, now) is not None for path in self._folder.glob(f"{_WORKER}*"))

    def close(self) -> None:
        """Lets go of everything."""
        self._over.set()
        self._toucher.join()
        self.release(list(self._held))

    def _write(self, name: str) -> None:
        (self._folder / name).write_text(json.dumps(dataclasses.asdict(self._own)), encoding="utf-8")

    def _now(self) -> float:
        """Returns the time by the clock that marks files, which may be another host's."""
        clock = self._folder / ".clock"
        clock.touch()
        return clock.stat().st_mtime

    def _touch(self) -> None:
        while not self._over.wait(self._own.lease_s / _TOUCHES):
            for name in list(self._held):
                # A claim that was taken by another meanwhile is touched in vain: its process does so too.
                with contextlib.suppress(OSError):
                    os.utime(self._folder / name)


def look(workdir: pathlib.Path) -> dict[str, Claim]:
    """Returns the points of a study's folder that processes work on, by this machine's clock."""
    found = {path.name: _live(path, time.time()) for path in sorted((workdir / FOLDER).glob("[!.]*"))}
    return {name: claim for name, claim in found.items() if claim}


def _live(path: pathlib.Path, now: float) -> Claim | None:
    """Returns a claim that holds at a time."""
    claim = _read(path)
    if claim is None or claim.is_dead():
        return None
    try:
        return claim if now - path.stat().st_mtime < claim.lease_s else None
    except FileNotFoundError:
        return None


def _read(path: pathlib.Path) -> Claim | None:
    try:
        claim = Claim(**json.loads(path.read_text(encoding="utf-8")))
        whole = all(isinstance(getattr(claim, key), kind) for key, kind in _KINDS.items())
        return claim if whole and math.isfinite(claim.lease_s) else None
    except (FileNotFoundError, IsADirectoryError):
        return None
    except (ValueError, TypeError, RecursionError, OverflowError):
        return None  # of a process that was killed while it wrote


@contextlib.contextmanager
def _told(folder: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise errors.UserError(
            f"{folder}: cannot be used ({error.strerror or error}), expected a writable folder; make room or "
            "choose another workdir.") from error


def _started(process: int) -> str:
    """Returns when a process of this host started, as Linux counts; "" where there is none, or no /proc."""
    try:
        # The second field, a name in brackets, may hold anything.
        fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid") + pathlib.Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return ""
