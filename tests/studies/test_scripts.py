"""The sizes of scripts: each part of a pair counts, and nothing is shorter than the base by itself."""

import pytest

from sah_jax.programs import registry
from sah_jax.studies import scripts


@pytest.mark.parametrize("family", ["lora", "vector", "prefix", "soft_prompt", "norm_gains"])
def test_what_is_fitted_as_lora_counts_as_it_does(family):
    assert scripts.bits(family) == scripts.bits("lora") > 0


@pytest.mark.parametrize("pair", ["icl+vector", "urial+lora", "icl+icl"])
def test_a_pair_has_both_scripts(pair):
    first, second = pair.split("+")
    assert scripts.bits(pair) == scripts.bits(first) + scripts.bits(second)


@pytest.mark.parametrize("family", [*registry.names(), "icl+vector"])
def test_a_program_that_changes_nothing_is_no_shorter_than_the_base_model(family):
    assert scripts.bits(family, unchanged=True) == max(scripts.bits(family), scripts.bits("baseline"))


def test_a_lora_of_zeros_is_counted_as_the_base_model():
    assert scripts.bits("lora") < scripts.bits("lora", unchanged=True) == scripts.bits("baseline")
