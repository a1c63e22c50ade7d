"""`full`: full fine-tuning, a coded delta on every weight of the model."""

from sah_jax.programs import dense


class Full(dense.DenseFamily):
    """All weights of a decoder."""

    name = "full"
    alone = True

    def adds_to(self, leaf: str) -> bool:
        """See `DenseFamily.adds_to`."""
        return True

    def paper_count(self, theta, base) -> int:
        """See `QuantisedFamily.paper_count`."""
        return theta.latents.count
