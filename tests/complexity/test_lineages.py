"""Models that are one model at several stages."""

import re

import pytest

from sah_jax import errors
from sah_jax.complexity import lineages
from sah_jax.studies import paper


def test_a_lineage_is_read():
    one = lineages.parse("mine:a,b,c")
    assert one == lineages.Lineage("mine", "a", "b", "c") and one.stages == ("a", "b", "c")


@pytest.mark.parametrize(
    "text", ["", "mine", "mine:a,b", "mine:a,b,c,d", ":a,b,c", "mine:a,,c", "mine:a,b,a"])
def test_what_is_none_is_refused(text):
    with pytest.raises(errors.UserError, match="expected NAME:RANDOM,PRETRAINED,POSTTRAINED"):
        lineages.parse(text)


def test_no_model_is_in_two_places():
    stages = [model for one in lineages.KNOWN for model in one.stages]
    assert len(stages) == len(set(stages))


def test_the_papers_models_are_called_as_the_paper_does():
    # What a row calls a model of the hub: its name, and the revision or the seed.
    rows = {
        re.sub(r"^[^/]+/", "", model).replace("#", "-")
        for model in (*paper.PRETRAINED, *paper.LARGE, *paper.CHECKPOINTS)}
    assert rows <= set(lineages.PAPER_NAMES)
    stages = {model for one in lineages.KNOWN if one.name != "nano" for model in one.stages}
    assert set(lineages.PAPER_NAMES.values()) == stages | {"olmo3-32b-step656k"}


def test_stages_stand_together_in_the_order_of_their_training():
    known = (lineages.Lineage("L", "l0", "l2", "l4", ("l1",), ("l3",)),
             lineages.Lineage("M", "m0", "m1", "m2"))
    assert lineages.in_order(["l4", "mine", "m2", "l1", "other", "l3", "m0", "l1"], known) == [
        "l1", "l3", "l4", "mine", "m0", "m2", "other"]
    later = (*known, lineages.Lineage("N", "mine", "l4", "other"))
    assert lineages.in_order(["other", "l1", "l4", "mine"], later) == ["mine", "l4", "other", "l1"]
