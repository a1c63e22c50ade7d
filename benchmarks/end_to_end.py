"""Coding real text under the shipped nano model, beside training on it."""

import json
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from common import cpu_seconds, figure

from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import lowrank, texts
from sah_jax.training import examples as examples_lib
from sah_jax.training import step as step_lib

GSM8K = pathlib.Path(__file__).parents[2] / "shared" / "data" / "gsm8k" / "train.jsonl"
NUM_EXAMPLES, BATCH = 1000, 8
PORTIONS = 5  # coded and trained on in turn, so that both sides see the same machine
EPOCH = "one LoRA training epoch"


def read_texts() -> tuple[str, list[str]]:
    """Returns the texts and what they are: GSM8K, or where it is not, nano_math."""
    if GSM8K.is_file():
        records = [json.loads(line) for line in GSM8K.read_text().splitlines()[:NUM_EXAMPLES]]
        return "GSM8K", [f"Question: {r['question']}\nAnswer: {r['answer']}" for r in records]
    from sah_jax.tasks import registry

    examples = registry.get_task("nano_math").examples("train", NUM_EXAMPLES, 0)
    return "nano_math", [example.prompt + example.answer for example in examples]


def trainer(base: base_lib.BaseModel, limit: int) -> Callable[[list[list[int]]], None]:
    """Returns what trains a rank-8 adapter on all tokens of some rows once."""
    theta = lowrank.start(base.decoder, 8, 0)
    optimizer = optax.adam(1e-3)
    step = step_lib.make_step(
        base.decoder, optimizer, lambda t, params: {"params": params, "program": lowrank.expand(t, 1.0)})

    def train(rows):
        state = step_lib.FitState(jax.tree.map(jnp.copy, theta), optimizer.init(theta))
        examples = [examples_lib.TokenExample((), tuple(row)) for row in rows]
        for batch in examples_lib.batches(base, examples, BATCH, limit, [range(len(examples))]):
            state, loss = step(state, base.params, batch)
        jax.block_until_ready(loss)

    return train


def figures() -> list[dict]:
    """Times emitting and decoding all texts, and an epoch over the same rows, in portions taken in turn."""
    base, adapted = base_lib.load_base("nano"), family_lib.Adapted({})
    name, found = read_texts()
    encoded = [base.encode(text) for text in found]
    limit = texts.row_limit(base, adapted, encoded)
    count = sum(map(len, encoded)) + len(encoded)
    # Each portion has a longest text, so that all have rows of the same shape.
    longest, train = max(encoded, key=len), trainer(base, limit)
    size = -(-len(encoded) // PORTIONS)
    seconds, emitted_bits, ideal_bits = {"emit": 0.0, "decode": 0.0, EPOCH: 0.0}, 0, 0.0
    for number in range(-1, PORTIONS):
        # Number -1 compiles: what is timed is coding and training.
        part = encoded[number * size : (number + 1) * size] if number >= 0 else [longest, *encoded[:BATCH]]
        rows, made = [row for tokens in part for row in texts.split(tokens, limit)], {}
        spent = {
            "emit": cpu_seconds(lambda: made.update(file=texts.write(part, base, adapted, BATCH))),  # noqa: B023
            "decode": cpu_seconds(
                lambda: made.update(back=texts.read(made["file"].data, base, adapted))),  # noqa: B023
            EPOCH: cpu_seconds(lambda: train(rows))}  # noqa: B023
        if [list(text) for text in made["back"].texts] != part:
            raise SystemExit("the texts did not come back")
        if number >= 0:
            seconds = {side: seconds[side] + spent[side] for side in seconds}
            emitted_bits, ideal_bits = emitted_bits + made["file"].bits, ideal_bits + made["file"].ideal_bits
    what, epoch = f"{len(found)} {name} examples under nano ({count} tokens)", seconds.pop(EPOCH)
    return [row for side, spent in seconds.items() for row in (
        figure(f"{side} {what}", "tokens per CPU second", count / spent, count / epoch, EPOCH, PORTIONS),
        figure(f"time to {side} {what}", "CPU seconds", spent, epoch, EPOCH, PORTIONS))] + [
        figure(f"emitted over ideal, {what}", "bits", emitted_bits, ideal_bits, "ideal", PORTIONS)]
