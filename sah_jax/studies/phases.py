"""A study in two phases, each in processes of its own: points are made, then they are verified.

So it goes where a process takes a whole device, as on TPUs and GPUs: the process that made the
points has ended when the one that verifies them begins. And so it goes on several hosts, where
each phase is a job of its own: every host runs the same command, which starts one process a phase.

The process here never starts JAX.
"""

import pathlib
from collections.abc import Sequence

import rich.console

from sah_jax import errors, hosts
from sah_jax.studies import fresh, verification, verifier
from sah_jax.studies import results as results_lib

MAKE, VERIFY, VERIFY_AGAIN = range(3)
"""The phases' numbers, see `hosts.job_environment`; the last is of `sah verify`."""


def needed() -> bool:
    """Whether a study must run in phases here."""
    return hosts.in_job() or hosts.one_process_a_device()


def run(
    arguments: Sequence[str], workdir: pathlib.Path, console: rich.console.Console
) -> tuple[bool, list[str]]:
    """Makes and verifies the points of a study that are not finished yet.

    Args:
      arguments: of `sah study`.
      workdir: the study's folder; of a job, that of the first host alone matters.
      console: gets a line a point.

    Returns:
      Whether this host is the first, which has the results, and a sentence for each failure: points that
      could not be made or verified. The other points are there.

    Raises:
      UserError: a phase's process broke down.
    """
    with fresh.start(["study", *arguments, "--phase=make"], hosts.job_environment(MAKE)) as made:
        made.wait()
    if made.returncode not in (0, errors.EXIT_CODE):
        raise errors.UserError(
            f"the process that made the points ended with code {made.returncode}; the same command goes on "
            "from there.")
    failures = ["some points could not be made, see above"] if made.returncode else []
    first, found, _ = verify_pending(workdir, console)
    return first, failures + list(found.failed.values())


def verify_pending(
    workdir: pathlib.Path, console: rich.console.Console
) -> tuple[bool, results_lib.Results, list[pathlib.Path]]:
    """Verifies the points that a study left pending, in one fresh process (of each host).

    Returns:
      Whether this host is the first of its job, the results with the failures, and the programs that were
      tried.

    Raises:
      UserError: the process broke down; what was verified is kept.
    """
    found = results_lib.Results(workdir, console)
    waiting = list(found.pending)
    programs = [workdir / row.program for row in waiting]

    def settle(number: int, verdict: verification.Verdict) -> None:
        # What the row says has lain about since, too.
        found.settle(waiting[number], verifier.checked(workdir, waiting[number], verdict))

    first = verification.verify_together(
        [("", program) for program in programs], settle, hosts.job_environment(VERIFY))
    return first, found, programs
