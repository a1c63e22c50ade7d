#!/usr/bin/env python3
"""The coder beside its peers: constriction's range coder and the reference's exact path.

    python benchmarks/coding.py [--only PART] [--json FILE]     (needs the extra "test")

One thread on both sides, repeats interleaved, medians of CPU seconds. Parts:
  from probabilities   both sides get the same float32 probabilities, build their integer model
                       of every row, and encode or decode one token a row; ours is told that they
                       sum to 1, and the peer takes it for granted too
  from logits          as above, softmax included (numpy's on the peer's side)
  models prebuilt      the peer's floor: nothing but coding; ours from given intervals
  reference            the Decimal interval of 2,000 digits that the reference computes
  overhead             emitted over ideal bits on peaked logits
  nano                 1,000 examples emitted and decoded under the shipped model, beside training
  memory               peak RSS at a vocabulary of 128,256, and when the length doubles
"""

import decimal
import functools

import constriction
import end_to_end
import jax
import jax.numpy as jnp
import memory
import numpy as np
from common import arguments, figure, paired, write

import sah_jax  # noqa: F401  (one thread: NPROC is pinned to 1)
from sah_jax.coding import arithmetic, file, freqs, tokens

CASES = ((512, 4096), (32_000, 64), (128_256, 16))  # vocabulary, rows a call
REFERENCE_CASES = ((512, 64), (32_000, 8), (128_256, 3))  # vocabulary, tokens a call
OVERHEAD_TOKENS = 2048
RATE = "tokens per CPU second"
CONSTRICTION = "constriction RangeCoder"
CATEGORICAL = functools.partial(constriction.stream.model.Categorical, perfect=False)


