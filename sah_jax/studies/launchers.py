"""Starting the processes of a study: here, or as jobs of a Slurm cluster.

Each runs the same `sah study` on the same folder, which must be one that all of them see; what they make
of it is theirs to agree on (`sah_jax.studies.claims`). For slices of TPUs see scripts/tpu_pod.sh: all hosts
of a slice are one process of a study.
"""

import dataclasses
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from sah_jax import errors, hosts, numerics

LOGS_FOLDER = "logs"

_TIME_LIMIT_MIN = 240  # of a job; where it is over, the job goes back into the queue
_LOOK_EVERY_S = 10.0  # at the queue, which is everybody's
_FILES_S = 15.0  # until this machine sees what another one has written
_ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "REVOKED", "TIMEOUT", "UNKNOWN"}
"""States in which Slurm's jobs do not run any more; the last is ours, for those that it has forgotten."""
_OF_NUMERICS = ("JAX_", "LIBTPU_", "NPROC", "XLA_")


class Processes(Protocol):
    """Processes that were started."""

    def running(self) -> int:
        """Returns how many have not ended, those that wait for a machine too."""

    def failures(self, codes: Collection[int]) -> list[str]:
        """Returns a sentence for each that has ended and not with one of some exit codes."""

    def stop(self) -> str:
        """Ends those that should not outlive this process; returns the command for the others, or ""."""


def parse(text: str) -> tuple[str, int]:
    """Reads "local:3" or "slurm:8": where, and how many processes (1 where that is left out).

    Raises:
      UserError: it is neither.
    """
    kind, _, number = text.partition(":")
    if kind not in _STARTERS or not (number or "1").isdecimal() or not 1 <= int(number or 1) <= 9999:
        raise errors.UserError(
            f"--launcher is {text!r}, expected {' or '.join(f'{kind}:N' for kind in _STARTERS)} with a "
            "number of processes; correct it.")
    return kind, int(number or 1)


def parse_options(text: str) -> dict[str, Any]:
    """Reads "partition=gpu,timeout_min=600": numbers, True and False where they are, else texts.

    Raises:
      UserError: a part has no "=".
    """
    found: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        name, equals, value = part.partition("=")
        if not (name and equals):
            raise errors.UserError(
                f"--launcher_options has {part!r}, expected NAME=VALUE,... in submitit's names; correct it.")
        found[name] = _value(value)
    return found


def _value(text: str) -> int | float | bool | str:
    if text in ("True", "False"):
        return text == "True"
    # An account may have a name like 007.
    if re.fullmatch(r"0|[1-9]\d*", text):
        return int(text)
    return float(text) if re.fullmatch(r"\d+\.\d+", text) else text


def start(
    kind: str, number: int, arguments: Sequence[str], workdir: pathlib.Path, options: Mapping[str, Any]
) -> Processes:
    """Starts processes that run `sah ARGUMENTS`.

    Args:
      kind: "local" or "slurm".
      number: how many.
      arguments: of `sah`.
      workdir: the study's folder; their output goes to its logs.
      options: of Slurm, what submitit takes: partition, timeout_min (four hours if it is not given),
        gpus_per_node, cpus_per_task, mem_gb, or slurm_NAME for others of sbatch's that it knows.

    Raises:
      UserError: they cannot be started.
    """
    folder = workdir / LOGS_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(
            f"{folder}: cannot be made ({error.strerror}); choose another workdir.") from error
    return _STARTERS[kind](number, _command(arguments), folder, options)


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "sah_jax", *arguments]


@dataclasses.dataclass
class _Local:
    """Processes on this machine.

    Attributes:
      processes: with the file that each writes to.
    """

    processes: list[tuple[subprocess.Popen, pathlib.Path]]

    def running(self) -> int:
        return sum(process.poll() is None for process, _ in self.processes)

    def failures(self, codes: Collection[int]) -> list[str]:
        return [f"a process ended with code {process.returncode}, see {path}"
                for process, path in self.processes if process.poll() not in (None, *codes)]

    def stop(self) -> str:
        for process, _ in self.processes:
            process.kill()
        for process, _ in self.processes:
            process.wait()
        return ""


def _start_local(number: int, command: list[str], folder: pathlib.Path, options: Mapping[str, Any]) -> _Local:
    if options:
        raise errors.UserError(
            f"--launcher_options has {next(iter(options))!r}, which local processes do not take; remove it.")
    started = []
    for index, devices in enumerate(hosts.device_shares(number)):
        path = folder / f"local-{os.getpid()}-{index}.log"
        with open(path, "wb") as out:
            started.append((subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, **devices}), path))
    return _Local(started)


