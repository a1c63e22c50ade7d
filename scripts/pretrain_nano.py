#!/usr/bin/env python3
"""Trains the nano base models that the package ships: step 0 and the trained checkpoint.

    NPROC=2 python scripts/pretrain_nano.py --out=sah_jax/models/nano

Writes OUT/nano-step0, OUT/nano (config.json, tokenizer.json, model.safetensors) and
OUT/pretrain.csv, the loss curve.
"""

import csv
import pathlib
import time

from absl import app, flags

from sah_jax.training import pretrain

_OUT = flags.DEFINE_string("out", "sah_jax/models/nano", "Folder to write the checkpoints to.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the initialisation and of the corpus.")
_STEPS = flags.DEFINE_integer("steps", 3000, "Optimizer steps.")
_BATCH = flags.DEFINE_integer("batch", 16, "Sequences a step.")
_LENGTH = flags.DEFINE_integer("length", 256, "Tokens a sequence.")
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 1e-2, "Peak learning rate.")
_VOCAB_SIZE = flags.DEFINE_integer("vocab_size", 1024, "Tokens in the vocabulary.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}.")
    out = pathlib.Path(_OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with open(out / "pretrain.csv", "w", newline="") as file:
        log = csv.writer(file)
        log.writerow(["step", "tokens", "loss_nats", "seconds"])

        def report(step: int, tokens: int, loss: float) -> None:
            log.writerow([step, tokens, f"{loss:.4f}", f"{time.monotonic() - start:.0f}"])
            file.flush()
            print(f"step {step}/{_STEPS.value}  {tokens:,} tokens  loss {loss:.4f} nats/token", flush=True)

        pretrain.pretrain(
            out, seed=_SEED.value, steps=_STEPS.value, batch=_BATCH.value, length=_LENGTH.value,
            peak_learning_rate=_LEARNING_RATE.value, vocab_size=_VOCAB_SIZE.value, report=report)


if __name__ == "__main__":
    app.run(main)
