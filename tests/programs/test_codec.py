"""Properties that every family's program files have."""

import os
import random
import subprocess
import sys

import adapters
import jax
import numpy as np
import orders
import pytest

from sah_jax import errors, numerics
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, registry, vector

# Enough steps for some numbers to leave zero, of few rows.
FIT = {"learning_rate": 1e-2, "num_examples": 32, "batch_size": 2, "max_tokens": 96}
SETTINGS = {
    "baseline": {},
    "urial": {},
    "icl": {"num_examples": 2},
    "lora": FIT | {"rank": 4, "bits_per_weight": 3},
    "vector": FIT | {"size": 300, "rate_weight": 1e-5},
    "norm_gains": FIT,
    "prefix": FIT | {"slots": 3, "learning_rate": 5e-2},
    "soft_prompt": FIT | {"slots": 3, "learning_rate": 5e-2},
    "lm_head": FIT | {"rate_weight": 1e-5},
    "full": FIT | {"learning_rate": 1e-3, "bits_per_weight": 3},
    "bayesian_bits": {"num_examples": 4, "batch_size": 2, "max_tokens": 96, "rank": 2},
    "combined": FIT | {"coded_examples": 8, "data_rate": 1e-3, "steps": 2},
    "online": {"num_examples": 10, "learning_rate": 1e-3, "epochs": 2, "batch_size": 4},
}
# What a stream may cost beyond its ideal length, relative and in bits: the bound.
OVERHEAD_RATIO, OVERHEAD_BITS = 1e-3, 32


@pytest.fixture(scope="module")
def programs(nano, nano_math) -> dict[str, codec.Program]:
    """One program of every family."""
    made = {}
    for name, setting in SETTINGS.items():
        family = registry.get_family(name)
        theta = family.fit(
            family_lib.parse_setting(family, setting), nano, nano_math, 3, codec.silent)
        made[name] = codec.write(family, theta, nano)
    return made


def test_settings_cover_every_family(programs):
    assert set(SETTINGS) == set(registry.names())
    assert [name for name, program in programs.items() if program.adapted.unchanged] == ["baseline"]


@pytest.mark.parametrize("name", SETTINGS)
def test_read_gives_back_the_model_that_was_written(name, programs, nano):
    read = codec.read(programs[name].data, nano)
    assert read.family == name
    assert read.adapted.digest() == programs[name].adapted.digest()
    jax.tree.map(np.testing.assert_array_equal, read.adapted.program, programs[name].adapted.program)


@pytest.mark.parametrize("name", SETTINGS)
def test_ledger_sums_to_the_file_and_is_the_same_on_both_sides(name, programs, nano):
    written, read = programs[name], codec.read(programs[name].data, nano)
    assert sum(entry.bits for entry in written.ledger) == 8 * len(written.data) == written.bits
    assert all(entry.bits >= 0 for entry in written.ledger)
    assert read.ledger == written.ledger and read.ideal_bits == written.ideal_bits


@pytest.mark.parametrize("name", SETTINGS)
def test_length_is_close_to_ideal(name, programs):
    program = programs[name]
    assert program.bits <= program.ideal_bits * (1 + OVERHEAD_RATIO) + OVERHEAD_BITS
    # No token costs more than the 30 bits of the smallest frequency, however unlikely it is.
    views = program.books.views
    tokens = program.books.view("token", len(program.data)) if "token" in views else ()
    spared = sum(max(0.0, part.ideal_bits - 30.0) for part in tokens)
    assert program.bits >= (program.ideal_bits - spared) * (1 - OVERHEAD_RATIO) - OVERHEAD_BITS


@pytest.mark.parametrize("name", ["lora", "online"])
def test_adapted_model_differs_from_the_base(name, programs, nano):
    tokens = np.arange(1, 33)[None]
    adapted = nano.decoder.apply(programs[name].adapted.variables(nano), tokens)
    plain = nano.decoder.apply({"params": nano.params}, tokens)
    assert not np.allclose(adapted, plain, atol=1e-3)


