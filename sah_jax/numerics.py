"""The numerics profile: what a float result depends on, pinned, recorded and compared.

A program coded under a model decodes only where the model's floats come out bit for bit
the same. On XLA:CPU that depends on the number of cores the compiler sees and on the
instruction set; both are pinned when the package is imported, before a JAX backend exists.
This module does not import JAX until `profile` is called.
"""

import hashlib
import json
import os
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

# NPROC: the number of cores XLA:CPU partitions work for, whatever the machine has. One by
# default: a study keeps the other cores busy with its verification processes.
_DEFAULT_NPROC = "1"

# AVX2 is what every x86-64 server of the last ten years has.
_PINNED_FLAGS = {
    "--xla_cpu_max_isa": "AVX2",
    # Loops over a few kB a round, as the coder's over the rows of a step, become one function on
    # the CPU instead of a call for each operation of each round.
    "--xla_backend_extra_options": "xla_cpu_small_while_loop_byte_threshold=16384",
    "--xla_gpu_deterministic_ops": "true",
    "--xla_gpu_autotune_level": "0",
}

# The parts of a profile that an environment can be told to reproduce.
_SETTABLE = ("NPROC", "XLA_FLAGS")


def pin_environment() -> None:
    """Sets NPROC, the XLA flags and the compilation cache where the caller has not.

    Must run before JAX is imported.
    """
    os.environ.setdefault("NPROC", _DEFAULT_NPROC)
    flags = os.environ.get("XLA_FLAGS", "").split()
    names = {flag.split("=")[0] for flag in flags}
    flags += [f"{name}={value}" for name, value in _PINNED_FLAGS.items() if name not in names]
    os.environ["XLA_FLAGS"] = " ".join(flags)
    for key, value in compilation_cache(os.environ).items():
        os.environ.setdefault(key, value)


def compilation_cache(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of a persistent compilation cache for the given NPROC and XLA flags.

    What XLA:CPU compiles depends on NPROC, which JAX's cache key does not hold; so each
    numerics profile, and each kind of processor, has a folder of its own.
    """
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        processor = platform.processor()
    key = digest({"processor": processor} | {key: environment.get(key, "") for key in _SETTABLE})
    root = environment.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return {
        "JAX_COMPILATION_CACHE_DIR": str(pathlib.Path(root) / "sah_jax" / "xla" / key[:16]),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def environment_for(profile: Mapping[str, Any]) -> dict[str, str]:
    """Returns the environment variables under which a process has the given profile."""
    settings = {key: profile[key] for key in _SETTABLE}
    return settings | compilation_cache({**os.environ, **settings})


def profile(dtype: str) -> dict[str, Any]:
    """Returns the numerics profile of this process for a model computed in `dtype`."""
    import jax
    import jaxlib

    device = jax.devices()[0]
    return {
        "backend": jax.default_backend(),
        "device_kind": device.device_kind,
        "device_count": jax.device_count(),
        "machine": platform.machine(),
        "dtype": dtype,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "matmul_precision": str(jax.config.jax_default_matmul_precision),
        **{key: os.environ.get(key, "") for key in _SETTABLE},
    }


def digest(record: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a profile, in hexadecimal."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def difference(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Says in one clause how the current profile differs from the recorded one; '' if it does not."""
    keys = sorted(recorded.keys() | current.keys())
    return ", ".join(
        f"{key} was {recorded.get(key)!r} and is {current.get(key)!r}"
        for key in keys if recorded.get(key) != current.get(key))
