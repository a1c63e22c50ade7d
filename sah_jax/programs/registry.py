"""The families by name, in the order of their codes in a program file."""

from sah_jax import errors
from sah_jax.programs import base as family_lib
from sah_jax.programs import (
    baseline,
    bayesian_bits,
    combined,
    full,
    icl,
    lm_head,
    lora,
    mixed,
    norm_gains,
    online,
    prefix,
    urial,
    vector,
)

# A file holds a family's place in this list: append only.
_FAMILIES: tuple[family_lib.Family, ...] = (
    baseline.Baseline(), urial.Urial(), icl.Icl(), lora.Lora(), online.Online(), vector.Vector(),
    norm_gains.NormGains(), prefix.Prefix(), prefix.SoftPrompt(), lm_head.LmHead(), full.Full(),
    bayesian_bits.BayesianBits(), combined.Combined())


def names() -> tuple[str, ...]:
    """Returns the names of all families."""
    return tuple(family.name for family in _FAMILIES)


def get_family(name: str) -> family_lib.Family:
    """Returns a family by its name; "icl+vector" is one of two sections, see `mixed`.

    Raises:
      UserError: there is no such family.
    """
    for family in _FAMILIES:
        if family.name == name:
            return family
    if name.count("+") == 1:
        return mixed.Mixed(*map(get_family, name.split("+")))
    raise errors.UserError(f"family {name!r} is not known; choose one of {', '.join(names())}.")
