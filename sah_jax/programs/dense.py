"""Families whose numbers are added to some of the weights themselves."""

import dataclasses

from flax import traverse_util

from sah_jax.models import decoder as decoder_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import quantised


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseSetting(quantised.Form, quantised.Fitting):
    """See `quantised.Form` and `quantised.Fitting`."""


class DenseFamily(quantised.QuantisedFamily):
    """Coded deltas against some leaves of the base: sparse where rate-distortion training makes them so."""

    Form, Setting = quantised.Form, DenseSetting
    layered = False

    def adds_to(self, leaf: str) -> bool:
        """Whether the family adds to a leaf of `params`, such as "layers/ffn/up/kernel"."""
        raise NotImplementedError

    def shapes(self, form, decoder) -> dict[str, tuple[int, ...]]:
        """See `QuantisedFamily.shapes`."""
        leaves = traverse_util.flatten_dict(decoder_lib.abstract_params(decoder), sep="/")
        return {name: leaf.shape for name, leaf in leaves.items() if self.adds_to(name)}

    def portable(self, theta) -> bool:
        """See `QuantisedFamily.portable`."""
        return True

    def program(self, values, form, knobs, params, decoder) -> family_lib.Added:
        """See `QuantisedFamily.program`."""
        return family_lib.Added({}, traverse_util.unflatten_dict(values, sep="/"))
