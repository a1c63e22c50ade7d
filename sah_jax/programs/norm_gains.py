"""`norm_gains`: what is added to the gains of all norms, some hundred numbers a layer."""

from sah_jax.programs import dense


class NormGains(dense.DenseFamily):
    """The gains of a decoder's norms."""

    name = "norm_gains"

    def adds_to(self, leaf: str) -> bool:
        """See `DenseFamily.adds_to`."""
        return leaf.endswith("norm/scale")
