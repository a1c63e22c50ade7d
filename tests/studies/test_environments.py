"""Programs decode in other environments than the one that they were written in."""

import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

import adapters
import numpy as np
import points
import pytest

from sah_jax import numerics
from sah_jax.coding import priors
from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, lora, online
from sah_jax.studies import grid, sidecar, verification

pytestmark = pytest.mark.long

CONFIG = {
    "models": ("nano",), "dtype": "float32", "tasks": ("nano_math",), "seeds": (0,),
    "num_selection": 2, "num_test": 2, "selection": "selection", "check": False,
    "families": {"icl": ({"num_examples": 1},)},
}

# What `sah run` does before it answers. The digest of the decoded model is compared there.
READER = """
import os, pathlib, sys
if sys.argv[1] == "one core":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from absl import flags
from sah_jax.cli import common
values = flags.FlagValues()
common.define_model(values, "Base model.")
values(["sah", "--model=nano"])
for path in sys.argv[2:]:
    _, decoded, _ = common.decode_program(pathlib.Path(path), values)
    print(decoded.family)
"""


def _written(base: base_lib.BaseModel, task) -> list[codec.Program]:
    """Writes a `lora` of arbitrary weights and an `online`."""
    rng = np.random.default_rng(0)
    weights = adapters.theta(
        base, 1, 2, lambda number, shape: rng.integers(-priors.levels(2), priors.levels(2) + 1, shape))
    # Two batches: the second is read under what was learned from the first.
    setting = family_lib.parse_setting(
        online.Online(), {"num_examples": 9, "learning_rate": 1e-2, "max_tokens": 96})
    examples = online.Online().fit(setting, base, task, 0, codec.silent)
    return [codec.write(lora.Lora(), weights, base), codec.write(online.Online(), examples, base)]


def _write(scored: pathlib.Path, folder: pathlib.Path, data: bytes, record: dict) -> pathlib.Path:
    """Writes a program with the predictions of one that was scored."""
    sidecar.write_folder(folder, data, record, scored.with_name(sidecar.PREDICTIONS_NAME).read_text())
    return folder / sidecar.PROGRAM_NAME


@pytest.fixture(scope="module")
def programs(nano, nano_math, tmp_path_factory) -> list[pathlib.Path]:
    """A program of each kind with its sidecar, zipped, and unzipped in another place."""
    folder = tmp_path_factory.mktemp("written")
    config = grid.parse_config(CONFIG)
    (one,) = grid.points(config)
    points.make(config, nano, one, "icl", folder / "icl")
    scored = sidecar.read(folder / "icl" / sidecar.PROGRAM_NAME)
    for program in _written(nano, nano_math):
        _write(folder / "icl" / sidecar.PROGRAM_NAME, folder / program.family, program.data, {
            **scored, "family": program.family, "program_sha256": sidecar.file_digest(program.data),
            "adapted_digest": program.adapted.digest(), "portable": program.adapted.portable,
            "unchanged": program.adapted.unchanged})
    unzipped = tmp_path_factory.mktemp("unzipped")
    with zipfile.ZipFile(unzipped / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.glob("*/*")):
            archive.write(path, path.relative_to(folder))
    shutil.rmtree(folder)
    with zipfile.ZipFile(unzipped / "study.zip") as archive:
        archive.extractall(unzipped)
    return sorted(unzipped.glob(f"*/{sidecar.PROGRAM_NAME}"))


@pytest.fixture
def plain(child_environment) -> dict[str, str]:
    """The environment of a reader who has set nothing, and who finds nothing compiled."""
    ours = {"NPROC", "XLA_FLAGS", *numerics._CONFIG}
    return {key: value for key, value in child_environment.items() if key not in ours}


@pytest.mark.parametrize("cores, caller", [
    ("one core", {}),
    # With any one of these alone `online` would decode to another model, or not at all.
    ("all cores", {
        "NPROC": "2", "JAX_ENABLE_X64": "1", "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
        "JAX_DEFAULT_PRNG_IMPL": "rbg", "JAX_RANDOM_SEED_OFFSET": "1", "XLA_FLAGS": (
            "--xla_force_host_platform_device_count=4 --xla_cpu_max_isa=SSE4_2 "
            "--xla_cpu_enable_fast_math=true --xla_cpu_enable_platform_dependent_math=true")}),
], ids=["one core", "everything set"])
def test_programs_decode_whatever_the_reader_has_set(programs, plain, cores, caller):
    done = subprocess.run(
        [sys.executable, "-c", READER, cores, *programs], env={**plain, **caller},
        capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["icl", "lora", "online"]


def test_a_program_from_an_archive_is_verified(programs, monkeypatch):
    # With the caller's settings as a study's process has them, when verification starts.
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    assert verification.verify("nano", programs[0]) == verification.Verdict(True)


def _claim(program: pathlib.Path, folder: pathlib.Path, data: bytes, **changes) -> pathlib.Path:
    """Writes a program with a sidecar in which something else stands than the writer's."""
    record = {**sidecar.read(program), **changes, "program_sha256": sidecar.file_digest(data)}
    return _write(program, folder, data, record)


def test_what_cannot_be_set_is_named_where_a_program_differs(programs, tmp_path):
    data, profile = programs[0].read_bytes(), sidecar.read(programs[0])["profile"]
    elsewhere = {**profile, "processor": "Z80", "backend": "gpu", "JAX_NUM_CPU_DEVICES": ""}
    other = _claim(programs[0], tmp_path / "other", data, profile=elsewhere, adapted_digest="0" * 64)
    broken = _claim(programs[0], tmp_path / "broken", data + b"!!", profile=elsewhere)
    for program, reason in ((other, "adapted_digest was 0000"), (broken, "not where the program")):
        verdict = verification.verify("nano", program)
        assert not verdict.verified and reason in verdict.reason
        assert "(of the numerics profile, JAX_NUM_CPU_DEVICES was '' and is '1', " in verdict.reason
        assert "backend was 'gpu' and is 'cpu', and processor was 'Z80' and is" in verdict.reason
        assert verdict.reason.count("\n") == 0
    # A profile that differs is no reason to refuse a program that does what its sidecar says.
    fine = _claim(programs[0], tmp_path / "fine", data, profile=elsewhere)
    assert verification.verify("nano", fine).verified


def test_a_sidecar_that_sets_what_no_profile_holds_is_refused(programs, tmp_path):
    record = sidecar.read(programs[0])
    lie = _claim(
        programs[0], tmp_path / "lie", programs[0].read_bytes(), profile={**record["profile"], "NPROC": "x"})
    verdict = verification.verify("nano", lie)
    assert not verdict.verified and "has NPROC 'x', expected" in verdict.reason
    done = subprocess.run(
        [sys.executable, "-m", "sah_jax", "run", lie, "--model=nano"], input="", capture_output=True,
        text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "program.json: the numerics profile has NPROC 'x'" in done.stderr


def test_sidecars_say_what_is_in_effect(programs):
    profiles = {json.dumps(sidecar.read(program)["profile"]) for program in programs}
    assert profiles == {json.dumps(numerics.profile("float32"))}
