"""The numerics profile: pinned before JAX starts, recorded, compared."""

import json
import os
import subprocess
import sys

import pytest

from sah_jax import errors, numerics

# What a caller may have set, and what pytest's own import of the package did.
_OURS = ("NPROC", "XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR", *(
    name for name in os.environ if name.startswith("JAX_") and "CACHE" not in name))


def _child(environment: dict[str, str], before: str = "", after: str = "") -> subprocess.CompletedProcess:
    """Prints the profile of a fresh process that runs `before`, imports the package and runs `after`."""
    code = f"import json\n{before}\nfrom sah_jax import numerics\n{after}\n"
    code += "print(json.dumps(numerics.profile('float32')))"
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


def _profile_of(environment: dict[str, str], before: str = "", after: str = "") -> dict:
    return json.loads(_child(environment, before, after).stdout)


def _flags(profile: dict) -> set[str]:
    return set(profile["XLA_FLAGS"].split())


@pytest.fixture
def plain(child_environment) -> dict[str, str]:
    """The environment of a caller who has set nothing that floats depend on."""
    return {key: value for key, value in child_environment.items() if key not in _OURS}


def test_importing_the_package_pins_what_is_not_set(plain):
    profile = _profile_of(plain)
    assert profile["NPROC"] == profile["JAX_NUM_CPU_DEVICES"] == "1" and profile["pinned_in_time"]
    assert profile["JAX_DEFAULT_MATMUL_PRECISION"] == "highest" and profile["JAX_ENABLE_X64"] == "False"
    assert _flags(profile) >= {
        "--xla_cpu_max_isa=AVX2", "--xla_cpu_enable_platform_dependent_math=false",
        "--xla_gpu_deterministic_ops=true", "--xla_gpu_autotune_level=0"}


def test_what_the_caller_set_is_kept_and_recorded_as_it_takes_effect(plain, tmp_path):
    caller = {
        "NPROC": "2", "JAX_ENABLE_X64": "1", "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_SOFTMAX_CUSTOM_JVP": "1", "JAX_RANDOM_SEED_OFFSET": "7",
        "JAX_DEFAULT_PRNG_IMPL": "rbg", "JAX_THREEFRY_PARTITIONABLE": "0", "JAX_OPTIMIZATION_LEVEL": "O1",
        "JAX_DISABLE_JIT": "1", "JAX_USE_DIRECT_LINEARIZE": "0", "JAX_NUMPY_DTYPE_PROMOTION": "strict"}
    flags = f"--xla_cpu_max_isa=SSE4_2 --xla_dump_to={tmp_path} --xla_force_host_platform_device_count=3"
    profile = _profile_of({**plain, **caller, "XLA_FLAGS": flags})
    told = {name: {"1": "True", "0": "False"}.get(value, value) for name, value in caller.items()}
    assert {name: profile[name] for name in told} == told
    # The number of devices took effect; the dump did too, and is nothing that floats depend on.
    assert profile["JAX_NUM_CPU_DEVICES"] == "3" and any(tmp_path.iterdir())
    assert "--xla_cpu_max_isa=SSE4_2" in _flags(profile) and "dump" not in profile["XLA_FLAGS"]
    assert "--xla_cpu_max_isa=AVX2" not in _flags(profile)
    # Everything that is pinned is here once with another value than the pin.
    assert {name for name, pin in numerics._PINNED.items() if profile[name] == pin} == set()


def test_flags_in_a_file_are_read_as_xla_reads_them(plain, tmp_path):
    (tmp_path / "flags").write_text("--xla_cpu_max_isa=SSE4_2\n--xla_cpu_enable_fast_math\n")
    flags = _flags(_profile_of({**plain, "XLA_FLAGS": str(tmp_path / "flags")}))
    assert flags >= {"--xla_cpu_max_isa=SSE4_2", "--xla_cpu_enable_fast_math=true"}


@pytest.mark.parametrize("before", ["", "import jax"])
def test_a_process_is_set_to_a_profile(before, plain):
    first = _profile_of({
        **plain, "NPROC": "3", "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_RANDOM_SEED_OFFSET": "7", "JAX_ENABLE_X64": "1"})
    # By variables, and by a process for itself, before and after it has imported JAX.
    again = _profile_of({**plain, **numerics.environment_for(first)}, before)
    itself = _profile_of(plain, before, after=f"numerics.set_process({first!r})")
    assert again == itself == first
    assert numerics.digest(again) == numerics.digest(first)


def test_a_jax_that_started_first_is_recorded_as_it_is(plain):
    before = "import os, jax; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); jax.devices()"
    child = _child(plain, before, after="numerics.set_process({'NPROC': '5'})")
    late = json.loads(child.stdout)
    assert "import sah_jax first" in child.stderr and not late["pinned_in_time"]
    assert late["NPROC"] == "1"
    assert _flags(late) >= {
        "--xla_cpu_max_isa=", "--xla_cpu_enable_platform_dependent_math=true",
        "--xla_gpu_deterministic_ops=false"}
    # The next process is told to be like it, also where it would pin another value.
    again = _profile_of({**plain, **numerics.environment_for(late)})
    assert numerics.difference(late, again) == "pinned_in_time was False and is True"


