"""A study in two phases, each in processes of its own: points are made, then they are verified.

So it goes where a process takes a whole device, as on TPUs and GPUs: the process that made the
points has ended when the one that verifies them begins. And so it goes on several hosts, where
each phase is a job of its own: every host runs the same command, which starts one process a phase.
Of several such commands on one folder, each makes points that no other makes, and verifies a share.

The process here never starts JAX.
"""

import contextlib
import pathlib
import time
from collections.abc import Sequence

import rich.console

from sah_jax import errors, hosts
from sah_jax.studies import claims as claims_lib
from sah_jax.studies import fresh, verification, verifier
from sah_jax.studies import results as results_lib
from sah_jax.studies import rows as rows_lib

MAKE, VERIFY, VERIFY_AGAIN = range(3)
"""The phases' numbers, see `hosts.job_environment`; the last is of `sah verify`."""

_LOOK_EVERY_S = 1.0  # at what others verify


def needed() -> bool:
    """Whether a study must run in phases here."""
    return hosts.in_job() or hosts.one_process_a_device()


def run(
    arguments: Sequence[str], workdir: pathlib.Path, console: rich.console.Console,
    lease_s: float = claims_lib.LEASE_S,
) -> tuple[bool, list[str]]:
    """Makes and verifies the points of a study that are not finished yet.

    Args:
      arguments: of `sah study`.
      workdir: the study's folder; of a job, that of the first host alone matters.
      console: gets a line a point.
      lease_s: see `claims.Claims`.

    Returns:
      Whether this host is the first, which has the results, and a sentence for each failure: points that
      could not be made or verified. The other points are there.

    Raises:
      UserError: a phase's process broke down.
    """
    with contextlib.ExitStack() as stack:
        if not hosts.in_job():
            # Of a job the first host alone has files, and no process here knows whether it is on that one.
            claims = stack.enter_context(contextlib.closing(claims_lib.Claims(workdir, lease_s)))
            claims.join()
        made = stack.enter_context(
            fresh.start(["study", *arguments, "--phase=make"], hosts.job_environment(MAKE)))
        made.wait()
        if made.returncode not in (0, errors.EXIT_CODE):
            raise errors.UserError(
                f"the process that made the points ended with code {made.returncode}; the same command goes "
                "on from there.")
        failures = ["some points could not be made, see above"] if made.returncode else []
        first, found, _ = verify_pending(workdir, console, lease_s)
    return first, failures + list(found.failed.values())


def verify_pending(
    workdir: pathlib.Path, console: rich.console.Console, lease_s: float = claims_lib.LEASE_S
) -> tuple[bool, results_lib.Results, list[pathlib.Path]]:
    """Verifies the points that a study left pending, in fresh processes (of each host).

    What others verify meanwhile is waited for, and taken over where they drop it.

    Returns:
      Whether this host is the first of its job, the results with the failures, and the programs that were
      tried.

    Raises:
      UserError: the process broke down; what was verified is kept.
    """
    found = results_lib.Results(workdir, console)
    if hosts.in_job():
        waiting = list(found.pending)
        return _verify(found, waiting), found, [workdir / row.program for row in waiting]
    asked, tried = {row.point for row in found.pending}, []
    if not asked:
        return True, found, tried
    with contextlib.closing(claims_lib.Claims(workdir, lease_s)) as claims:
        while waiting := [row for row in found.pending if row.point in asked]:
            # One by one, for some may be claimed; as many as leave the other workers theirs.
            share = -(-len(waiting) // max(1, claims.workers()))
            taken = []
            for row in waiting:
                if len(taken) < share and claims.take([row.point]):
                    taken.append(row)
            # Only now: whoever had a claim before may have settled its point.
            found.refresh()
            mine = [row for row in taken if row in found.pending]
            if mine:
                _verify(found, mine)
            tried += [workdir / row.program for row in mine]
            claims.release(row.point for row in taken)
            if not mine:
                time.sleep(_LOOK_EVERY_S)
            found.refresh()
    return True, found, tried


def _verify(found: results_lib.Results, waiting: Sequence[rows_lib.Row]) -> bool:
    """Verifies rows in one fresh process; returns whether this host is the first of its job."""
    workdir = found.workdir

    def settle(number: int, verdict: verification.Verdict) -> None:
        # What the row says has lain about since, too.
        found.settle(waiting[number], verifier.checked(workdir, waiting[number], verdict))

    return verification.verify_together(
        [("", workdir / row.program) for row in waiting], settle, hosts.job_environment(VERIFY))
