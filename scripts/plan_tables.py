#!/usr/bin/env python3
"""Writes the tables of docs/tpu.md: what the steps of the released models take on slices of TPUs.

    scripts/plan_tables.py --configs=FOLDER [--cache=out/plans.jsonl]

FOLDER holds a config.json of each model, as NAME.json or NAME/config.json. What was compiled is kept
in the cache, so a stopped run goes on where it was; a changed package needs a fresh cache.
"""

import argparse
import functools
import itertools
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sah_jax.planning import plan, steps, tables  # noqa: E402
from sah_jax.reports import markdown  # noqa: E402

MODELS = ("smollm3-3b", "olmo-3-1025-7b", "olmo-3-1125-32b")
LENGTH = 512
SLICES = ((8, "v5e"), (64, "v5p"), (64, "v5e"))
"""Batches, and the generations of which the smallest slice that fits is looked for."""
PAGE = ROOT / "docs" / "tpu.md"


def main() -> None:
    """Compiles what is not in the cache, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, default=ROOT / "out" / "plans.jsonl")
    options = parser.parse_args()
    options.cache.parent.mkdir(parents=True, exist_ok=True)
    make = functools.partial(_cached, options.cache)
    found = {}
    for batch, generation in SLICES:
        for model, step in itertools.product(MODELS, steps.STEPS):
            one = plan.smallest(
                _config(options.configs, model), generation, step, steps.Setting(batch, LENGTH), make, _say)
            if one is None:
                _say(f"{model} {step} B={batch}: fits no slice of {generation}")
                continue
            found[MODELS.index(model), steps.STEPS.index(step), batch, generation] = one
            _write([found[key] for key in sorted(found)])


def _config(folder: pathlib.Path, model: str) -> pathlib.Path:
    found = sorted([*folder.glob(f"{model}.*json"), *folder.glob(f"{model}/config.json")])
    if not found:
        raise SystemExit(f"{folder}: holds no {model}.json or {model}/config.json; add the config.")
    return found[0]


def _cached(cache: pathlib.Path, config, topology, step, setting) -> plan.Plan:
    lines = cache.read_text().splitlines() if cache.is_file() else []
    wanted = (plan.model_name(config), topology.name, step, setting)
    for found in map(plan.from_json, map(json.loads, lines)):
        if (found.model, found.topology, found.step, steps.Setting(**found.setting)) == wanted:
            return found
    made = plan.make(config, topology, step, setting)
    with cache.open("a") as file:
        file.write(json.dumps(made.to_json()) + "\n")
    _say(f"{made.model} {step} B={setting.batch} {topology.name}: {tables.fits_text(made)}, "
         f"{made.compile_seconds:.0f} s, {made.cpu_seconds:.0f} CPU s")
    return made


def _write(plans: list[plan.Plan]) -> None:
    """Puts the table between the page's markers."""
    table = "\n".join([tables.MARKDOWN_HEAD, *map(tables.markdown_row, plans)])
    markdown.fill(PAGE, "plans", table)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