def test_the_callers_other_flags_are_kept_and_a_profiles_paths_are_not_taken(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", (
        "--xla_dump_to=/mine --xla_cpu_enable_fast_math=true --xla_force_host_platform_device_count=8 "
        "--xla_gpu_load_autotune_results_from=/mine/results"))
    record = {
        "NPROC": "1", "JAX_NUM_CPU_DEVICES": "1", "jaxlib": _profile_of(dict(os.environ))["jaxlib"],
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX --xla_dump_to=/theirs --xla_gpu_cuda_data_dir=/theirs "
                     "--xla_cpu_prefer_vector_width=128"}
    environment = numerics.environment_for(record)
    flags = set(environment["XLA_FLAGS"].split())
    assert {"--xla_dump_to=/mine", "--xla_gpu_load_autotune_results_from=/mine/results",
            "--xla_cpu_max_isa=AVX", "--xla_cpu_prefer_vector_width=128"} <= flags
    assert not [flag for flag in flags if "theirs" in flag or "fast_math" in flag or "count" in flag]
    assert environment["JAX_NUM_CPU_DEVICES"] == "1"
    # Another version may not know a flag that we do not pin, and would end the process.
    other = numerics.environment_for({**record, "jaxlib": "0.1"})["XLA_FLAGS"].split()
    assert "--xla_cpu_max_isa=AVX" in other and "--xla_cpu_prefer_vector_width=128" not in other


def test_programs_of_a_cpu_are_read_on_the_cpu_and_others_where_the_reader_says():
    record = {"NPROC": "1", "XLA_FLAGS": ""}
    assert numerics.environment_for({**record, "backend": "cpu"})["JAX_PLATFORMS"] == "cpu"
    assert "JAX_PLATFORMS" not in numerics.environment_for({**record, "backend": "gpu"})


@pytest.mark.parametrize("lie", [
    {"NPROC": "0"}, {"NPROC": "1\0"}, {"NPROC": 1}, {"XLA_FLAGS": "/etc/passwd"}, {"XLA_FLAGS": "--xla_\n"},
    {"JAX_ENABLE_X64": "maybe"}, {"JAX_DEFAULT_PRNG_IMPL": "/x"}, {"LIBTPU_INIT_ARGS": "--a=/etc"}])
def test_what_no_profile_holds_is_refused(lie):
    with pytest.raises(errors.UserError, match=f"the numerics profile has {next(iter(lie))}"):
        numerics.environment_for({"NPROC": "1", "XLA_FLAGS": "", **lie})


def test_differences_are_said_by_name():
    first = {"NPROC": "1", "jax": "0.10.2", "XLA_FLAGS": "--xla_a=1 --xla_b=2"}
    assert numerics.difference(first, dict(first)) == ""
    assert numerics.difference(first, {**first, "XLA_FLAGS": "--xla_b=2 --xla_a=1"}) == ""
    assert numerics.difference(first, {**first, "jax": "0.9"}) == "jax was '0.10.2' and is '0.9'"
    assert numerics.difference(first, {"NPROC": "2", "XLA_FLAGS": "--xla_b=3 --xla_c=4"}) == (
        "NPROC was '1' and is '2', jax was '0.10.2' and is not recorded, "
        "the XLA flag --xla_a was '1' and is not set, the XLA flag --xla_b was '2' and is '3', "
        "and the XLA flag --xla_c was not set and is '4'")
    assert numerics.digest(first) != numerics.digest({**first, "NPROC": "2"})
    assert numerics.explain("It fails.", first, first) == "It fails."
    assert numerics.explain("It fails.", first, {**first, "NPROC": "2"}) == (
        "It fails (of the numerics profile, NPROC was '1' and is '2').")


def test_each_profile_has_its_own_compilation_cache():
    def folder(**environment):
        return numerics.compilation_cache(environment)["JAX_COMPILATION_CACHE_DIR"]

    assert len({folder(NPROC=nproc, XLA_FLAGS=flags, JAX_NUM_CPU_DEVICES=devices)
                for nproc in ("1", "2") for flags in ("", "--xla_cpu_max_isa=AVX2")
                for devices in ("1", "4")}) == 8
    # Two ways to say the same have the same folder, so that a reader finds what a writer compiled.
    assert folder(NPROC="1", XLA_FLAGS="--xla_force_host_platform_device_count=4 --xla_dump_to=/x") == (
        folder(NPROC="1", JAX_NUM_CPU_DEVICES="4"))


_CACHE = ("from jax import config; print(config.jax_compilation_cache_dir, "
          "config.jax_persistent_cache_min_compile_time_secs, config.jax_persistent_cache_min_entry_size_bytes)")


@pytest.mark.parametrize("before, expected", [
    # Whichever is imported first, compiled executables are kept.
    ("", None), ("import jax", None),
    ("import jax; jax.config.update('jax_compilation_cache_dir', '/mine')", "/mine 1.0 0")])
def test_the_compilation_cache_is_on_unless_the_caller_chose_one(plain, before, expected):
    unset = {name: value for name, value in plain.items() if "CACHE" not in name}
    said = _child(unset, before, after=_CACHE).stdout.splitlines()[0]
    environment = {**unset, "NPROC": "1", "XLA_FLAGS": json.loads(
        _child(unset, before).stdout)["XLA_FLAGS"]}
    folder = numerics.compilation_cache(environment)["JAX_COMPILATION_CACHE_DIR"]
    assert said == (expected or f"{folder} 0.0 -1")
