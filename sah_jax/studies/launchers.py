"""Starting the processes of a study: here, or as jobs of a Slurm cluster.

Each runs the same `sah study` on the same folder, which must be one that all of them see; what they make
of it is theirs to agree on (`sah_jax.studies.claims`). For slices of TPUs see scripts/tpu_pod.sh: all hosts
of a slice are one process of a study.
"""

import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sah_jax import errors

LOGS_FOLDER = "logs"

_EXIT_CODES = (0, errors.EXIT_CODE)  # of a study that ran to its end


class Processes(Protocol):
    """Processes that were started."""

    def running(self) -> int:
        """Returns how many have not ended, those that wait for a machine too."""

    def failures(self) -> list[str]:
        """Returns a sentence for each that broke down. That a point failed is not that."""

    def stop(self) -> None:
        """Ends those that run."""


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
    """Reads "partition=gpu,timeout_min=600": numbers where they are whole ones, else texts.

    Raises:
      UserError: a part has no "=".
    """
    found: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        name, equals, value = part.partition("=")
        if not (name and equals):
            raise errors.UserError(
                f"--launcher_options has {part!r}, expected NAME=VALUE,... in submitit's names; correct it.")
        found[name] = int(value) if value.isdecimal() else value
    return found


def start(
    kind: str, number: int, arguments: Sequence[str], workdir: pathlib.Path, options: Mapping[str, Any]
) -> Processes:
    """Starts processes that run `sah ARGUMENTS`.

    Args:
      kind: "local" or "slurm".
      number: how many.
      arguments: of `sah`.
      workdir: the study's folder; their output goes to its logs.
      options: of Slurm, what submitit takes: partition, timeout_min, gpus_per_node, cpus_per_task, mem_gb,
        or slurm_NAME for any of sbatch's.

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

    def failures(self) -> list[str]:
        return [f"a process ended with code {process.returncode}, see {path}"
                for process, path in self.processes if process.poll() not in (None, *_EXIT_CODES)]

    def stop(self) -> None:
        for process, _ in self.processes:
            process.kill()
        for process, _ in self.processes:
            process.wait()


def _start_local(number: int, command: list[str], folder: pathlib.Path, options: Mapping[str, Any]) -> _Local:
    if options:
        raise errors.UserError(
            f"--launcher_options has {next(iter(options))!r}, which local processes do not take; remove it.")
    started = []
    for index in range(number):
        path = folder / f"local-{os.getpid()}-{index}.log"
        with open(path, "wb") as out:
            started.append((subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT), path))
    return _Local(started)


@dataclasses.dataclass
class _Slurm:
    """Jobs of a cluster, which outlive this process.

    Attributes:
      jobs: submitit's.
    """

    jobs: list[Any]

    def running(self) -> int:
        return sum(not job.done() for job in self.jobs)

    def failures(self) -> list[str]:
        return [f"job {job.job_id} ended as {job.state}, see {job.paths.stderr}"
                for job in self.jobs if job.done() and _broke_down(job)]

    def stop(self) -> None:
        for job in self.jobs:
            job.cancel()


def _broke_down(job: Any) -> bool:
    try:
        return job.result() not in _EXIT_CODES
    except Exception:  # whatever ended it
        return True


def _start_slurm(number: int, command: list[str], folder: pathlib.Path, options: Mapping[str, Any]) -> _Slurm:
    try:
        import submitit
    except ImportError as error:
        raise errors.UserError(
            "--launcher=slurm needs the package submitit, which is not here; pip install 'sah_jax[slurm]'."
        ) from error
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
        executor.update_parameters(name="sah", **options)
        with executor.batch():
            jobs = [executor.submit(subprocess.call, command) for _ in range(number)]
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise errors.UserError(
            f"Slurm did not take the jobs ({' '.join(str(error).split())}), expected a cluster with sbatch "
            "and options that it knows; correct --launcher_options or use --launcher=local:N.") from error
    return _Slurm(jobs)


_STARTERS = {"local": _start_local, "slurm": _start_slurm}
