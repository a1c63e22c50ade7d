"""The families by name, in the order of their codes in a program file."""

from sah_jax import errors
from sah_jax.programs import base as family_lib
from sah_jax.programs import baseline, icl, lora, online, urial

# A file holds a family's place in this list: append only.
_FAMILIES: tuple[family_lib.Family, ...] = (
    baseline.Baseline(), urial.Urial(), icl.Icl(), lora.Lora(), online.Online())


def names() -> tuple[str, ...]:
    """Returns the names of all families."""
    return tuple(family.name for family in _FAMILIES)


def get_family(name: str) -> family_lib.Family:
    """Returns a family by its name.

    Raises:
      UserError: there is no such family.
    """
    for family in _FAMILIES:
        if family.name == name:
            return family
    raise errors.UserError(f"family {name!r} is not known; choose one of {', '.join(names())}.")
