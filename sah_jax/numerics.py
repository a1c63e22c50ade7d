"""The numerics profile: what a float result depends on, pinned, recorded and compared.

A program coded under a model decodes only where the model's floats come out bit for bit
the same. They depend on settings (pinned where the caller has not set them, recorded, and
set again by a reader) and on the machine (recorded, and named where it differs). This
module does not import JAX until `profile` is called.

Seen on XLA:CPU with the shipped models: whatever reads a gradient (online) changes with the
size of the thread pool, which is the larger of NPROC and the number of CPU devices, and with
the instruction set; 64-bit mode and the random settings change online and lora. Prompt
programs change with the processor's kind unless platform-dependent math is off: reciprocal
square roots are otherwise approximated by instructions that each maker builds differently.
"""

import hashlib
import json
import os
import pathlib
import platform
import re
import sys
import warnings
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from sah_jax import errors

# Variables of the environment. NPROC is the number of cores XLA:CPU partitions work for,
# whatever the machine has. One by default: a study keeps the other cores busy with its
# verification processes. The others are JAX's own defaults, but for full float32 products,
# which a GPU or TPU otherwise rounds to fewer bits. Each changes the floats, or fails.
_PINNED = {
    "NPROC": "1",
    "JAX_DEFAULT_MATMUL_PRECISION": "highest",
    "JAX_DEFAULT_PRNG_IMPL": "threefry2x32",
    "JAX_DISABLE_JIT": "False",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "False",
    "JAX_ENABLE_X64": "False",
    "JAX_NUMPY_DTYPE_PROMOTION": "standard",
    "JAX_OPTIMIZATION_LEVEL": "UNKNOWN",
    "JAX_RANDOM_SEED_OFFSET": "0",
    "JAX_SOFTMAX_CUSTOM_JVP": "False",
    "JAX_THREEFRY_PARTITIONABLE": "True",
    "JAX_USE_DIRECT_LINEARIZE": "True",
}
_CONFIG = tuple(name for name in _PINNED if name.startswith("JAX_"))

# Flags of XLA with what they are pinned to, and what XLA takes where they are not given.
# AVX2 is what every x86-64 server of the last ten years has.
_SMALL_LOOP = "xla_cpu_small_while_loop_byte_threshold"
_PINNED_FLAGS = {
    "--xla_cpu_max_isa": ("AVX2", ""),
    "--xla_cpu_enable_platform_dependent_math": ("false", "true"),
    # Loops over a few kB a round, as the coder's over the rows of a step, become one function on
    # the CPU instead of a call for each operation of each round.
    "--xla_backend_extra_options": (f"{_SMALL_LOOP}=16384", f"{_SMALL_LOOP}=1024"),
    "--xla_gpu_deterministic_ops": ("true", "false"),
    "--xla_gpu_autotune_level": ("0", "4"),
}
# Flags that say what to write where, and the one whose effect is recorded as _CPU_DEVICES.
_DEVICES_FLAG = "--xla_force_host_platform_device_count"
_NOT_OF_FLOATS = re.compile(rf"--xla_(\w+_)?dump_.*|{_DEVICES_FLAG}")
_CPU_DEVICES = "JAX_NUM_CPU_DEVICES"
_CACHE_FOLDER = "JAX_COMPILATION_CACHE_DIR"

COMPUTED = ("dtype", "mesh", "decode_mesh", "remat", "quantization")
"""How a model is computed: what configs, flags and profiles say of it, see `models.base.load_computed`."""

# What a profile may put into a process's environment: it may come from elsewhere.
_SETTABLE = {
    **{name: r"True|False" if pin in ("True", "False") else r"-?\w+" for name, pin in _PINNED.items()},
    "NPROC": r"[1-9]\d{0,3}",
    _CPU_DEVICES: r"([1-9]\d{0,3})?",
    "LIBTPU_INIT_ARGS": r"[\w.,:=+ -]*",
    "XLA_FLAGS": r"(--\w[ -~]*)?",
}

_pinned_in_time = True