@pytest.mark.parametrize("name", ["lora", "online"])
def test_fresh_process_on_one_core_with_nothing_cached_decodes_the_same(
        name, programs, tmp_path, child_environment):
    orders.write(tmp_path, {"program.sah": programs[name].data})
    core = str(min(os.sched_getaffinity(0)))
    done = subprocess.run(
        ["taskset", "-c", core, sys.executable, "-m", "sah_jax", "rebuild", tmp_path],
        env=child_environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = orders.answers(done.stdout)
    assert found["adapted_digest"] == programs[name].adapted.digest()


@pytest.mark.long
def test_portable_files_decode_the_same_under_other_cores_and_flags(
        programs, nano, tmp_path, child_environment):
    portable = {name: program for name, program in programs.items() if program.adapted.portable}
    assert set(portable) == {"baseline", "lora", "vector", "norm_gains", "prefix", "lm_head", "full",
                             "bayesian_bits"}
    draw = lambda number, shape: np.random.default_rng(number).integers(-127, 128, shape).astype(np.int32)
    form = vector.VectorForm(size=300, rank=4, basis="cores")
    portable["cores"] = codec.write(vector.Vector(), adapters.numbers("vector", nano, form, draw), nano)
    orders.write(tmp_path, {f"{name}.sah": program.data for name, program in portable.items()})
    other = {"NPROC": "2", "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2 --xla_cpu_enable_fast_math=true",
             "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16", "JAX_DEFAULT_PRNG_IMPL": "rbg",
             "JAX_THREEFRY_PARTITIONABLE": "False", "JAX_RANDOM_SEED_OFFSET": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "sah_jax", "rebuild", tmp_path], env={**child_environment, **other},
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = orders.answers(done.stdout)
    assert [one["adapted_digest"] for one in found] == [
        program.adapted.digest() for program in portable.values()]
    assert all(one["profile"]["XLA_FLAGS"] != numerics.profile("float32")["XLA_FLAGS"] for one in found)


@pytest.mark.parametrize("name", ["urial", "lora", "online"])
def test_truncated_files_never_give_the_written_model(name, programs, nano):
    program, refused = programs[name], 0
    sizes = {0, 1, 2, len(program.data) // 3, len(program.data) // 2, len(program.data) - 2}
    for size in sizes:
        try:
            read = codec.read(program.data[:size], nano)
        except errors.UserError:
            refused += 1
        else:
            # A stream without redundancy can, by coincidence, begin with another program;
            # then the sidecar's digest is what tells (see tests/studies/test_sidecar.py).
            assert read.adapted.digest() != program.adapted.digest()
    assert refused >= len(sizes) - 1


@pytest.mark.parametrize("name", ["baseline", "urial", "lora", "online"])
def test_extended_files_are_refused(name, programs, nano):
    with pytest.raises(errors.UserError, match="not where the program they begin would end"):
        codec.read(programs[name].data + b"\x01\x02\x03", nano)


def test_flipped_bits_never_give_the_written_model_or_an_unknown_error(programs, nano):
    rng = random.Random(0)
    for name, flips in (("urial", 10), ("icl", 10), ("lora", 10), ("online", 3)):
        program = programs[name]
        for _ in range(flips):
            data = bytearray(program.data)
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            try:
                read = codec.read(bytes(data), nano)
            except errors.UserError as error:
                assert str(error)
            else:
                assert read.adapted.digest() != program.adapted.digest()


def test_another_base_model_does_not_decode_tokens(programs, step0):
    with pytest.raises(errors.UserError):
        codec.read(programs["urial"].data, step0)


def test_unknown_version_and_family_are_named(nano):
    # Three bits of version and five of family.
    with pytest.raises(errors.UserError, match="format version is 8"):
        codec.read(b"\xe0\x00", nano)
    with pytest.raises(errors.UserError, match="format version is 1, this reader knows 2 and 4"):
        codec.read(b"\x00", nano)
    with pytest.raises(errors.UserError, match="family code is 30"):
        codec.read(b"\x3e\x00", nano)
    with pytest.raises(errors.UserError, match="holds texts, expected a program"):
        codec.read(b"\x3f\x00", nano)


def test_unknown_family_is_named():
    with pytest.raises(errors.UserError, match="'magic' is not known"):
        registry.get_family("magic")


@pytest.mark.parametrize("setting, message", [
    ({"rank": 1}, "needs the setting"),
    ({"rank": 1, "learning_rate": 0.1, "num_examples": 8, "rnak": 1}, "'rnak' is not one of"),
    ({"rank": 1.5, "learning_rate": 0.1, "num_examples": 8}, "rank is 1.5, expected int"),
])
def test_wrong_settings_are_named(setting, message):
    with pytest.raises(errors.UserError, match=message):
        family_lib.parse_setting(registry.get_family("lora"), setting)


@pytest.mark.parametrize("name", ["baseline", "icl"])
def test_a_check_is_32_bits_and_tells_any_other_model(name, programs, nano, nano_math, step0):
    family = registry.get_family(name)
    theta = family.fit(
        family_lib.parse_setting(family, SETTINGS[name]), nano, nano_math, 3, codec.silent)
    checked = codec.write(family, theta, nano, check=True)
    assert 24 <= checked.bits - programs[name].bits <= 40
    assert codec.read(checked.data, nano).adapted.digest() == programs[name].adapted.digest()
    assert {entry.field: entry.ideal_bits for entry in checked.ledger}["check"] == 32
    refused = 0
    for index in range(1, len(checked.data)):
        for bit in range(8):
            other = checked.data[index] ^ 1 << bit
            flipped = checked.data[:index] + bytes([other]) + checked.data[index + 1 :]
            with pytest.raises(errors.UserError):
                codec.read(flipped, nano)
            refused += 1
    assert refused == 8 * (len(checked.data) - 1)
    # Also of numbers alone, which decode to the same ones under any model of these shapes.
    with pytest.raises(errors.UserError):
        codec.read(checked.data, step0)
