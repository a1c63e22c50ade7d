"""Options of a task, as text: ``gsm8k:train=gsm8k,reference`` is the task ``gsm8k`` with two.

A task with options is a frozen dataclass. A field of type bool is a flag, said by its name; one
of ``Literal`` strings is said as ``name=value``. What is not said has its default.
"""

from __future__ import annotations

import dataclasses
import typing

from sah_jax.errors import UserError

T = typing.TypeVar("T")


def parse(cls: type[T], text: str) -> T:
    """Makes a task.

    Args:
        cls: The task's class, with its name as ``cls.kind``.
        text: What stands after the colon of the task's name; may be empty.

    Returns:
        The task.

    Raises:
        UserError: If an option is unknown, said twice, or has no such value.
    """
    choices, values = _choices(cls), {}
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        if key not in choices:
            said = ", ".join(_usage(key, some) for key, some in choices.items()) or "none"
            raise UserError(
                f"Got the option {part!r} of task {cls.kind}, expected one of {said}; "
                "change the task's name."
            )
        if key in values or bool(equals) != bool(choices[key]):
            raise UserError(
                f"Got the option {part!r} of task {cls.kind}, expected "
                f"{_usage(key, choices[key])} once; change the task's name."
            )
        if equals and value not in choices[key]:
            raise UserError(
                f"Got {value!r} as option {key} of task {cls.kind}, expected one of "
                f"{', '.join(choices[key])}; change the task's name."
            )
        values[key] = value if equals else True
    return cls(**values)


def spell(task: typing.Any) -> str:
    """Returns a task's name with the options that are not at their defaults, in one fixed order."""
    parts = []
    for field in dataclasses.fields(task):
        value = getattr(task, field.name)
        if value != field.default:
            parts.append(field.name if value is True else f"{field.name}={value}")
    return ":".join([task.kind, ",".join(parts)] if parts else [task.kind])


def _choices(cls: type) -> dict[str, tuple[str, ...]]:
    """Returns the values that each option may have; none for a flag."""
    if not dataclasses.is_dataclass(cls):
        return {}
    kinds = typing.get_type_hints(cls)
    found = {field.name: typing.get_args(kinds[field.name]) for field in dataclasses.fields(cls)}
    for name, values in found.items():
        if kinds[name] is not bool and not (values and all(isinstance(value, str) for value in values)):
            raise UserError(
                f"The option {name!r} of task {cls.kind} is a {kinds[name]}, expected bool or a Literal of "
                "texts; change the field of its class."
            )
    return found


def _usage(key: str, values: tuple[str, ...]) -> str:
    return f"{key}={'|'.join(values)}" if values else key
