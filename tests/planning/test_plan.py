"""Plans of the real steps: compiled for simulated devices, for a TPU that is only described, and chosen."""

import dataclasses
import importlib.util
import json
import os

import jax
import peak_memory
import pytest

from sah_jax import errors
from sah_jax.models import hf_config
from sah_jax.planning import plan, steps, topologies

SETTING = steps.Setting(batch=8, length=6, rank=2, slots=3)


def test_sharded_over_simulated_devices_each_weight_is_gathered_once(tiny_config):
    found = plan.make(tiny_config, topologies.parse("cpu:2"), "codelength", SETTING)
    assert found.mesh == {"data": 1, "fsdp": 2, "tensor": 1} and found.fits is None
    (gathered,) = [one for one in found.collectives if one["kind"] == "all-gather"]
    spec = hf_config.read(tiny_config)
    norms = spec.width * (2 * spec.layers + 1)
    # XLA:CPU has no bfloat16 products: what is gathered may have been widened before.
    assert gathered["sent_bytes"] in (
        pytest.approx((spec.num_params - norms) * size / 2, rel=0.1) for size in (2, 4))
    products = spec.num_params - norms - spec.vocab_size * spec.width  # the embedding multiplies nothing
    tokens = SETTING.batch * SETTING.length / 2  # of each device
    assert found.flops == pytest.approx(2 * products * tokens, rel=0.2)
    assert 0 < found.compile_seconds < 60 and 2**27 < found.host_bytes < 2**32
    assert plan.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_lora_step_moves_weights_and_no_activations(even_spec, tmp_path):
    """Beside what is as thin as a pair, XLA would rather exchange the activations of every layer."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(hf_config.to_hf(dataclasses.replace(even_spec, width=64, ffn=512))))
    setting = steps.Setting(batch=4, length=16, rank=2)
    found = plan.make(config, topologies.parse("cpu:4"), "lora", setting)
    counts = {one["kind"]: one["count"] for one in found.collectives}
    assert counts["all-gather"] > even_spec.layers and counts.get("all-to-all", 0) <= 1


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
def test_a_step_compiles_for_a_described_tpu(tiny_config):
    found = plan.make(tiny_config, topologies.parse("v5e:1x1"), "lora", SETTING)
    assert found.fits and not found.refused and found.collectives == []
    assert found.argument_bytes < found.total_bytes < 2**26
    assert 0 < found.mfu_bound < 1 and found.bounds().keys() == {"compute", "memory", "interconnect"}


def test_a_mesh_over_which_the_model_does_not_divide_is_refused(tiny_config):
    sizes = {"data": 1, "fsdp": 1, "tensor": 4}
    with pytest.raises(errors.UserError, match="take the mesh"):
        plan.make(tiny_config, topologies.parse("cpu:4"), "decode", SETTING, sizes)


def test_a_process_that_ends_early_is_an_error(tiny_config, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(errors.UserError, match="ended with code 1"):
        plan.make(tiny_config, topologies.parse("cpu:2"), "decode", SETTING)


def _plan(topology, step, temporary_bytes, **changes):
    return plan.Plan(
        model="tiny", topology=topology.name, step=step, setting=dataclasses.asdict(SETTING), mesh={},
        flops=1e12, needed_flops=5e11, argument_bytes=10**9, compile_seconds=1, cpu_seconds=1, host_bytes=1,
        temporary_bytes=temporary_bytes, collectives=[], **changes)


def test_the_smallest_slice_is_the_first_that_fits_and_hopeless_ones_are_not_compiled(tiny_config):
    compiled, said = [], []

    def make_one(config, topology, step, setting):
        compiled.append(topology.name)
        return _plan(topology, step, 64 * 10**9 // topology.chips)

    found = plan.smallest(tiny_config, "v5e", "lora", SETTING, make_one, said.append)
    # After 64 GB of temporaries on one chip, four have at least 16 GB each.
    assert compiled == ["v5e:1x1", "v5e:2x4"] and found.topology == "v5e:2x4"
    assert [line.partition(":")[2][:3] for line in said] == ["1x1", "2x2"]


def test_fitting_leaves_a_margin_and_takes_everything_into_account():
    topology = topologies.parse("v5e:1x1")
    room = int(plan.budget_bytes(topology.chip)) - 10**9
    assert _plan(topology, "lora", room).fits
    assert not _plan(topology, "lora", room, code_bytes=2**20).fits
    assert not _plan(topology, "lora", room, output_bytes=2**20).fits
    assert _plan(topology, "lora", 0, refused="too much", too_large=True).fits is False
    assert _plan(topology, "lora", 0, refused="an internal error").fits is None


def test_a_step_takes_as_long_as_its_slowest_part(tiny_config):
    found = _plan(topologies.parse("v5e:2x2"), "lora", 0)
    assert found.bounds()["compute"] == pytest.approx(1e12 / 197e12)
    assert found.mfu_bound == pytest.approx(0.5)  # half of what is computed is needed
    sends = dataclasses.replace(found, collectives=[
        {"kind": "all-gather", "count": 1, "sent_bytes": 10**10}])
    assert sends.bounds()["interconnect"] == pytest.approx(0.05)
    assert sends.mfu_bound == pytest.approx(5e11 / 197e12 / 0.05)
    assert dataclasses.replace(found, collectives=None).sent_bytes is None


def test_planning_allocates_nothing(shared_data):
    """The 32B model is described within what this process holds anyway."""
    (config,) = shared_data.glob("model-configs/olmo-3-1125-32b*.json")
    spec, before = hf_config.read(config), peak_memory.reset()
    sizes = steps.choose_mesh("lora", spec, 64, steps.Setting(64, 512))
    assert sizes == {"data": 1, "fsdp": 64, "tensor": 1}
    assert peak_memory.peak() - before < 2**28


@pytest.mark.parametrize("step, chips, sizes", [
    ("lora", 8, (1, 8, 1)), ("lora", 16, (1, 8, 2)), ("codelength", 8, (1, 8, 1)), ("decode", 8, (4, 1, 2)),
    ("decode", 2, (1, 1, 2))])
def test_the_mesh_that_suits_a_step(even_spec, step, chips, sizes):
    assert tuple(steps.choose_mesh(step, even_spec, chips, SETTING).values()) == sizes


def test_codelengths_are_not_planned_on_more_chips_than_rows(even_spec):
    with pytest.raises(errors.UserError, match="tokens_BL has shape"):
        steps.choose_mesh("codelength", even_spec, 16, SETTING)


def test_a_worker_does_not_fill_the_compilation_cache(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    plan.make(tiny_config, topologies.parse("cpu:1"), "decode", SETTING)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", steps.STEPS)
@pytest.mark.parametrize("quantization", ["", "nf4"])
def test_the_table_of_a_step_adds_up_to_its_arguments(tiny_config, step, quantization):
    setting = dataclasses.replace(SETTING, quantization=quantization)
    sizes = {"data": 2, "fsdp": 2, "tensor": 1}
    rows = plan.sharding_table(tiny_config, step, sizes, setting)
    mesh = jax.sharding.AbstractMesh(tuple(sizes.values()), tuple(sizes))
    described = steps.describe(step, hf_config.read(tiny_config), mesh, setting)
    assert sum(row.bytes_per_device for row in rows) == described.argument_bytes
    assert any(row.path.endswith("q/codes") for row in rows) == bool(quantization)
    assert {row.path.split("/")[0] for row in rows} == {
        "decode": {"variables", "cache", "tokens_B", "position"}, "codelength": {"variables", "tokens_BL"},
    }.get(step, {"state", "params", "batch"})