def make_rows(vocab: int, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns peaked logits [rows, V] (a permuted Zipf law with noise) and a token drawn from each."""
    rng = np.random.default_rng(seed)
    zipf = -1.5 * np.log(np.arange(1, vocab + 1))
    logits = np.stack([rng.permutation(zipf) for _ in range(rows)])
    logits = (logits + 0.5 * rng.normal(size=logits.shape)).astype(np.float32)
    gumbel = rng.gumbel(size=logits.shape)
    return logits, np.argmax(logits + gumbel, axis=-1).astype(np.int32)


def softmax(logits) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def of_probabilities(probabilities_BV):
    return freqs.from_weights(probabilities_BV, jnp.ones(len(probabilities_BV), jnp.float32))


# What a row's numbers become: integer frequencies on our side, probabilities on the peer's.
MODELS = {"from probabilities": (of_probabilities, lambda x: x), "from logits": (freqs.from_logits, softmax)}


@functools.partial(jax.jit, static_argnames="model")
def intervals(model, numbers_BV, tokens_B):
    return freqs.interval(model(numbers_BV), tokens_B)


@functools.partial(jax.jit, static_argnames="model")
def decode(model, state, numbers_BV, window):
    rows = len(numbers_BV)
    return tokens.decode_tokens(
        state, model(numbers_BV), jnp.zeros(rows, jnp.int32), jnp.ones(rows, bool), window)[1][0]


def ours_encode(model, numbers, chosen) -> bytes:
    return arithmetic.encode(*jax.device_get(intervals(model, numbers, chosen)))


def ours_decode(model, numbers, data: bytes) -> np.ndarray:
    reader = file.ProgramReader(data)
    return np.asarray(decode(model, reader.state, numbers, reader.window(len(numbers))))


def peer_encode(model, numbers, chosen) -> np.ndarray:
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(chosen, CATEGORICAL(), model(numbers))
    return encoder.get_compressed()


def peer_decode(model, numbers, data) -> np.ndarray:
    return constriction.stream.queue.RangeDecoder(data).decode(CATEGORICAL(), model(numbers))


def compare(name: str, count: int, ours, peer, peer_name: str = CONSTRICTION, repeats: int = 9) -> dict:
    """Returns a figure of `count` tokens a call."""
    seconds = paired(ours, peer, repeats)
    return figure(name, RATE, count / seconds[0], count / seconds[1], peer_name, repeats)


def coders(kind: str) -> list[dict]:
    """Times models built and tokens coded."""
    our_model, peer_model = MODELS[kind]
    figures = []
    for vocab, rows in CASES:
        logits, chosen = make_rows(vocab, rows)
        numbers = softmax(logits) if kind == "from probabilities" else logits
        device_numbers = jnp.asarray(numbers)
        ours, peer = ours_encode(our_model, device_numbers, chosen), peer_encode(peer_model, numbers, chosen)
        if not np.array_equal(ours_decode(our_model, device_numbers, ours), chosen) or not np.array_equal(
                peer_decode(peer_model, numbers, peer), chosen):
            raise SystemExit(f"V={vocab}: a coder did not give the tokens back")
        part = functools.partial
        figures += [
            compare(f"encode {kind}, V={vocab}", rows, part(ours_encode, our_model, device_numbers, chosen),
                    part(peer_encode, peer_model, numbers, chosen)),
            compare(f"decode {kind}, V={vocab}", rows, part(ours_decode, our_model, device_numbers, ours),
                    part(peer_decode, peer_model, numbers, peer))]
    return figures


def prebuilt() -> list[dict]:
    """Times coding alone: the peer's models and our intervals are there already."""
    figures = []
    for vocab, rows in CASES:
        logits, chosen = make_rows(vocab, rows)
        starts, widths = jax.device_get(intervals(freqs.from_logits, logits, chosen))
        models = [constriction.stream.model.Categorical(row, perfect=False, lazy=False)
                  for row in softmax(logits)]

        def peer(models=models, chosen=chosen):
            encoder = constriction.stream.queue.RangeEncoder()
            for model, token in zip(models, chosen.tolist(), strict=True):
                encoder.encode(token, model)
            encoder.get_compressed()

        figures.append(compare(f"encode, models prebuilt, V={vocab}", rows,
                               functools.partial(arithmetic.encode, starts, widths), peer))
    return figures


def reference_encode(probabilities, chosen) -> decimal.Decimal:
    """The reference's exact path: one interval of 2,000 digits, narrowed by each token."""
    low, width = decimal.Decimal(0), decimal.Decimal(1)
    for row, token in zip(probabilities, chosen, strict=True):
        ends = np.cumsum(row)
        start = decimal.Decimal(float(ends[token - 1])) if token else decimal.Decimal(0)
        low, width = low + width * start, width * (decimal.Decimal(float(ends[token])) - start)
    return low + width / 2


def reference_decode(probabilities, point: decimal.Decimal) -> list[int]:
    """Its decoder: every cumulative probability becomes a Decimal for every token."""
    low, width, found = decimal.Decimal(0), decimal.Decimal(1), []
    for row in probabilities:
        ends = [decimal.Decimal(float(end)) for end in np.cumsum(row)]
        token = next(i for i, end in enumerate(ends) if point < low + width * end)
        start = ends[token - 1] if token else decimal.Decimal(0)
        low, width = low + width * start, width * (ends[token] - start)
        found.append(token)
    return found


def reference() -> list[dict]:
    """Times the same tokens coded by the reference's Decimals; ours in the batches of `CASES`."""
    decimal.getcontext().prec = 2000
    figures = []
    for (vocab, count), (_, rows) in zip(REFERENCE_CASES, CASES, strict=True):
        logits, chosen = make_rows(vocab, rows)
        # float64, as cumulative sums of float32 are not monotone.
        probabilities = softmax(logits.astype(np.float64))[:count]
        point = reference_encode(probabilities, chosen[:count])
        if reference_decode(probabilities, point) != chosen[:count].tolist():
            raise SystemExit(f"V={vocab}: the reference's path did not give the tokens back")
        device_logits = jnp.asarray(logits)
        data = ours_encode(freqs.from_logits, device_logits, chosen)
        timed = {
            "encode": (functools.partial(ours_encode, freqs.from_logits, device_logits, chosen),
                       functools.partial(reference_encode, probabilities, chosen[:count])),
            "decode": (functools.partial(ours_decode, freqs.from_logits, device_logits, data),
                       functools.partial(reference_decode, probabilities, point))}
        for name, (ours, peer) in timed.items():
            seconds = paired(ours, peer, 3)
            figures.append(figure(f"{name} against the reference, V={vocab}", RATE, rows / seconds[0],
                                  count / seconds[1], "reference's Decimal interval", 3))
    return figures


def overhead() -> list[dict]:
    """Emitted bits less ideal bits, of one message; the ideal in float64."""
    figures = []
    for vocab, rows in CASES:
        starts, widths, peer_numbers, ideal = [], [], [], 0.0
        for seed in range(-(-OVERHEAD_TOKENS // rows)):
            logits, chosen = make_rows(vocab, rows, seed)
            some = jax.device_get(intervals(freqs.from_logits, logits, chosen))
            starts, widths = [*starts, some[0]], [*widths, some[1]]
            exact = softmax(logits.astype(np.float64))
            ideal -= float(np.log2(exact[np.arange(rows), chosen]).sum())
            peer_numbers.append((softmax(logits), chosen))
        emitted = 8 * len(arithmetic.encode(np.concatenate(starts), np.concatenate(widths)))
        encoder = constriction.stream.queue.RangeEncoder()
        for probabilities, chosen in peer_numbers:
            encoder.encode(chosen, CATEGORICAL(), probabilities)
        count = rows * len(starts)
        figures.append(figure(f"emitted over ideal, V={vocab}, {count} tokens", "bits a token",
                              (emitted - ideal) / count, (encoder.num_bits() - ideal) / count,
                              CONSTRICTION, 1))
    return figures


PARTS = {
    "from probabilities": lambda: coders("from probabilities"), "from logits": lambda: coders("from logits"),
    "models prebuilt": prebuilt, "reference": reference, "overhead": overhead,
    "nano": end_to_end.figures, "memory": memory.figures}


def main() -> None:
    given = arguments(__doc__.splitlines()[0])
    write([row for name, part in PARTS.items() if (given.only or "") in name for row in part()], given.json)


if __name__ == "__main__":
    main()
