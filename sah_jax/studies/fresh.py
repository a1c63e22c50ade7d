"""Fresh processes of `sah`, which end when the process that started them does, however that ends."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence

from sah_jax import errors

_CHILD = "SAH_ENDS_WITH_STDIN"


def end_with_parent() -> None:
    """Makes this process end as soon as the one that started it by `start` has ended.

    Killed at once, a study would otherwise leave a process behind that holds the device.
    """
    if os.environ.pop(_CHILD, ""):
        threading.Thread(target=_wait_and_exit, args=(os.dup(0),), daemon=True).start()


def _wait_and_exit(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    os._exit(1)


@contextlib.contextmanager
def start(arguments: Sequence[str], environment: Mapping[str, str], **options) -> Iterator[subprocess.Popen]:
    """Runs `sah ARGUMENTS`; at the end of the context it is waited for, or killed where that was left early.

    Args:
      arguments: a command of `sah` that calls `end_with_parent`, and what it takes.
      environment: set besides this process's, see `numerics.environment_for`.
      **options: of `subprocess.Popen`.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "sah_jax", *arguments], env={**os.environ, **environment, _CHILD: "1"},
        stdin=subprocess.PIPE, **options)
    try:
        yield process
        process.wait()
    finally:
        process.kill()
        process.stdin.close()
        process.wait()


def lines(
    command: str, target: str, files: Mapping[str, bytes], arguments: Sequence[str],
    environment: Mapping[str, str],
) -> Iterator[str]:
    """Runs `sah COMMAND TARGET ARGUMENTS` in a fresh process; yields the lines that it prints.

    Args:
      command: of `sah`.
      target: one of the files, or "" for the folder in which they lie alone.
      files: names and contents.
      arguments: more of them.
      environment: set besides this process's.

    Raises:
      UserError: the process failed; its last words.
    """
    with tempfile.TemporaryDirectory(prefix="sah-fresh-") as folder, tempfile.TemporaryFile("w+") as said:
        for name, data in files.items():
            pathlib.Path(folder, name).write_bytes(data)
        given = [command, str(pathlib.Path(folder, target)), *arguments]
        with start(given, environment, stdout=subprocess.PIPE, stderr=said, text=True) as process:
            with process.stdout:
                yield from process.stdout
        if process.returncode:
            said.seek(0)
            # Where C++ code gives up, its stack follows what it says.
            last = [line for line in said.read().strip().splitlines()
                    if not re.match(r"\s*(@ |\*\*\*)", line)]
            raise errors.UserError(last[-1] if last else f"the process ended with code {process.returncode}")
