"""Likelihoods of continuations: what the logits say of the continuation's own tokens."""

import jax
import numpy as np
import pytest

from sah_jax import errors
from sah_jax.models import generate, likelihood

PAIRS = [("the cat ", "sat"), ("", "on a mat."), ("a dog, a cat", ", 3 mice"), ("x" * 40, "y" * 20),
         ("q", "z")]


def _variables(base):
    return {"params": base.params, "program": {}}


def _by_hand(base, before, after):
    """Returns log-likelihood and greediness from the logits of the row alone."""
    logits_LV = base.decoder.apply(_variables(base), np.array([before + after]))[0]
    log_p = np.asarray(jax.nn.log_softmax(logits_LV), np.float64)
    own = range(len(before) - 1, len(before) + len(after) - 1)
    return (sum(log_p[at, token] for at, token in zip(own, after, strict=True)),
            all(log_p[at].argmax() == token for at, token in zip(own, after, strict=True)))


@pytest.mark.parametrize("context", [(), (5, 6, 7)])
def test_likelihoods_are_sums_over_the_continuation_s_tokens(tiny_base, context):
    found = likelihood.loglikelihoods(tiny_base, _variables(tiny_base), PAIRS, context=context)
    for (prompt, continuation), got in zip(PAIRS, found, strict=True):
        # Spaces at the end of a prompt are the continuation's.
        bare = prompt.rstrip()
        before = [0, *context, *tiny_base.encode(bare)]
        nats, greedy = _by_hand(tiny_base, before, tiny_base.encode(prompt[len(bare) :] + continuation))
        assert got.nats == pytest.approx(nats, abs=1e-3) and got.greedy == greedy


def test_what_is_generated_is_greedy_and_nothing_else_is(tiny_base):
    variables = _variables(tiny_base)
    (text,) = generate.generate(tiny_base, variables, ["the cat"], max_new_tokens=6)
    other = ("b" if text[0] == "a" else "a") + text[1:]
    found = likelihood.loglikelihoods(tiny_base, variables, [("the cat", text), ("the cat", other)])
    assert [one.greedy for one in found] == [True, False]


def test_start_token_may_be_left_out_but_where_nothing_else_stands_before(tiny_base):
    variables = _variables(tiny_base)
    found = likelihood.loglikelihoods(tiny_base, variables, [("ab", "c"), ("", "c")], start=False)
    for got, before in zip(found, (tiny_base.encode("ab"), [0]), strict=True):
        assert got.nats == pytest.approx(_by_hand(tiny_base, before, tiny_base.encode("c"))[0], abs=1e-3)


def test_long_prompts_are_refused_or_lose_their_beginning(tiny_base):
    variables, positions = _variables(tiny_base), tiny_base.spec.max_positions
    # Start, prompt and all but the last token of the continuation fill the positions.
    fits, after = "a" * (positions - 4), "bcde"
    (kept,) = likelihood.loglikelihoods(tiny_base, variables, [(fits, after)])
    with pytest.raises(errors.UserError, match=f"{positions - 3} of its prompt"):
        likelihood.loglikelihoods(tiny_base, variables, [("z" + fits, after)])
    # The start token goes first; before a context it stays, and the prompt's own tokens go.
    (cut,) = likelihood.loglikelihoods(tiny_base, variables, [("z" + fits, after)], cut=True)
    (bare,) = likelihood.of_rows(tiny_base, variables, [
        (tiny_base.encode("z" + fits), tiny_base.encode(after))])
    assert cut == bare != kept
    held = [likelihood.loglikelihoods(tiny_base, variables, [(text, after)], context=(5,), cut=True)
            for text in (fits[1:], "z" + fits)]
    assert held[0] == held[1]
    with pytest.raises(errors.UserError, match="has 0 tokens"):
        likelihood.loglikelihoods(tiny_base, variables, [("a", "")])


def test_many_rows_are_in_their_order(tiny_base):
    pairs = [("a" * (1 + 7 * index % 13), chr(97 + index % 26)) for index in range(70)]
    together = likelihood.loglikelihoods(tiny_base, _variables(tiny_base), pairs)
    alone = [likelihood.loglikelihoods(tiny_base, _variables(tiny_base), [pair])[0] for pair in pairs[::9]]
    np.testing.assert_allclose([one.nats for one in together[::9]], [one.nats for one in alone], atol=1e-4)