def pin_environment() -> None:
    """Sets what floats depend on, and the compilation cache, where the caller has not.

    Should run before JAX is imported, and has to before it starts a backend: what is too late
    to set is left as it is, `profile` records what is in effect, and a warning says so.
    """
    global _pinned_in_time
    _pinned_in_time = not _jax_has_started()
    if _pinned_in_time:
        given = _flags(_flags_text(os.environ))
        os.environ["XLA_FLAGS"] = _join({name: pin for name, (pin, _) in _PINNED_FLAGS.items()} | given)
        os.environ.setdefault("NPROC", _PINNED["NPROC"])
    else:
        warnings.warn(
            "JAX had started before sah_jax was imported, so the number of cores and the XLA flags are "
            "what they were; import sah_jax first to have them pinned.", stacklevel=3)
    for name in _CONFIG:
        os.environ.setdefault(name, _PINNED[name])
    cache = compilation_cache(os.environ)
    for name, value in cache.items():
        os.environ.setdefault(name, value)
    if "jax" in sys.modules:
        # JAX has read the environment already. Where it holds None, the caller set nothing.
        config = sys.modules["jax"].config
        _update_config({name: os.environ[name] for name in _CONFIG
                        if _config_value(config, name) is None})
        if _config_value(config, _CACHE_FOLDER) is None:
            _update_config({name: os.environ[name] for name in cache})


def set_process(record: Mapping[str, Any]) -> None:
    """Sets this process to a recorded profile, as far as it can be set; not once JAX has started.

    Raises:
      UserError: the profile holds what no profile holds.
    """
    if _jax_has_started():
        return
    environment = environment_for(record)
    os.environ.update(environment)
    if "jax" in sys.modules:
        _update_config({name: value for name, value in environment.items() if name.startswith("JAX_")})


def environment_for(record: Mapping[str, Any]) -> dict[str, str]:
    """Returns the variables under which a process has the given profile, as far as they can.

    What this process's XLA flags say about other things than floats, they keep saying.

    Raises:
      UserError: the profile holds what no profile holds.
    """
    settings = {}
    for name, pattern in _SETTABLE.items():
        value = record.get(name) or _PINNED.get(name, "")
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise errors.UserError(
                f"the numerics profile has {name} {value!r}, expected {pattern}; "
                "copy the sidecar again or run the point again.")
        settings[name] = value
    # At a flag that it does not know, as another version may not, XLA ends the process.
    same_version = record.get("jaxlib") == metadata.version("jaxlib")
    recorded = {name: value for name, value in _of_floats(_flags(settings["XLA_FLAGS"])).items()
                if name in _PINNED_FLAGS or (same_version and not _is_path(value))}
    kept = {name: value for name, value in _flags(_flags_text(os.environ)).items()
            if name != _DEVICES_FLAG and (_NOT_OF_FLOATS.fullmatch(name) or _is_path(value))}
    settings[_CPU_DEVICES] = str(_cpu_devices(settings))
    settings["XLA_FLAGS"] = _join({**kept, **recorded})
    if record.get("backend") == "cpu":
        # Every machine has one; a machine with a GPU would otherwise take that.
        settings["JAX_PLATFORMS"] = "cpu"
    return settings | compilation_cache(settings)


