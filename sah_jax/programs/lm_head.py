"""`lm_head`: the output layer, fine-tuned; the embedding too where a model ties the two, as in the paper."""

from sah_jax.models import decoder as decoder_lib
from sah_jax.programs import dense


class LmHead(dense.DenseFamily):
    """The output layer of a decoder."""

    name = "lm_head"
    alone = True

    def shapes(self, form, decoder):
        """See `QuantisedFamily.shapes`."""
        name = "embed" if decoder.spec.tied_embedding else "head"
        return {name: decoder_lib.abstract_params(decoder)[name].shape}

    def paper_count(self, theta, base) -> int:
        """See `QuantisedFamily.paper_count`."""
        return theta.latents.count
