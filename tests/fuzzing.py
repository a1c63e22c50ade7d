"""Mutated files: each must end in its program or a clear error, soon and in little memory.

    python tests/fuzzing.py --files 100000 [--seed 0] [--json FILE]

The corpus holds every family under a tiny random model, with and without a check, and a file
of texts. A plain file without its sidecar has no redundancy, so some of its mutations are other
whole programs; these are counted as `other`. A file with a check must never be one. (With a
sidecar nothing is decoded: its digest of the file differs.)
"""

import argparse
import collections
import json
import pathlib
import random
import signal
import tempfile
import time

import adapters
import jax
import numpy as np
import peak_memory
import tiny_model

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import (
    bayesian_bits,
    codec,
    combined,
    latents,
    online,
    prefix,
    quantised,
    registry,
    texts,
    vector,
    widths,
)
from sah_jax.training import examples as examples_lib

MOST_SECONDS = 100  # of CPU time for one file, compilation included
MOST_WAIT = 1800  # seconds of any time: a file that waits forever takes no CPU time
MOST_BYTES = 1 << 30  # by which memory may grow for one file
CLEAR_EVERY = 2000  # files; mutated headers ask for shapes that nobody needs again


class Hung(Exception):
    """A file took too long."""


def corpus(base: base_lib.BaseModel) -> dict[str, bytes]:
    """Returns a file of every kind; names of those with a check end in +."""
    rng = np.random.default_rng(0)
    draw = lambda n: rng.integers(1, base.spec.vocab_size, n).tolist()
    top = 3
    sparse = lambda number, shape: (
        rng.integers(-top, top + 1, shape).astype(np.int32) * (rng.random(shape) < 0.2))
    examples = online.OnlineTheta(
        online.OnlineForm(num_examples=6, learning_rate=0.003, epochs=2, rank=2, alpha=2, batch_size=4,
                          max_tokens=24), 1, (), "",
        tuple(examples_lib.TokenExample(tuple(draw(8)), tuple(draw(6))) for _ in range(6)))
    few = quantised.Form(bits_per_weight=3)
    forms = {"vector": vector.VectorForm(bits_per_weight=3, size=50), "norm_gains": few, "lm_head": few,
             "full": few, "prefix": prefix.PrefixForm(bits_per_weight=3, slots=3),
             "soft_prompt": prefix.PrefixForm(bits_per_weight=3, slots=3),
             "combined": combined.CombinedForm(bits_per_weight=3, steps=2)}
    thetas = {
        "baseline": None, "urial": draw(30), "icl": draw(60),
        "lora": adapters.theta(base, 2, 3, sparse, lambda number: -8, seed=1),
        "online": examples, "bayesian_bits": _bayesian(base, rng),
        **{name: adapters.numbers(name, base, form, sparse, extra=examples if name == "combined" else ())
           for name, form in forms.items()}}
    assert set(thetas) == set(registry.names())
    files = {}
    for name, theta in thetas.items():
        for check in (False, True):
            program = codec.write(registry.get_family(name), theta, base, check=check)
            files[name + "+" * check] = program.data
    files["texts+"] = texts.write([draw(20), [], draw(50)], base, family_lib.Adapted({}), 2).data
    return files


def _bayesian(base: base_lib.BaseModel, rng: np.random.Generator) -> bayesian_bits.Theta:
    """Returns tensors of every width, of two ranks of which some layers keep one."""
    found, ranks = {}, {}
    for name, shapes in bayesian_bits.tensor_shapes(base.decoder, 2).items():
        ranks[name] = rng.integers(1, 3, shapes["a"][0])
        for factor, shape in shapes.items():
            steps = latents.to_bfloat16(0.1 * rng.random(shape[0]))
            found[f"{name}/{factor}"] = widths.quantise(
                bayesian_bits.cut(0.05 * rng.normal(size=shape), factor, ranks[name]), steps,
                rng.choice(widths.WIDTHS, shape[0]))
    return bayesian_bits.Theta(bayesian_bits.BayesianBitsForm(rank=2), 1, found, ranks)


