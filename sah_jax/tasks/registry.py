"""Tasks by name: the package's, lm_eval's, those of a file of yours, and what a TOML file declares."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys

from sah_jax.errors import UserError
from sah_jax.tasks import declared, harness, options, tabular
from sah_jax.tasks.base import Task
from sah_jax.tasks.esnli import Esnli
from sah_jax.tasks.flores import Flores
from sah_jax.tasks.gsm8k import Gsm8k
from sah_jax.tasks.ifeval import IFEval
from sah_jax.tasks.nano_follow import NanoFollow
from sah_jax.tasks.nano_math import NanoMath
from sah_jax.tasks.nano_translate import NanoTranslate

FILES = "SAH_TASKS"
"""Environment variable: Python files of yours with tasks, and folders of lm_eval's task files, separated
as in PATH. No other code is run."""

_TASKS: dict[str, type] = {
    task.kind: task
    for task in (NanoMath, NanoTranslate, NanoFollow, Gsm8k, Flores, IFEval, Esnli)
}


def get_task(name: str) -> Task:
    """Returns a task.

    Args:
        name: The task's name, with its options after a colon ("gsm8k:train=gsm8k,reference"),
            "lm_eval:" and what lm_eval calls it, or the path of a TOML file.

    Returns:
        The task. Its own `name` has the options in one fixed order, without those at their defaults.

    Raises:
        UserError: If no task has that name, it has no such option, or a file cannot be read.
    """
    if name.endswith(declared.SUFFIX):
        return declared.read(name)
    kind, _, text = name.partition(":")
    paths = [os.path.abspath(path) for path in os.environ.get(FILES, "").split(os.pathsep) if path]
    folders = [path for path in paths if os.path.isdir(path)]
    if kind == harness.KIND:
        return harness.get(text, tuple(folders))
    tasks = dict(_TASKS)
    for path in paths:
        if path not in folders:
            tasks |= _tasks_of(path)
    if kind not in tasks:
        raise UserError(
            f"Got task {name!r}, expected one of {', '.join(sorted(tasks))}, {harness.KIND}:NAME, or a file "
            f"that declares one; change the task's name, or set {FILES} to the Python file that has it."
        )
    return options.parse(tasks[kind], text)


@functools.cache
def _tasks_of(path: str) -> dict[str, type]:
    """Runs a file; returns its classes that have a `kind`, by it."""
    module_name = f"{tabular.USERS}{os.path.basename(path).removesuffix('.py')}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    try:
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # where dataclasses look types up
        spec.loader.exec_module(module)
    except Exception as error:  # what a user's file raises can be anything
        raise UserError(
            f"{path}: cannot be run ({error!r}), expected a Python file with tasks; correct it or {FILES}."
        ) from error
    return {
        value.kind: value for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module_name and "kind" in vars(value)}
