"""The command on what fits where: plan."""

import json
import os
import re
import sys

from absl import flags

from sah_jax import errors
from sah_jax.cli import common


def plan(arguments: list[str]) -> None:
    """Says what the steps of a model take on a slice of TPUs, compiled here without one.

    MODEL_CONFIG is a model's folder, a config.json, or a shipped model's name. Topologies are such as
    v5e:4x4, v5p:4x4x4, v6e:8x8.
    """
    values = flags.FlagValues()
    flags.DEFINE_string("topology", None, "Slice to compile for.", flag_values=values)
    flags.DEFINE_string(
        "smallest", None, "A generation, such as v5e: find its smallest slice.", flag_values=values)
    flags.DEFINE_integer(
        "device_count", None, "Compile for so many simulated CPU devices instead.", lower_bound=1,
        upper_bound=1024, flag_values=values)
    flags.DEFINE_string(
        "mesh", None, "Axes, such as fsdp=16,tensor=1; default: what suits a step.", flag_values=values)
    flags.DEFINE_integer("batch", 16, "Rows, of all chips together.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("length", 512, "Tokens a row.", lower_bound=1, flag_values=values)
    flags.DEFINE_string("step", "all", "lora, prefix, codelength, decode or all.", flag_values=values)
    flags.DEFINE_integer("rank", 16, "Rank of the low-rank pairs.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("slots", 16, "Slots of the prefix.", lower_bound=1, flag_values=values)
    flags.DEFINE_string(
        "remat", "full", "What a layer keeps for the backward pass: none, dots or full (nothing).",
        flag_values=values)
    flags.DEFINE_string(
        "quantization", "", "How the base weights are quantised: int8 or nf4; default: not.",
        flag_values=values)
    flags.DEFINE_bool(
        "table", False, "Show how each leaf of a step's arguments is split.", flag_values=values)
    flags.DEFINE_string("json", None, "Where to write the plans for machines.", flag_values=values)
    (model,) = common.parse(plan, values, [_underscored(one) for one in arguments], ["MODEL_CONFIG"])
    if sum(given is not None for given in (values.topology, values.smallest, values.device_count)) != 1:
        raise errors.UserError(
            "exactly one of --topology, --smallest and --device-count is needed; see sah plan --help.")
    if values.mesh and values.smallest:
        raise errors.UserError("--mesh is for one slice, and --smallest tries several; leave one out.")
    from sah_jax.planning import topologies

    if "jax" not in sys.modules:
        os.environ.update(topologies.ENVIRONMENT)
    from sah_jax.models import decoder, quantize, sharding
    from sah_jax.planning import plan as plan_lib
    from sah_jax.planning import steps, tables

    if values.remat not in decoder.REMAT_POLICIES:
        raise errors.UserError(
            f"--remat is {values.remat!r}, expected one of {', '.join(decoder.REMAT_POLICIES)}; change it.")
    if values.step not in (*steps.STEPS, "all"):
        raise errors.UserError(
            f"--step is {values.step!r}, expected one of {', '.join(steps.STEPS)}, all; change it.")
    config = plan_lib.find_config(model)
    mesh = sharding.parse_sizes(values.mesh) if values.mesh else None
    if values.quantization:
        quantize.check_scheme(values.quantization)
    setting = steps.Setting(
        values.batch, values.length, values.rank, values.slots, values.remat, values.quantization)
    chosen = steps.STEPS if values.step == "all" else (values.step,)
    topology = values.smallest or topologies.parse(values.topology or f"cpu:{values.device_count}")
    console, plans = common.console(), []
    for step in chosen:
        with console.status(f"compiling {step}"):
            if values.smallest:
                found = plan_lib.smallest(
                    config, values.smallest, step, setting,
                    report=lambda line: console.print(line, highlight=False))
                if found is None:
                    console.print(f"{step}: fits no slice of {values.smallest}", highlight=False)
            else:
                found = plan_lib.make(config, topology, step, setting, mesh)
        plans += [found] if found else []
        if found and values.table:
            rows = plan_lib.sharding_table(config, step, found.mesh, setting)
            tables.print_sharding(step, rows, console)
    tables.print_plans(plans, console)
    if values.json:
        common.write_file(values.json, json.dumps([one.to_json() for one in plans], indent=1).encode())


def _underscored(argument: str) -> str:
    """Spells --device-count as absl does."""
    return re.sub(r"^--device-count\b", "--device_count", argument)
