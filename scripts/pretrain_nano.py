#!/usr/bin/env python3
"""Trains a family of nano base models, from random weights to one that answers conversations.

    NPROC=2 JAX_PLATFORMS=cpu python scripts/pretrain_nano.py --out=out/nano-family

Writes, each with config.json, tokenizer.json and model.safetensors,

    OUT/nano-step0      before training
    OUT/nano-stepN      along pre-training, for each N of --along
    OUT/nano            after pre-training
    OUT/nano-chat       after post-training on conversations

and OUT/pretrain.csv, the loss curve of both stages. Run it again and it goes on where it was stopped:
every 100 steps it leaves a checkpoint in --checkpoints, which may be removed at the end.

A larger model takes the same command on one GPU. Some 30 M parameters on 0.6 G tokens, and 100 M on 2 G:

    python scripts/pretrain_nano.py --out=out/nano-30m --width=512 --ffn=1536 --layers=10 --heads=8 \
        --kv_heads=4 --vocab_size=2048 --batch=128 --length=512 --steps=9000 --along=500,2000
    python scripts/pretrain_nano.py --out=out/nano-100m --width=768 --ffn=2304 --layers=15 --heads=12 \
        --kv_heads=6 --vocab_size=2048 --batch=256 --length=512 --steps=15000 --along=500,3000 \
        --learning_rate=5e-3
"""

import csv
import pathlib
import time

from absl import app, flags, logging

from sah_jax.tasks.nano import chat, corpus
from sah_jax.training import pretrain

_OUT = flags.DEFINE_string("out", "out/nano-family", "Folder to write the models to.")
_CHECKPOINTS = flags.DEFINE_string("checkpoints", "out/pretrain_nano", "Folder of a stopped run.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the initialisation and of the documents.")
_STEPS = flags.DEFINE_integer("steps", 6600, "Steps of pre-training.")
_ALONG = flags.DEFINE_list("along", ["200", "800"], "Steps of pre-training to keep a model of.")
_CHAT_STEPS = flags.DEFINE_integer("chat_steps", 600, "Steps of post-training.")
_BATCH = flags.DEFINE_integer("batch", 8, "Sequences a step.")
_LENGTH = flags.DEFINE_integer("length", 512, "Tokens a sequence, and positions of the model.")
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 1e-2, "Peak of pre-training.")
_CHAT_LEARNING_RATE = flags.DEFINE_float("chat_learning_rate", 3e-3, "Peak of post-training.")
_VOCAB_SIZE = flags.DEFINE_integer("vocab_size", 1536, "Tokens in the vocabulary.")
_WIDTH = flags.DEFINE_integer("width", 128, "Width of the residual stream.")
_FFN = flags.DEFINE_integer("ffn", 384, "Width of the feed-forward layers.")
_LAYERS = flags.DEFINE_integer("layers", 5, "Layers.")
_HEADS = flags.DEFINE_integer("heads", 4, "Heads of the queries.")
_KV_HEADS = flags.DEFINE_integer("kv_heads", 2, "Heads of the keys and values.")


class _Log:
    """The loss curve. A run that goes on keeps the lines before the step it goes on from."""

    _COLUMNS = ("stage", "step", "tokens", "loss_nats", "seconds")

    def __init__(self, path: pathlib.Path):
        self._path, self._lines = path, {}
        if path.exists() and pathlib.Path(_CHECKPOINTS.value).exists():
            with open(path, newline="") as file:
                self._lines = {(line["stage"], int(line["step"])): line for line in csv.DictReader(file)}
        before = max((int(line["seconds"]) for line in self._lines.values()), default=0)
        self._start = time.monotonic() - before

    def __call__(self, stage: str, step: int, tokens: int, loss: float) -> None:
        seconds = f"{time.monotonic() - self._start:.0f}"
        values = (stage, step, tokens, f"{loss:.4f}", seconds)
        self._lines[stage, step] = dict(zip(self._COLUMNS, values, strict=True))
        with open(self._path, "w", newline="") as file:
            log = csv.DictWriter(file, self._COLUMNS)
            log.writeheader()
            log.writerows(self._lines.values())
        print(f"{stage} step {step}  {tokens:,} tokens  loss {loss:.4f} nats/token  {seconds} s", flush=True)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}.")
    logging.set_verbosity("warning")  # Orbax tells of each checkpoint
    out = pathlib.Path(_OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    run = pretrain.Run(
        out, pathlib.Path(_CHECKPOINTS.value), _BATCH.value, _LENGTH.value, _Log(out / "pretrain.csv"))
    along = {int(step): f"nano-step{int(step)}" for step in _ALONG.value}
    seed = _SEED.value
    stages = (
        pretrain.Stage("pretrain", corpus.documents, seed + 1, _STEPS.value, _LEARNING_RATE.value,
                       along | {_STEPS.value: "nano"}),
        pretrain.Stage("posttrain", chat.conversations, seed + 1, _CHAT_STEPS.value,
                       _CHAT_LEARNING_RATE.value, {_CHAT_STEPS.value: "nano-chat"}))
    spec = pretrain.nano_spec(
        _VOCAB_SIZE.value, _WIDTH.value, _FFN.value, _LAYERS.value, _HEADS.value, _KV_HEADS.value,
        _LENGTH.value)
    tokenizer = pretrain.train_corpus_tokenizer(_SEED.value, spec.vocab_size)
    params = pretrain.initial_params(spec, _SEED.value)
    pretrain.save_checkpoint(out / "nano-step0", spec, params, tokenizer)
    for stage in stages:
        params = pretrain.train(run, stage, spec, params, tokenizer)


if __name__ == "__main__":
    app.run(main)
