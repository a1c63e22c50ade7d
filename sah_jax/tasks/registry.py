"""Tasks by name."""

from __future__ import annotations

from collections.abc import Callable

from sah_jax.errors import UserError
from sah_jax.tasks.base import Task
from sah_jax.tasks.nano_follow import NanoFollow
from sah_jax.tasks.nano_math import NanoMath
from sah_jax.tasks.nano_translate import NanoTranslate

_TASKS: dict[str, Callable[[], Task]] = {
    task.name: task for task in (NanoFollow, NanoMath, NanoTranslate)
}


def get_task(name: str) -> Task:
    """Returns a task.

    Args:
        name: The task's name.

    Returns:
        The task.

    Raises:
        UserError: If no task has that name.
    """
    if name not in _TASKS:
        raise UserError(
            f"Got task {name!r}, expected one of {', '.join(sorted(_TASKS))}; "
            "change the task's name."
        )
    return _TASKS[name]()
