"""Coding real text under the shipped nano model, beside training on it."""

import json
import pathlib

import jax
import optax
from common import cpu_seconds, figure

from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import lowrank, texts
from sah_jax.training import examples as examples_lib
from sah_jax.training import step as step_lib

GSM8K = pathlib.Path(__file__).parents[2] / "shared" / "data" / "gsm8k" / "train.jsonl"
NUM_EXAMPLES, BATCH = 1000, 8
EPOCH = "one LoRA training epoch"


def read_texts() -> tuple[str, list[str]]:
    """Returns the texts and what they are: GSM8K, or where it is not, nano_math."""
    if GSM8K.is_file():
        records = [json.loads(line) for line in GSM8K.read_text().splitlines()[:NUM_EXAMPLES]]
        return "GSM8K", [f"Question: {r['question']}\nAnswer: {r['answer']}" for r in records]
    from sah_jax.tasks import registry

    examples = registry.get_task("nano_math").examples("train", NUM_EXAMPLES, 0)
    return "nano_math", [example.prompt + example.answer for example in examples]


def train_epoch(base: base_lib.BaseModel, rows: list[list[int]], limit: int) -> None:
    """Trains a rank-8 adapter on all tokens of the rows once."""
    theta = lowrank.start(base.decoder, 8, 0)
    optimizer = optax.adam(1e-3)
    step = step_lib.make_step(
        base.decoder, optimizer, lambda t, params: {"params": params, "program": lowrank.expand(t, 1.0)})
    state = step_lib.FitState(theta, optimizer.init(theta))
    examples = [examples_lib.TokenExample((), tuple(row)) for row in rows]
    for batch in examples_lib.batches(base, examples, BATCH, limit, [range(len(examples))]):
        state, loss = step(state, base.params, batch)
    jax.block_until_ready(loss)


def figures() -> list[dict]:
    """Times emitting and decoding all texts, and an epoch over the same rows."""
    base, adapted = base_lib.load_base("nano"), family_lib.Adapted({})
    name, found = read_texts()
    encoded = [base.encode(text) for text in found]
    limit = texts.row_limit(base, adapted, encoded)
    rows = [row for tokens in encoded for row in texts.split(tokens, limit)]
    count = sum(map(len, encoded)) + len(encoded)
    write = lambda some: texts.write(some, base, adapted, BATCH)
    # Compiled beforehand: what is timed is coding.
    texts.read(write([max(encoded, key=len), *encoded[:BATCH]]).data, base, adapted)
    train_epoch(base, rows[:BATCH], limit)
    made = {}
    seconds = {"emit": cpu_seconds(lambda: made.update(file=write(encoded)))}
    seconds["decode"] = cpu_seconds(lambda: made.update(back=texts.read(made["file"].data, base, adapted)))
    epoch = cpu_seconds(lambda: train_epoch(base, rows, limit))
    if [list(text) for text in made["back"].texts] != encoded:
        raise SystemExit("the texts did not come back")
    what = f"{len(found)} {name} examples under nano ({count} tokens)"
    return [row for side, spent in seconds.items() for row in (
        figure(f"{side} {what}", "tokens per CPU second", count / spent, count / epoch, EPOCH, 1),
        figure(f"time to {side} {what}", "CPU seconds", spent, epoch, EPOCH, 1))] + [
        figure(f"emitted over ideal, {what}", "bits", 8 * len(made["file"].data),
               made["file"].books.ideal_bits, "ideal", 1)]