def compilation_cache(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of a persistent compilation cache for the given environment.

    What XLA:CPU compiles depends on the number of cores and of devices, which JAX's cache key does
    not hold; so each such profile, and each kind of processor, has a folder of its own.
    """
    info = _cpuinfo()
    key = digest({
        "processor": info.get("flags") or info.get("Features") or platform.processor(),
        "cores": _cores(environment), "devices": _cpu_devices(environment),
        "flags": _of_floats(_flags(_flags_text(environment))),
        "tpu": environment.get("LIBTPU_INIT_ARGS", "")})
    root = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return {
        _CACHE_FOLDER: str(pathlib.Path(root) / "sah_jax" / "xla" / key[:16]),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def profile(
    dtype: str, mesh: str = "", remat: str = "none", quantization: str = "", decode_mesh: str = ""
) -> dict[str, Any]:
    """Returns what is in effect in this process; starts JAX.

    Args:
      dtype: what the model is computed in.
      mesh: what it is split over, such as "data=2,fsdp=4,tensor=1"; "" for one device.
      remat: what its layers compute again in a backward pass.
      quantization: how its weights are quantised; "" if they are not.
      decode_mesh: what it is split over while texts are generated; "" for `mesh`.
    """
    import jax
    import jaxlib

    # A new array is where computations run, also where the caller has chosen another device.
    (device,) = jax.numpy.zeros(()).devices()
    config = {name: _config_value(jax.config, name) for name in _CONFIG}
    return {
        "backend": device.platform,
        "device_kind": device.device_kind,
        "device_count": jax.device_count(device.platform),
        "process_count": jax.process_count(),
        "machine": platform.machine(),
        "processor": _processor(),
        "dtype": dtype,
        "mesh": mesh,
        "decode_mesh": decode_mesh,
        "remat": remat,
        "quantization": quantization,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "pinned_in_time": _pinned_in_time,
        # JAX calls the precision that it takes where none is chosen by this name.
        **{name: "default" if value is None else str(value) for name, value in config.items()},
        "NPROC": _cores(os.environ),
        _CPU_DEVICES: str(jax.local_device_count("cpu")) if device.platform == "cpu" else "",
        "LIBTPU_INIT_ARGS": os.environ.get("LIBTPU_INIT_ARGS", ""),
        "XLA_FLAGS": _join(_of_floats(_flags(_flags_text(os.environ)))),
    }


def digest(record: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a profile, in hexadecimal."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def difference(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Says in one clause how the current profile differs from the recorded one; '' if it does not."""
    before, now = _facts(recorded), _facts(current)
    absent = lambda name: "not set" if "flag" in name else "not recorded"
    said = lambda facts, name: repr(facts[name]) if name in facts else absent(name)
    clauses = [f"{name} was {said(before, name)} and is {said(now, name)}"
               for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    return ", and ".join([", ".join(clauses[:-1]), clauses[-1]] if len(clauses) > 1 else clauses)


def explain(sentence: str, recorded: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """Returns what went wrong with a program, together with how the profile differs, if it does."""
    said = difference(recorded, current)
    return f"{sentence.rstrip('.')} (of the numerics profile, {said})." if said else sentence


def _facts(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a profile with a name of its own for each XLA flag."""
    facts = dict(record)
    flags = _flags(str(facts.pop("XLA_FLAGS", "")))
    return facts | {f"the XLA flag {name}": value for name, value in flags.items()}


def _jax_has_started() -> bool:
    """Says whether JAX has a backend, which has read the number of cores and the XLA flags."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    # JAX has no public way to ask. A version without this one is taken to have started.
    return bridge is not None and getattr(bridge, "backends_are_initialized", lambda: True)()


def _config_value(config: Any, name: str) -> Any:
    """Returns the value in effect of one of JAX's settings; '' where this version has none of that name."""
    return config.values.get(name.lower(), "")


def _update_config(values: Mapping[str, str]) -> None:
    """Gives JAX, already imported, the values that it would have read from the environment."""
    import jax

    for name, value in values.items():
        current = _config_value(jax.config, name)
        kind = type(current) if type(current) in (int, float) else str
        jax.config.update(name.lower(), value == "True" if isinstance(current, bool) else kind(value))


def _flags_text(environment: Mapping[str, str]) -> str:
    """Returns the XLA flags of an environment; as XLA does, also from the file that it may name."""
    text = environment.get("XLA_FLAGS", "").strip()
    if not text or text.startswith(("-", "'", '"')):
        return text
    try:
        return pathlib.Path(text).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _flags(text: str) -> dict[str, str]:
    """Returns XLA flags by name; the last of a name counts, as it does for XLA."""
    flags: list[str] = []
    for word in text.split():
        if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"":
            word = word[1:-1]
        if word.startswith("--"):
            flags.append(word)
        elif flags:
            # Within quotes.
            flags[-1] += f" {word}"
    pairs = (flag.partition("=") for flag in flags)
    return {name: value if equals else "true" for name, equals, value in pairs}


def _join(flags: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(flags.items()))


def _of_floats(flags: Mapping[str, str]) -> dict[str, str]:
    """Returns the flags that may concern floats, with XLA's own values of those that we pin."""
    own = {name: value for name, (_, value) in _PINNED_FLAGS.items()}
    return own | {name: value for name, value in flags.items() if not _NOT_OF_FLOATS.fullmatch(name)}


def _is_path(value: str) -> bool:
    """Says whether a flag's value is a path: of this machine's files, not for another's process."""
    return "/" in value


def _cores(environment: Mapping[str, str]) -> str:
    """Returns NPROC, or what XLA takes where it is not set: the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return environment.get("NPROC") or str(len(os.sched_getaffinity(0)))
    return environment.get("NPROC") or str(os.cpu_count())


def _cpu_devices(environment: Mapping[str, str]) -> int:
    """Returns how many CPU devices JAX makes in an environment."""
    flag = _flags(_flags_text(environment)).get(_DEVICES_FLAG, "")
    given = [value for value in (environment.get(_CPU_DEVICES, ""), flag) if value.isdecimal()]
    return int(given[0]) if given else 1


def _cpuinfo() -> dict[str, str]:
    """Returns what Linux says of the first processor; nothing on other systems."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _processor() -> str:
    info = _cpuinfo()
    if "model name" not in info:
        return platform.processor()
    return f"{info['model name']}, family {info.get('cpu family')}, model {info.get('model')}"
