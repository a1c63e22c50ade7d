"""The numerics profile: pinned before JAX starts, recorded, compared."""

import json
import subprocess
import sys

from sah_jax import numerics


def _profile_of(environment: dict[str, str]) -> dict:
    code = ("import json; from sah_jax import numerics; "
            "print(json.dumps(numerics.profile('float32')))")
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _plain(environment: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in environment.items() if key not in ("NPROC", "XLA_FLAGS")}


def test_importing_the_package_pins_what_is_not_set(child_environment):
    profile = _profile_of(_plain(child_environment))
    assert profile["NPROC"] == "1"
    assert "--xla_cpu_max_isa=AVX2" in profile["XLA_FLAGS"].split()


def test_what_the_caller_set_is_kept(child_environment):
    profile = _profile_of({
        **_plain(child_environment), "NPROC": "2", "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"})
    assert profile["NPROC"] == "2"
    assert "--xla_cpu_max_isa=SSE4_2" in profile["XLA_FLAGS"].split()
    assert "--xla_cpu_max_isa=AVX2" not in profile["XLA_FLAGS"].split()


def test_a_profile_can_be_reproduced(child_environment):
    first = _profile_of({**_plain(child_environment), "NPROC": "3"})
    again = _profile_of({**_plain(child_environment), **numerics.environment_for(first)})
    assert again == first
    assert numerics.digest(again) == numerics.digest(first)


def test_differences_are_said_by_name():
    first = {"NPROC": "1", "jax": "0.10.2"}
    assert numerics.difference(first, dict(first)) == ""
    assert numerics.difference(first, {**first, "jax": "0.9"}) == "jax was '0.10.2' and is '0.9'"
    assert numerics.digest(first) != numerics.digest({**first, "NPROC": "2"})


def test_each_profile_has_its_own_compilation_cache():
    folders = {
        numerics.compilation_cache({"NPROC": nproc, "XLA_FLAGS": flags})["JAX_COMPILATION_CACHE_DIR"]
        for nproc in ("1", "2") for flags in ("", "--xla_cpu_max_isa=AVX2")}
    assert len(folders) == 4
