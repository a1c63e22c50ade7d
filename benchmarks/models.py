#!/usr/bin/env python3
"""Base models beside transformers (eager) and peft, on the same folder, in float32.

    python benchmarks/models.py [--only PART] [--json FILE]     (needs the extra "parity")

One thread on both sides, repeats interleaved, medians of CPU seconds; random weights. Parts,
each for the models of `model_folders` ("lora tiny", "generate mid", ...):
  lora         a step of AdamW on rank-1 and rank-8 adapters of all projections, 8 rows of 128 tokens
  codelength   what each token costs, 8 rows of 128 tokens
  generate     greedy continuations of 16 prompts of 33 to 64 tokens by 128 tokens; nothing ends a row
  start        a fresh process up to the end of its first codelength, or step; compilation cache warm
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

import pathlib  # noqa: E402
import resource  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402

import model_folders  # noqa: E402
import models_ours  # noqa: E402
import models_peer  # noqa: E402
import numpy as np  # noqa: E402
import transformers  # noqa: E402
from common import arguments, figure, paired, write  # noqa: E402

RATE = "tokens per CPU second"
EAGER = f"transformers {transformers.__version__}"
TRAINED = model_folders.BATCH * model_folders.LENGTH
SCORED = model_folders.BATCH * (model_folders.LENGTH - 1)
WRITTEN = model_folders.PROMPTS * model_folders.NEW_TOKENS
REPEATS = {"tiny": 9, "smollm3": 9, "olmo3": 9, "mid": 5}


def compare(name: str, count: int, ours, peer, repeats: int) -> dict:
    seconds = paired(ours, peer, repeats)
    return figure(name, RATE, count / seconds[0], count / seconds[1], EAGER, repeats)


def lora(model: str, folder: pathlib.Path) -> list[dict]:
    return [compare(f"LoRA step, r={rank}, {model}", TRAINED, models_ours.make_lora(folder, rank),
                    models_peer.make_lora(folder, rank), REPEATS[model]) for rank in (1, 8)]


def codelength(model: str, folder: pathlib.Path) -> list[dict]:
    ours, peer = models_ours.make_codelength(folder), models_peer.make_codelength(folder)
    np.testing.assert_allclose(ours(), peer(), rtol=1e-4)
    return [compare(f"codelength, {model}", SCORED, ours, peer, REPEATS[model])]


def generate(model: str, folder: pathlib.Path) -> list[dict]:
    ours, peer = models_ours.make_generate(folder), models_peer.make_generate(folder)
    if ours() != peer():
        raise SystemExit(f"{model}: the two sides wrote different tokens")
    return [compare(f"greedy generation, {model}", WRITTEN, ours, peer, (REPEATS[model] + 1) // 2)]


def start(model: str, folder: pathlib.Path) -> list[dict]:
    figures = []
    for what in ("codelength", "lora"):
        def process(side, what=what) -> float:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, side.__file__, what, str(folder)], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        process(models_ours), process(models_peer)
        times = [(process(models_ours), process(models_peer)) for _ in range(REPEATS["mid"])]
        figures.append(figure(f"start to first {what}, {model}", "CPU seconds", *np.median(times, axis=0),
                              EAGER, len(times)))
    return figures


PARTS = {"lora": lora, "codelength": codelength, "generate": generate, "start": start}


def main() -> None:
    given = arguments(__doc__.splitlines()[0])
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
