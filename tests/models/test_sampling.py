"""Sampled continuations follow the model's distribution, end where they should, and come again."""

import collections
import dataclasses

import jax
import numpy as np
import pytest

from sah_jax import errors
from sah_jax.models.generate import generate
from sah_jax.models.sampling import sample

OPTIONS = {"num": 8, "max_new_tokens": 8, "temperature": 1.0, "seed": 3}


@pytest.fixture(scope="module")
def variables(tiny_base):
    return {"params": tiny_base.params}


def test_near_temperature_0_every_sample_is_the_greedy_text(tiny_base, variables):
    (greedy,) = generate(tiny_base, variables, ["hello"], max_new_tokens=8, batch_size=1)
    assert sample(tiny_base, variables, "hello", **OPTIONS | {"temperature": 1e-4}) == [greedy] * 8
    context = tiny_base.encode("hel")
    assert sample(
        tiny_base, variables, "lo", **OPTIONS | {"temperature": 1e-4}, context=context) == [greedy] * 8


def test_samples_differ_and_come_again_with_their_seed(tiny_base, variables):
    first = sample(tiny_base, variables, "hello", **OPTIONS)
    assert len(set(first)) > 4 and {len(text) for text in first} == {8}
    assert sample(tiny_base, variables, "hello", **OPTIONS) == first
    assert sample(tiny_base, variables, "hello", **OPTIONS | {"seed": 4}) != first


def test_tokens_are_drawn_as_often_as_they_are_likely(tiny_base, variables):
    tokens = [tiny_base.spec.start_token, *tiny_base.encode("a b")]
    logits_V = np.asarray(jax.jit(tiny_base.decoder.apply)(variables, np.array([tokens])))[0, -1]
    likely_V = np.asarray(jax.nn.softmax(logits_V / 0.7))
    drawn = sample(tiny_base, variables, "a b", **OPTIONS | {
        "num": 4096, "max_new_tokens": 1, "temperature": 0.7})
    counts = collections.Counter(drawn)
    for token, share in enumerate(likely_V.tolist()):
        got = counts[tiny_base.decode([token])] / 4096
        assert abs(got - share) < 5 * (share * (1 - share) / 4096) ** 0.5 + 1e-3


def test_each_place_has_random_numbers_of_its_own(tiny_base, variables):
    """At this temperature every token is as likely as any other."""
    texts = sample(tiny_base, variables, "a b", **OPTIONS | {"temperature": 1e6})
    assert all(len(set(text)) > 2 for text in texts)


def test_a_sample_ends_before_an_end_token(tiny_base, variables):
    options = OPTIONS | {"num": 64, "temperature": 3.0}
    texts = sample(tiny_base, variables, "b", **options)
    end = texts[0][3]
    spec = dataclasses.replace(
        tiny_base.spec, end_tokens=(*tiny_base.spec.end_tokens, *tiny_base.encode(end)))
    ended = sample(dataclasses.replace(tiny_base, spec=spec), variables, "b", **options)
    assert [text.split(end)[0] for text in texts] == ended != texts


def test_what_cannot_be_sampled_is_refused(tiny_base, variables):
    with pytest.raises(errors.UserError, match="temperature is 0.0, expected a number above 0"):
        sample(tiny_base, variables, "a", **OPTIONS | {"temperature": 0.0})
    with pytest.raises(errors.UserError, match="needs 258 positions of 256"):
        sample(tiny_base, variables, "a", **OPTIONS | {"max_new_tokens": 256})
