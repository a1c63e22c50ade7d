"""Metrics as runs of Weights & Biases, one for each point, however many processes have worked on it.

W&B's own calls wait for a network, so a thread makes them: a study does not. What they would send besides
metrics (host, paths, packages, code) is turned off. WANDB_MODE=offline keeps everything in the study's
folder, for `wandb sync`.
"""

import hashlib
import pathlib
import queue
import threading
import uuid
from collections.abc import Callable
from typing import Any

import filelock
import numpy as np

from sah_jax import errors
from sah_jax.studies import metrics
from sah_jax.studies import rows as rows_lib

_ID_NAME = ".wandb_id"
_START_S, _END_S = 30.0, 60.0  # until a run that does not start, or is not received, is given up
_PATIENCE_S = 2.0  # until a person who waits for the end is told why
_OFF = ("offline", "disabled", "dryrun")


def check() -> None:
    """Looks whether W&B can be used.

    Raises:
      UserError: it is not installed, or does not know who is sending.
    """
    try:
        import wandb
    except ImportError as error:
        raise errors.UserError(
            "--wandb needs the package wandb, which is not here; pip install 'sah_jax[wandb]'.") from error
    reason = "there is no API key"
    try:
        mode = wandb.setup(_settings()).settings.mode
        # Whether the server takes it is not asked: it may be out of reach, which is no reason not to start.
        ready = mode in _OFF or wandb.login(prompt=False, verify=False)
    except (wandb.Error, TypeError, ValueError) as error:  # the last two from other versions
        ready, reason = False, " ".join(str(error).split())
    if not ready:
        raise errors.UserError(
            f"--wandb cannot log in with wandb {wandb.__version__} ({reason}), expected that of "
            "'sah_jax[wandb]' and a key in WANDB_API_KEY or from wandb login; log in, or set "
            "WANDB_MODE=offline.")


def _settings() -> Any:
    """Returns W&B's settings: no word on the console, and nothing is sent but what a study says."""
    import wandb

    return wandb.Settings(
        silent=True, console="off", program="sah", disable_git=True, save_code=False,
        x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True, x_save_requirements=False,
        init_timeout=_START_S, finish_timeout=_END_S, finish_timeout_raises=True)


class WandbRuns:
    """A `metrics.Writer`.

    Args:
      workdir: the study's folder; names the group of its runs.
      project: of W&B, or ENTITY/PROJECT.
      say: called with a line where one has to wait at the end.
    """

    name = "W&B"

    def __init__(self, workdir: pathlib.Path, project: str, say: Callable[[str], None]):
        import wandb

        self._wandb, self._workdir, self._say = wandb, workdir, say
        self._entity, _, self._project = project.rpartition("/")
        self._runs: dict[str, Any] = {}
        self._study = ""
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def losses(self, run: metrics.Run, before: int, losses: np.ndarray) -> None:
        """See `metrics.Writer.losses`."""
        def log():
            opened = self._open(run)
            for step, loss in enumerate(losses, start=before + 1):
                # Of steps that are taken again it keeps what it has: they come to the same.
                opened.log({"loss": float(loss)}, step=step, commit=True)

        self._put(log)

    def final(self, run: metrics.Run, values: dict[str, float]) -> None:
        """See `metrics.Writer.final`."""
        self._put(lambda: self._end(run, values, 0))

    def failed(self, run: metrics.Run, why: str) -> None:
        """See `metrics.Writer.failed`."""
        self._put(lambda: self._end(run, {"failed": why}, 1))

    def close(self) -> None:
        """See `metrics.Writer.close`."""
        self._put(None)
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            self._say("Waiting for W&B to take the last metrics; everything else is written.")
        self._thread.join()
        self._check()

    def _put(self, call: Callable[[], None] | None) -> None:
        self._check()
        self._calls.put(call)

    def _check(self) -> None:
        if self._failure:
            raise self._failure

    def _work(self) -> None:
        try:
            while call := self._calls.get():
                call()
            for opened in self._runs.values():
                opened.finish(exit_code=1)
        except Exception as error:  # told when it is called next
            self._failure = error

    def _open(self, run: metrics.Run) -> Any:
        if run.name not in self._runs:
            self._study = self._study or _study_id(self._workdir)
            self._runs[run.name] = self._wandb.init(
                entity=self._entity or None, project=self._project, group=self._workdir.resolve().name,
                name=run.title, config=run.config, dir=self._workdir, reinit="create_new", resume="allow",
                # The same one, whichever process goes on with it.
                id=hashlib.sha256(f"{self._study} {run.name}".encode()).hexdigest()[:16],
                settings=_settings())
        return self._runs[run.name]

    def _end(self, run: metrics.Run, summary: dict[str, Any], exit_code: int) -> None:
        opened = self._open(run)
        opened.summary.update({"failed": "", **summary})  # an earlier attempt may have
        opened.finish(exit_code=exit_code)
        del self._runs[run.name]


def _study_id(workdir: pathlib.Path) -> str:
    """Returns what tells a study's runs from those of others, for all of its processes the same."""
    path = workdir / _ID_NAME
    with filelock.FileLock(workdir / f"{_ID_NAME}.lock"):
        if not path.is_file():
            rows_lib.replace_text(path, uuid.uuid4().hex)
        return path.read_text()
