"""Names of slices: what they stand for, and what is refused."""

import math

import pytest

from sah_jax import errors
from sah_jax.planning import topologies


@pytest.mark.parametrize("generation", topologies.SLICES)
def test_slices_ascend_and_have_as_many_chips_as_their_shape(generation):
    found = topologies.ascending(generation)
    assert [one.chips for one in found] == sorted(one.chips for one in found)
    for one in found:
        assert one.chips == math.prod(int(size) for size in one.name.partition(":")[2].split("x"))
        assert topologies.parse(one.name) == one and one.chip is topologies.CHIPS[generation]


def test_a_chip_needs_hundreds_of_operations_for_each_byte_it_reads_or_sends():
    """A misplaced unit would be a factor of at least 8."""
    for chip in topologies.CHIPS.values():
        assert 100 < chip.flops / chip.hbm_bandwidth < 1000
        assert 2 < chip.hbm_bandwidth / chip.ici_bandwidth < 8


def test_simulated_devices_have_no_facts_and_ask_for_as_many_devices():
    topology = topologies.parse("cpu:8")
    assert topology.chips == 8 and topology.chip is None
    assert topology.environment["JAX_NUM_CPU_DEVICES"] == "8"
    topologies.check_compiler(topology)  # needs nothing


@pytest.mark.parametrize("name", ["v5litepod-16", "4x4", "v5e", "v5e:3x3", "v9:2x2", "cpu:0", "v5p:4x4", ""])
def test_another_name_is_refused_with_names_to_take(name):
    with pytest.raises(errors.UserError, match="v5e|v5p:4x4x4") as refused:
        topologies.parse(name)
    assert repr(name) in str(refused.value)


def test_a_missing_compiler_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.UserError, match=r"is not installed; .*pip install '\.\[tpu\]'"):
        topologies.devices(topologies.parse("v5e:2x2"))
