#!/usr/bin/env python3
"""Base models beside transformers (eager) and peft, on the same folder, in float32.

    python benchmarks/models.py [--only PART] [--json FILE]     (needs the extra "parity")

Each side in a process of its own, as its users run it, on one thread; repeats interleaved, medians
of CPU seconds. Random weights. Parts, each for the models of `model_folders` ("lora tiny",
"generate mid", ...):
  lora         a step of AdamW on rank-1 and rank-8 adapters of all projections, 8 rows of 128 tokens
  codelength   what each token costs, 8 rows of 128 tokens
  generate     greedy continuations of 16 prompts of 33 to 64 tokens by 128 tokens; nothing ends a row
  start        a fresh process up to the end of its first codelength, or step; compilation cache warm
  roofline     mid: the core's float32 product and read rates, and the tokens per CPU second that the
               better side's rates leave to the parts above, attention and all else left out
"""

import contextlib
import importlib
import math
import multiprocessing
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata

import model_folders
import numpy as np
from common import arguments, figure, write

SIDES = ("models_ours", "models_peer")
EAGER = f"transformers {metadata.version('transformers')}"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
TRAINED = model_folders.BATCH * model_folders.LENGTH
SCORED = model_folders.BATCH * (model_folders.LENGTH - 1)
WRITTEN = model_folders.PROMPTS * model_folders.NEW_TOKENS
REPEATS = {"tiny": 9, "smollm3": 9, "olmo3": 9, "mid": 5}
PROCESSES = 3


def serve(side: str, what: str, given: tuple, pipe) -> None:
    """Calls what a side makes whenever asked to; answers with the CPU seconds and the result."""
    call = getattr(importlib.import_module(side), f"make_{what}")(*given)
    while pipe.recv():
        start = time.process_time()
        result = call()
        pipe.send((time.process_time() - start, result))


@contextlib.contextmanager
def both_sides(what: str, *given) -> Iterator[list]:
    """Yields functions that run our call and the peer's once: () -> (CPU seconds, result)."""
    context, processes, asks = multiprocessing.get_context("spawn"), [], []
    for side in SIDES:
        here, there = context.Pipe()
        processes.append(context.Process(target=serve, args=(side, what, given, there), daemon=True))
        processes[-1].start()
        there.close()  # so that a side that fails is an end of file here

        def ask(pipe=here):
            pipe.send(True)
            return pipe.recv()

        asks.append(ask)
    yield asks
    for process in processes:
        process.terminate()


def compare(
    name: str, model: str, amount: float, sides: list, unit: str = "tokens per CPU second"
) -> dict:
    times = [[ask()[0] for ask in sides] for _ in range(REPEATS[model])]
    ours, peer = (amount / statistics.median(side) for side in zip(*times, strict=True))
    return figure(f"{name}, {model}", unit, ours, peer, EAGER, len(times))


def lora(model: str, folder: pathlib.Path) -> list[dict]:
    figures = []
    for rank in (1, 8):
        with both_sides("lora", folder, rank) as sides:
            for ask in sides:
                ask()
            figures.append(compare(f"LoRA step, r={rank}", model, TRAINED, sides))
    return figures


def codelength(model: str, folder: pathlib.Path) -> list[dict]:
    with both_sides("codelength", folder) as sides:
        np.testing.assert_allclose(*(ask()[1] for ask in sides), rtol=1e-4)
        return [compare("codelength", model, SCORED, sides)]


def generate(model: str, folder: pathlib.Path) -> list[dict]:
    with both_sides("generate", folder) as sides:
        ours, peer = (ask()[1] for ask in sides)
        if ours != peer:
            raise SystemExit(f"{model}: the two sides wrote different tokens")
        return [compare("greedy generation", model, WRITTEN, sides)]


def start(model: str, folder: pathlib.Path) -> list[dict]:
    def process(side: str, what: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        script = pathlib.Path(__file__).with_name(f"{side}.py")
        subprocess.run([sys.executable, script, what, folder], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    figures = []
    for what in ("codelength", "lora"):
        times = [[process(side, what) for side in SIDES] for _ in range(1 + PROCESSES)]
        ours, peer = np.median(times[1:], axis=0)  # the first fills our compilation cache
        figures.append(figure(f"start to first {what}, {model}", "CPU seconds", ours, peer, EAGER, PROCESSES))
    return figures


def roofline(model: str, folder: pathlib.Path) -> list[dict]:
    if model != "mid":  # the others' weights stay in the cache, and their time is no product's
        return []
    figures, rates = [], []
    for what, amount, unit in (("sgemm", 2e-9 * math.prod(model_folders.PRODUCT), "GFLOP per CPU second"),
                               ("stream", 4e-9 * model_folders.STREAM, "GB per CPU second")):
        with both_sides(what) as sides:
            for ask in sides:
                ask()
            figures.append(compare(what, model, amount, sides, unit))
        rates.append(1e9 * max(figures[-1]["ours"], figures[-1]["peer"]))
    weights, rows = model_folders.multiplied(model), model_folders.PROMPTS
    seconds = {  # of a token; a backward pass multiplies once more, a decode step reads every weight
        "LoRA step": 4 * weights / rates[0], "codelength": 2 * weights / rates[0],
        "greedy generation": max(2 * weights / rates[0], 4 * weights / rates[1] / rows)}
    return figures + [
        figure(f"bound of {name}, {model}", "tokens per CPU second", 1 / each, 0, "no peer", REPEATS[model])
        for name, each in seconds.items()]


PARTS = {"lora": lora, "codelength": codelength, "generate": generate, "start": start, "roofline": roofline}


def main() -> None:
    given = arguments(__doc__.splitlines()[0])
    os.environ |= ONE_THREAD
    figures = []
    with tempfile.TemporaryDirectory() as root:
        for model in model_folders.SHAPES:
            folder = pathlib.Path(root) / model
            parts = [part for name, part in PARTS.items() if (given.only or "") in f"{name} {model}"]
            if parts:
                model_folders.save(model, folder)
            figures += [row for part in parts for row in part(model, folder)]
    write(figures, given.json)


if __name__ == "__main__":
    main()
