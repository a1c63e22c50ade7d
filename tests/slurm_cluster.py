"""A Slurm cluster of one node: this machine, with daemons, ports and folders of its own."""

import contextlib
import os
import pathlib
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence

import free_port

_DAEMONS = ("munged", "slurmctld", "slurmd")
_START_S, _END_S = 60.0, 30.0

_CONFIG = """
ClusterName=test
SlurmctldHost={host}(localhost)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=localhost CPUs={cpus}
PartitionName=all Nodes=ALL Default=YES
"""


def why_not() -> str:
    """Says why this machine can have no such cluster; '' where it can."""
    if absent := [name for name in _DAEMONS if not _find(name)]:
        return f"no {', '.join(absent)} here (Debian's package slurm-wlm)"
    return "" if os.geteuid() == 0 else "Slurm's daemons must be root's"


@contextlib.contextmanager
def start(folder: pathlib.Path, cpus: int = 2) -> Iterator[dict[str, str]]:
    """Runs a cluster in a folder; yields what to set in the environment of its users.

    Args:
      folder: empty, with a path short enough for that of a socket.
      cpus: how many jobs of one CPU run at once, whatever the machine has.
    """
    controller, node = (free_port.address().rpartition(":")[2] for _ in range(2))
    config = folder / "slurm.conf"
    config.write_text(_CONFIG.format(
        host=platform.node().partition(".")[0], folder=folder, controller_port=controller, node_port=node,
        cpus=cpus))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    environment = {**os.environ, "SLURM_CONF": str(config)}
    commands = {
        # Forced, because others cannot reach the socket in this folder, and need not.
        "munged": ["--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
                   f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munged.seed",
                   f"--log-file={folder}/munged.log"],
        "slurmctld": ["-D", "-f", config], "slurmd": ["-D", "-f", config]}
    daemons: list[subprocess.Popen] = []
    try:
        for name, arguments in commands.items():
            with open(folder / f"{name}.out", "wb") as out:
                daemons.append(subprocess.Popen(
                    [_find(name), *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=out,
                    stderr=subprocess.STDOUT))
        _wait(_START_S, lambda: is_idle(environment), f"the cluster does not start, see {folder}")
        yield environment
    finally:
        _ask(["scancel", "--me"], environment)
        with contextlib.suppress(TimeoutError):
            _wait(_END_S, lambda: not _ask(["squeue", "--noheader"], environment), "jobs do not end")
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in reversed(daemons):
            try:
                daemon.wait(_END_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def is_idle(environment: dict[str, str]) -> bool:
    """Whether a cluster is up and nothing of any job is left on it."""
    return _ask(["sinfo", "--noheader", "--format=%T"], environment).strip() == "idle"


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _ask(command: Sequence[str], environment: dict[str, str]) -> str:
    return subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        check=False).stdout


def _wait(seconds: float, done, why: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(why)
        time.sleep(0.2)
