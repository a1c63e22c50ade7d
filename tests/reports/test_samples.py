"""Samples of predictions: read whole or not at all, and shown until the page is full."""

import page_programs
import pytest

from sah_jax import errors
from sah_jax.reports import samples


def test_samples_are_read_in_their_order():
    second = {"prompt": "p", "answer": "", "response": "r", "more": 1}
    found = samples.parse({"samples": [page_programs.SAMPLE, second]}, "here")
    assert found == [("How many?", "7", "They are 7."), ("p", "", "r")]


@pytest.mark.parametrize("record", [{}, {"samples": []}])
def test_a_sidecar_may_have_none(record):
    assert samples.parse(record, "here") == []


@pytest.mark.parametrize("wrong", [
    {}, None, "text", [1], [{"prompt": "p", "answer": "a"}], [page_programs.SAMPLE | {"response": None}]])
def test_what_is_no_sample_is_refused_by_name(wrong):
    with pytest.raises(errors.UserError, match="^points/a/program.json: got the samples .*expected a list"):
        samples.parse({"samples": wrong}, "points/a/program.json")


def test_a_page_takes_samples_in_order_until_it_is_full(monkeypatch):
    monkeypatch.setattr(samples, "PAGE_CHARACTERS", 10)
    one = samples.Sample("abcd", "e", "")
    assert samples.select({3: [one], 1: [one, one], 2: [one], 0: []}) == {3, 2, 0}
