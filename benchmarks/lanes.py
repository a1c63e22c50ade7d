"""Sixteen settings fitted as one batch and one by one: traces, wall and CPU time, memory, scores.

    python benchmarks/lanes.py [--json FILE] [--only vector]

Each way runs in a process of its own. Every program file is then rebuilt and scored by another fresh
process, which must come to the same digest and score. Times include compilation, once each way.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import common

SETTINGS = 16
NUM_TEST = 128
FAMILIES = {"lora": {"rank": 1}, "vector": {"size": 1000}}


def settings(name: str) -> list[tuple[dict, int]]:
    """Returns settings and seeds that differ in what changes no shape."""
    shape = FAMILIES[name] | {"num_examples": 256, "max_tokens": 96}
    return [(shape | {"learning_rate": rate, "rate_weight": weight, "alpha": alpha}, seed)
            for rate in (3e-3, 5e-3) for weight in (1e-5, 1e-4) for alpha in (4, 8) for seed in (0, 1)]


def fit(name: str, way: str, folder: pathlib.Path) -> dict:
    """Fits the settings, writes their files, and returns what it took and what they score."""
    from sah_jax.models import base as base_lib
    from sah_jax.programs import base as family_lib
    from sah_jax.programs import codec, quantised, registry
    from sah_jax.studies import verification
    from sah_jax.tasks import evaluate
    from sah_jax.tasks import registry as task_registry
    from sah_jax.training import tuned

    base, task = base_lib.load_base("nano"), task_registry.get_task("nano_follow")
    family = registry.get_family(name)
    runs = [(family_lib.parse_setting(family, setting), seed) for setting, seed in settings(name)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.monotonic(), time.process_time()
    if way == "together":
        thetas = family.fit_together(runs, base, task, codec.silent)
    else:
        thetas = [family.fit(setting, base, task, seed, codec.silent) for setting, seed in runs]
    took = {"wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu,
            "fit_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}
    problem = quantised.problem_of(family, family.static(runs[0][0]), base.decoder)
    took["traces"] = tuned.make_step(problem, 8, SETTINGS * (way == "together")).run._cache_size()
    scores, digests, orders = [], [], []
    for number, theta in enumerate(thetas):
        program = codec.write(family, theta, base)
        (folder / f"{number}.sah").write_bytes(program.data)
        score = evaluate.evaluate(base, program.adapted.variables(base), task, "test", NUM_TEST)
        scores.append(dataclasses.astuple(score)[:2])
        digests.append(program.adapted.digest())
        orders.append({"model": "nano", "computed": {"dtype": "float32"}, "task": task.name,
                       "splits": {"test": NUM_TEST}, "program": f"{number}.sah"})
    (folder / verification.ORDERS_NAME).write_text(json.dumps(orders))
    return took | {"scores": scores, "digests": digests}


def verified(folder: pathlib.Path, found: dict) -> int:
    """Returns how many files a fresh process rebuilds to the same digest and score."""
    from sah_jax.studies import verification

    done = subprocess.run(
        [sys.executable, "-m", "sah_jax", "rebuild", folder], check=True, capture_output=True, text=True)
    answers = [json.loads(line.removeprefix(verification.MARK)) for line in done.stdout.splitlines()
               if line.startswith(verification.MARK)][1:]
    return sum(answer["adapted_digest"] == digest and answer["scores"]["test"] == list(score) for
               answer, digest, score in zip(answers, found["digests"], found["scores"], strict=True))


def run(name: str) -> list[dict]:
    """Runs both ways, and returns the figures."""
    found = {}
    for way in ("together", "one by one"):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, __file__, "--child", name, way, folder], check=True, capture_output=True,
                text=True)
            found[way] = json.loads(done.stdout.splitlines()[-1])
            found[way]["verified"] = verified(pathlib.Path(folder), found[way])
    together, alone = found["together"], found["one by one"]
    pairs = list(zip(together["scores"], alone["scores"], strict=True))
    apart = [abs(a[0] - b[0]) / math.hypot(a[1], b[1]) for a, b in pairs if a[1] or b[1]]
    rows = [common.figure(f"{name}: {what}", unit, together[key], alone[key], "one by one", 1)
            for what, key, unit in (
                ("traces", "traces", "traces"), ("wall time", "wall_s", "s"), ("CPU time", "cpu_s", "CPU s"),
                ("memory of the fit", "fit_mb", "MiB"), ("files verified", "verified", "of 16"))]
    alike = sum(a == b for a, b in zip(together["digests"], alone["digests"], strict=True))
    rows.append(common.figure(f"{name}: programs equal to the bit", "of 16", alike, 0.0, "none", 1))
    mean = [statistics.fmean(score for score, _ in side["scores"]) for side in (together, alone)]
    rows.append(common.figure(f"{name}: mean score", "score", *mean, "one by one", 1))
    rows.append(common.figure(f"{name}: furthest scores", "standard errors", max(apart), 0.0, "none", 1))
    return rows


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        name, way, folder = sys.argv[2:]
        print(json.dumps(fit(name, way, pathlib.Path(folder))))
        return
    given: argparse.Namespace = common.arguments(__doc__.splitlines()[0])
    common.write([row for name in FAMILIES if given.only in (None, name) for row in run(name)], given.json)


if __name__ == "__main__":
    main()
