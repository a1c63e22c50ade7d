"""Programs of several sections, such as "icl+vector": a prompt, and numbers that are fitted under it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sah_jax import errors
from sah_jax.programs import base as family_lib
from sah_jax.programs import prompt, quantised


class Mixed:
    """A prompt family and a quantised one. Its settings are theirs, by their names.

    It has no code of its own in a file: its sections have theirs.
    """

    Setting = dict

    def __init__(self, first: family_lib.Family, second: family_lib.Family):
        if not isinstance(first, prompt.PromptFamily) or not isinstance(second, quantised.QuantisedFamily):
            raise errors.UserError(
                f"{first.name}+{second.name} is no family: expected a prompt family before the + and one of "
                "fitted numbers after it, such as icl+vector; correct the config.")
        self._first, self._second = first, second
        self.name = f"{first.name}+{second.name}"
        self.reads_examples = True

    def parse(self, given: Mapping[str, Any]) -> tuple[Any, Any]:
        """Returns both settings; see `base.parse_setting`."""
        if unknown := sorted(given.keys() ^ {self._first.name, self._second.name}):
            raise errors.UserError(
                f"{self.name} takes a setting for each of {self._first.name} and {self._second.name}, got "
                f"{unknown[0]!r} too many or none of it; correct the config.")
        return tuple(family_lib.parse_setting(part, given[part.name]) for part in (self._first, self._second))

    def fit(self, setting, base, task, seed, report, checkpoints=None) -> tuple[Any, Any]:
        """See `Family.fit`."""
        context = self._first.fit(setting[0], base, task, seed, report)
        (found,) = self._second.fit_together(
            [(setting[1], seed)], base, task, report, checkpoints, context=tuple(context))
        if isinstance(found, errors.UserError):
            raise found
        return context, found

    def sections(self, theta: tuple[Any, Any]) -> list[tuple[family_lib.Family, Any]]:
        """Returns the families of a file's sections, each with its θ."""
        return list(zip((self._first, self._second), theta, strict=True))

    def accounts(self, setting, theta, base) -> family_lib.Accounts:
        """See `Family.accounts`."""
        parts = [self._first.accounts(setting[0], theta[0], base),
                 self._second.accounts(setting[1], theta[1], base, tuple(theta[0]))]
        names = [field.name for field in dataclasses.fields(family_lib.Accounts)]
        return family_lib.Accounts(**{name: sum(getattr(part, name) for part in parts) for name in names})
