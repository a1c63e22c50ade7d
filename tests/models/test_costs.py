"""Costs of sequences: the same as the logits say, and near what the coder's step says."""

import jax
import numpy as np

from sah_jax.models import costs


def test_each_token_costs_what_the_logits_before_it_say(tiny_base):
    tokens_BL = np.random.default_rng(0).integers(1, tiny_base.spec.vocab_size, (3, 9)).astype(np.int32)
    variables = {"params": tiny_base.params, "program": {}}
    got = costs.token_costs(tiny_base.decoder, variables, tokens_BL)
    logits_BLV = tiny_base.decoder.apply(variables, tokens_BL)[:, :-1]
    log_p = np.asarray(jax.nn.log_softmax(logits_BLV), np.float64) / np.log(2)
    expected = -np.take_along_axis(log_p, tokens_BL[:, 1:, None], axis=-1)[..., 0]
    np.testing.assert_allclose(got.ideal_bits, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got.quantised_bits, expected, rtol=1e-3, atol=1e-3)
    assert got.ideal_bits.shape == (3, 8)