def mutate(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Returns the file with bits flipped, cut, spliced, overwritten, or replaced by noise."""
    changed = bytearray(data)
    kind = rng.randrange(7)
    here = rng.randrange(len(data))
    if kind <= 1:
        for _ in range(rng.choice([1, 1, 2, 8])):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        del changed[here:]
    elif kind == 3:
        other = rng.choice(others)
        changed[here:] = other[rng.randrange(len(other)) :]
    elif kind == 4:
        changed[here : here + rng.randrange(1, 9)] = rng.randbytes(rng.randrange(1, 9))
    elif kind == 5:
        changed += rng.randbytes(rng.randrange(1, 9))
    else:
        # The first byte is the header: most others end at once.
        changed[rng.randrange(2) :] = rng.randbytes(rng.randrange(1, 400))
    return bytes(changed)


def _decode(name: str, data: bytes, base: base_lib.BaseModel) -> str:
    """Returns a digest of what a file decodes to."""
    if name.startswith("texts"):
        return texts.digest(texts.read(data, base, family_lib.Adapted({})).texts)
    return codec.read(data, base).adapted.digest()


def _time_is_up(number, frame):
    raise Hung(f"no end after {MOST_SECONDS} CPU s or {MOST_WAIT} s")


def _limit(seconds: float, wait: int) -> None:
    """Sets the two clocks that end a file; zeros stop them."""
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    signal.alarm(wait)


def run(num_files: int, seed: int) -> dict:
    """Decodes so many mutated files; returns counts of outcomes by kind of file, and extremes.

    Raises:
      Exception: whatever a file raised that is not a `UserError`, with the file's bytes in a note.
    """
    with tempfile.TemporaryDirectory() as folder:
        tiny_model.save_tiny(pathlib.Path(folder))
        base = base_lib.load_base(folder)
    files = corpus(base)
    originals = {name: _decode(name, data, base) for name, data in files.items()}
    # Decoding an `online` file trains, and a new header is new shapes to compile: fewer of them.
    weights = {name: 0.1 if name.startswith(("online", "combined")) else 1.0 for name in files}
    rng, counts, slowest, grown = random.Random(seed), collections.Counter(), 0.0, 0
    for clock in (signal.SIGALRM, signal.SIGVTALRM):
        signal.signal(clock, _time_is_up)
    for number in range(num_files):
        [name] = rng.choices(list(weights), list(weights.values()))
        data = mutate(rng, files[name], list(files.values()))
        before, start = peak_memory.reset(), time.process_time()
        _limit(MOST_SECONDS, MOST_WAIT)
        try:
            same = _decode(name, data, base) == originals[name]
            outcome = "same" if same else "other"
        except errors.UserError as error:
            outcome = "refused" if len(str(error)) > 20 else "refused without a sentence"
        except Exception as error:
            error.add_note(f"mutation {number} of {name}, seed {seed}: {data.hex()}")
            raise
        finally:
            _limit(0, 0)
        # A splice can be the whole of another file, whose check is its own.
        checked = data and data[0] >> 5 == codec.CHECKED - 1 and data not in files.values()
        if outcome == "other" and checked:
            outcome = "other in spite of a check"
        counts[f"{name} {outcome}"] += 1
        slowest = max(slowest, time.process_time() - start)
        grown = max(grown, peak_memory.peak() - before)
        if number % CLEAR_EVERY == CLEAR_EVERY - 1:
            jax.clear_caches()
    return {"files": num_files, "seed": seed, "outcomes": dict(sorted(counts.items())),
            "slowest_seconds": slowest, "most_bytes": grown}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE")
    given = parser.parse_args()
    result = run(given.files, given.seed)
    print(json.dumps(result, indent=1))
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
