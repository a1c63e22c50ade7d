#!/usr/bin/env python3
"""The coder beside constriction's range coder: tokens per CPU second, one thread each.

    python benchmarks/coding.py [--json FILE]     (needs the extra "test")

Both sides get the same float32 logits, build their integer model of every row, and encode
or decode one token a row; repeats are interleaved and medians are compared. Prints the
table and writes a list of {name, unit, ours, peer, peer_name, ratio, repeats}.
"""

import argparse
import functools
import json
import statistics
import time

import constriction
import jax
import jax.numpy as jnp
import numpy as np

import sah_jax  # noqa: F401  (one thread: NPROC is pinned to 1)
from sah_jax.coding import arithmetic, file, freqs

CASES = ((512, 512), (32_000, 32), (128_256, 8))  # vocabulary, rows a call
REPEATS = 7


def make_rows(vocab: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns peaked logits [rows, V] (a permuted Zipf law with noise) and a token drawn from each."""
    rng = np.random.default_rng(0)
    zipf = -1.5 * np.log(np.arange(1, vocab + 1))
    logits = np.stack([rng.permutation(zipf) for _ in range(rows)])
    logits = (logits + 0.5 * rng.normal(size=logits.shape)).astype(np.float32)
    gumbel = rng.gumbel(size=logits.shape)
    return logits, np.argmax(logits + gumbel, axis=-1).astype(np.int32)


@jax.jit
def intervals(logits_BV, tokens_B):
    return freqs.interval(freqs.from_logits(logits_BV), tokens_B)


@jax.jit
def decode_rows(state, logits_BV, window):
    def one(state, freqs_V):
        token, start, freq = freqs.find(freqs_V, arithmetic.slot(state))
        return arithmetic.advance(state, start, freq, window), token

    return jax.lax.scan(one, state, freqs.from_logits(logits_BV))


def ours_encode(logits, tokens) -> bytes:
    return arithmetic.encode(*jax.device_get(intervals(logits, tokens)))


def ours_decode(data: bytes, logits) -> np.ndarray:
    reader = file.ProgramReader(data)
    state, tokens = decode_rows(reader.state, logits, reader.window(len(logits)))
    return np.asarray(tokens)


def probabilities(logits) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def peer_encode(logits, tokens) -> np.ndarray:
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(tokens, constriction.stream.model.Categorical(perfect=False), probabilities(logits))
    return encoder.get_compressed()


def peer_decode(data, logits) -> np.ndarray:
    decoder = constriction.stream.queue.RangeDecoder(data)
    return decoder.decode(constriction.stream.model.Categorical(perfect=False), probabilities(logits))


def cpu_seconds(call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def compare(name: str, rows: int, ours, peer) -> dict:
    """Times two calls in turn, after one call each that is not counted."""
    ours(), peer()
    times = [(cpu_seconds(ours), cpu_seconds(peer)) for _ in range(REPEATS)]
    rate = lambda side: rows / statistics.median(pair[side] for pair in times)
    return {"name": name, "unit": "tokens per CPU second", "ours": rate(0), "peer": rate(1),
            "peer_name": "constriction RangeCoder", "ratio": rate(0) / rate(1), "repeats": REPEATS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    figures = []
    for vocab, rows in CASES:
        logits, tokens = make_rows(vocab, rows)
        device_logits = jnp.asarray(logits)
        ours, peer = ours_encode(device_logits, tokens), peer_encode(logits, tokens)
        if not np.array_equal(ours_decode(ours, device_logits), tokens) or not np.array_equal(
                peer_decode(peer, logits), tokens):
            raise SystemExit(f"V={vocab}: a coder did not give the tokens back")
        figures.append(compare(
            f"encode V={vocab}", rows, functools.partial(ours_encode, device_logits, tokens),
            functools.partial(peer_encode, logits, tokens)))
        figures.append(compare(
            f"decode V={vocab}", rows, functools.partial(ours_decode, ours, device_logits),
            functools.partial(peer_decode, peer, logits)))
    for figure in figures:
        print("{name:20} ours {ours:12,.0f}  peer {peer:12,.0f}  ratio {ratio:5.2f}".format(**figure))
    if arguments.json:
        with open(arguments.json, "w") as stream:
            json.dump(figures, stream, indent=1)


if __name__ == "__main__":
    main()
