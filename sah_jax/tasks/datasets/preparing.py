"""Preparing data sets: made once below data_dir, whole or not at all.

A data set's folder is DATA_DIR/sah_NAME/ORIGIN/VERSION. ORIGIN is `upstream` or changes with the bytes of
the user's files, so that rows of one origin are never taken for those of another.
"""

import contextlib
import importlib
import logging
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator

from sah_jax import errors
from sah_jax.tasks.datasets import sources

DATA_DIR, MANUAL_DIR = "SAH_DATA_DIR", "SAH_MANUAL_DIR"
"""Environment variables for what is not given."""

_BUILDERS = {
    "esnli": ("esnli", "ESNLI"), "flores": ("flores", "Flores"), "gsm8k": ("gsm8k", "Gsm8k"),
    "ifeval": ("ifeval", "IFEval"), "ifeval_train": ("ifeval", "IFEvalTrain"),
    "metamathqa": ("metamathqa", "MetaMathQA"), "nllb": ("nllb", "Nllb")}
# TFDS begins the names of folders it is writing in like this; a finished one is renamed.
_INCOMPLETE = "incomplete."


def names() -> tuple[str, ...]:
    """Returns the names of the data sets."""
    return tuple(_BUILDERS)


def prepare(
    name: str, data_dir: str | os.PathLike | None = None, manual_dir: str | os.PathLike | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> pathlib.Path:
    """Returns the folder of a data set, made first where data_dir does not hold it.

    Processes that prepare the same data set at once wait for the first of them. One that fails or is
    interrupted leaves nothing; what one that was killed left is removed by the next.

    Args:
      name: one of `names()`.
      data_dir: where prepared data sets are; by default $SAH_DATA_DIR, else where TFDS has them.
      manual_dir: folder with the source's files; by default $SAH_MANUAL_DIR. Without one, what data_dir
        holds is taken if that is unambiguous; if it holds nothing, the published source is downloaded.
      report: called with a line now and then about what is done.

    Raises:
      UserError: there is no such data set, a file is missing or another than was published, or a row is
        not what it should be.
    """
    builder = builder_class(name)
    root = _data_dir(data_dir) / builder.name
    manual_dir = manual_dir or os.environ.get(MANUAL_DIR)
    if manual_dir:
        inputs = sources.find(manual_dir, builder.SPLITS)
    else:
        inputs = sources.Inputs(_held(root, str(builder.VERSION)), {})
    folder = root / inputs.name / str(builder.VERSION)
    if folder.is_dir():
        return folder
    with (_alone(root), quiet(),
          tempfile.TemporaryDirectory(prefix=_INCOMPLETE, dir=root) as downloads):
        # What another process made meanwhile TFDS takes as it is.
        _build(builder(inputs, str(root.parent), report), folder, downloads)
    return folder


def _build(builder, folder: pathlib.Path, downloads: str) -> None:
    try:
        builder.download_and_prepare(download_dir=downloads)
    finally:
        # TFDS removes what it wrote itself, but not the folder around it.
        with contextlib.suppress(OSError):
            folder.parent.rmdir()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Has TFDS draw no bars and say nothing of what is no error, inside a `with`."""
    import tensorflow_datasets as tfds
    from absl import logging as absl_logging

    before, handler = absl_logging.get_verbosity(), logging.NullHandler()
    tfds.disable_progress_bar()
    absl_logging.set_verbosity(absl_logging.ERROR)
    # Where the root logger has no handler absl gives it one, and every library begins to speak.
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)
        absl_logging.set_verbosity(before)


@contextlib.contextmanager
def _alone(root: pathlib.Path) -> Iterator[None]:
    """Holds the lock of a data set, and removes what was left by a process that was killed holding it."""
    import filelock

    try:
        root.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(root / ".lock"):
            for left in (*root.glob(f"{_INCOMPLETE}*"), *root.glob(f"*/{_INCOMPLETE}*")):
                shutil.rmtree(left)
            yield
    except OSError as error:
        raise errors.UserError(
            f"{root}: cannot be written ({error}); make room there, or give another data_dir (or set "
            f"{DATA_DIR}).") from error


def _held(root: pathlib.Path, version: str) -> str:
    """Returns the origin to take where the user names none."""
    found = {path.parent.name: path for path in root.glob(f"*/{version}")}
    if sources.UPSTREAM in found or not found:
        return sources.UPSTREAM
    if len(found) > 1:
        raise errors.UserError(
            f"{root}: holds {len(found)} data sets made from different files ({', '.join(sorted(found))}), "
            f"expected one; give manual_dir (or set {MANUAL_DIR}) to say which, or remove the others.")
    return next(iter(found))


def builder_class(name: str) -> type:
    """Returns what builds a data set.

    Raises:
      UserError: there is no such data set.
    """
    if name not in _BUILDERS:
        raise errors.UserError(
            f"got data set {name!r}, expected one of {', '.join(names())}; change the name.")
    module, builder = _BUILDERS[name]
    return getattr(importlib.import_module(f"{__package__}.{module}"), builder)


def _data_dir(given: str | os.PathLike | None) -> pathlib.Path:
    import tensorflow_datasets as tfds

    found = given or os.environ.get(DATA_DIR) or tfds.core.constants.DATA_DIR
    return pathlib.Path(found).expanduser().absolute()