@dataclasses.dataclass(frozen=True)
class _Work:
    """What a job does, and does again from where it was when its time is over.

    Attributes:
      command: to run.
      environment: what is set for it besides the job's own.
      unset: what is not, though the job may have it.
    """

    command: list[str]
    environment: dict[str, str]
    unset: frozenset[str]

    @classmethod
    def here(cls, command: list[str]) -> "_Work":
        """Returns a command under the numerics of this process, whatever else of it Slurm hands on."""
        own = numerics.compilation_cache(os.environ).items() & os.environ.items()
        kept = {name: value for name, value in os.environ.items() if name.startswith(_OF_NUMERICS)}
        # The job's machine may have another processor, whose cache is another.
        return cls(command, dict(kept.items() - own), frozenset(dict(own)))

    def __call__(self) -> int:
        environment = {name: value for name, value in os.environ.items() if name not in self.unset}
        return subprocess.call(
            self.command, env=environment | self.environment, preexec_fn=_ignore_warning)

    def checkpoint(self) -> Any:
        """Returns what submitit puts back into the queue when Slurm warns that the time is over."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def _ignore_warning() -> None:
    """Leaves the warning, which all of a job's processes get, to submitit's, which puts the job back."""
    import submitit

    signal.signal(signal.Signals[f"SIG{submitit.JobEnvironment.USR_SIG}"], signal.SIG_IGN)


@dataclasses.dataclass
class _Slurm:
    """Jobs of a cluster, which outlive this process.

    Attributes:
      tasks: submitit's.
      states: of the jobs, by their ids, as Slurm calls them.
    """

    tasks: list[Any]
    states: dict[str, str]
    _looked: float = -math.inf

    def running(self) -> int:
        if time.monotonic() - self._looked >= _LOOK_EVERY_S:
            self._look()
        return sum(self.states[task.job_id] not in _ENDED for task in self.tasks)

    def _look(self) -> None:
        # Not submitit's way, sacct, which needs accounts that not every cluster keeps.
        said = subprocess.run(
            ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%i %T"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        self._looked = time.monotonic()
        if said.returncode:
            return  # it has no time now
        found = dict(line.split() for line in said.stdout.splitlines())
        for job, state in self.states.items():
            self.states[job] = found.get(job, state if state in _ENDED else "UNKNOWN")

    def failures(self, codes: Collection[int]) -> list[str]:
        found, deadline = [], time.monotonic() + _FILES_S
        for task in self.tasks:
            state = self.states[task.job_id]
            if state in _ENDED and (code := _code(task, deadline)) not in codes:
                # Where Slurm ended it, that is why; the process then has a code of a signal, or none.
                own = code is not None and state in ("COMPLETED", "UNKNOWN")
                how = f"with code {code}" if own else f"as {state}"
                where = f", see {task.paths.stdout}" if task.paths.stdout.exists() else ""
                found.append(f"job {task.job_id} ended {how}{where}")
        return found

    def stop(self) -> str:
        return f"scancel {' '.join(sorted({job.partition('_')[0] for job in self.states}))}"


def _code(task: Any, deadline: float) -> int | None:
    """Returns the code that a job's process ended with; None where something else ended the job."""
    path = task.paths.result_pickle
    # Asked for a list of its files, a shared folder shows what is in it now.
    while path not in path.parent.iterdir():
        if time.monotonic() > deadline:
            return None
        time.sleep(1.0)
    try:
        return task.result()
    except Exception:  # whatever ended it
        return None


def _start_slurm(number: int, command: list[str], folder: pathlib.Path, options: Mapping[str, Any]) -> _Slurm:
    try:
        import submitit
    except ImportError as error:
        raise errors.UserError(
            "--launcher=slurm needs the package submitit, which is not here; pip install 'sah_jax[slurm]'."
        ) from error
    given = {
        "name": "sah", "timeout_min": _TIME_LIMIT_MIN, "stderr_to_stdout": True,
        # Where a cluster is set not to hand an environment on, submitit would be without its own in a job.
        "slurm_srun_args": ["--export=ALL"], **options}
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that "partition" should be "slurm_partition"
            executor.update_parameters(**given)
        with executor.batch():
            jobs = [executor.submit(_Work.here(command)) for _ in range(number)]
    except (RuntimeError, ValueError, TypeError, NameError, AssertionError, NotImplementedError) as error:
        raise errors.UserError(
            f"Slurm did not take the jobs ({' '.join(str(error).split())}), expected a cluster with sbatch "
            "and options that it knows; correct --launcher_options or use --launcher=local:N.") from error
    tasks = [job.task(number) for job in jobs for number in range(job.num_tasks)]
    return _Slurm(tasks, {job.job_id: "PENDING" for job in jobs})


_STARTERS = {"local": _start_local, "slurm": _start_slurm}
