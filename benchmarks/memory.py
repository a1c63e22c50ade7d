"""Peak memory of coding at a large vocabulary, each length in a process of its own.

    python benchmarks/memory.py [--json FILE]

A child (with --length) codes 8 random sequences and prices them by teacher
forcing under a thin random model, and prints by how many bytes its peak RSS grew over what
the loaded model took.
"""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
from common import arguments, figure, write

VOCAB, BATCH, LENGTHS = 128_256, 8, (512, 1024)
BOUND_BYTES = 1.5e9


def peak_bytes() -> int:
    """Returns the peak RSS since this program began; `ru_maxrss` would begin with its parent's."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def child(length: int) -> None:
    import jax

    import sah_jax  # noqa: F401
    from sah_jax.coding import file, tokens
    from sah_jax.models import base, config, costs, decoder, rope

    spec = config.ModelConfig(
        vocab_size=VOCAB, width=64, ffn=128, layers=2, heads=4, kv_heads=2, head_dim=16,
        max_positions=max(LENGTHS), norm_eps=1e-5, ropes=(rope.Rope(1e4),) * 2,
        tied_embedding=True, start_token=0, end_tokens=(0,))
    model = decoder.Decoder(spec)
    params = jax.block_until_ready(
        jax.jit(model.init)(jax.random.key(0), np.zeros((1, 1), np.int32))["params"])
    before = peak_bytes()
    variables = {"params": params, "program": {}}
    rows = tokens.Rows(
        base.cached_step(model), lambda b, t: decoder.init_cache(spec, b, t, model.dtype), variables,
        BATCH, length, 0, 0)
    sequences = np.random.default_rng(0).integers(1, VOCAB, (BATCH, length)).tolist()
    writer = file.ProgramWriter()
    tokens.write_rows(writer, rows, sequences, [length] * BATCH)
    reader = file.ProgramReader(writer.close())
    if tokens.read_rows(reader, rows, [length] * BATCH) != sequences:
        raise SystemExit("the tokens did not come back")
    jax.block_until_ready(costs.token_costs(model, variables, np.pad(sequences, ((0, 0), (1, 0)))))
    print(peak_bytes() - before)


def figures() -> list[dict]:
    """Returns the growth of each length, and how it grows when the length doubles."""
    grown = []
    for length in LENGTHS:
        done = subprocess.run(
            [sys.executable, __file__, f"--length={length}"], capture_output=True, text=True, check=True,
            env={**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"})
        grown.append(int(done.stdout.split()[-1]))
    named = [figure(f"peak RSS over the model's, V={VOCAB}, B={BATCH}, L={length}", "bytes", size,
                    BOUND_BYTES, "bound", 1) for length, size in zip(LENGTHS, grown, strict=True)]
    logits = BATCH * (LENGTHS[1] - LENGTHS[0]) * VOCAB * 4
    return [*named, figure(f"growth when L doubles to {LENGTHS[1]}", "bytes", grown[1] - grown[0], logits,
                           "the logits of the added positions", 1)]


if __name__ == "__main__":
    given = arguments("Peak memory of coding.", length=int)
    if given.length:
        child(given.length)
    else:
        write(figures(), given.json)
