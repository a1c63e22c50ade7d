"""Our side of `models.py`. Runs alone for start-up times."""

import dataclasses
import pathlib
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from model_folders import draw_prompts, draw_rows, NEW_TOKENS, PRODUCT, STREAM

import sah_jax  # noqa: F401  (one thread: NPROC is pinned to 1)
from sah_jax.models import base as base_lib
from sah_jax.models import costs
from sah_jax.models import generate as generate_lib
from sah_jax.programs import lowrank
from sah_jax.training import step as step_lib


def make_lora(folder: pathlib.Path, rank: int = 8) -> Callable:
    """Returns a call that makes one step and returns the loss."""
    base = base_lib.load_base(folder)
    theta = lowrank.start(base.decoder, rank, 0)
    optimizer = optax.adamw(1e-3)
    step = step_lib.make_step(
        base.decoder, optimizer,
        lambda theta, params: {"params": params, "program": lowrank.expand(theta, 1.0)})
    tokens_BL = draw_rows(base.spec.vocab_size).astype(np.int32)
    batch = step_lib.Batch(jnp.asarray(tokens_BL), jnp.ones(tokens_BL.shape))
    state = step_lib.FitState(theta, jax.jit(optimizer.init)(theta))

    def call() -> float:
        nonlocal state
        state, loss = step(state, base.params, batch)
        return float(loss)

    return call


def make_codelength(folder: pathlib.Path) -> Callable:
    """Returns a call that returns the nats of each token but the first of its row, [BATCH * (LENGTH - 1)]."""
    base = base_lib.load_base(folder)
    tokens_BL = draw_rows(base.spec.vocab_size).astype(np.int32)
    variables = {"params": base.params}
    return lambda: np.log(2) * np.ravel(costs.token_costs(base.decoder, variables, tokens_BL).ideal_bits)


def make_generate(folder: pathlib.Path) -> Callable:
    """Returns a call that returns the new tokens of each prompt; nothing ends a row."""
    base = base_lib.load_base(folder)
    base = dataclasses.replace(base, spec=dataclasses.replace(base.spec, end_tokens=()))
    prompts = [" ".join(map(str, prompt)) for prompt in draw_prompts(base.spec.vocab_size)]

    def tokens() -> list[list[int]]:
        texts = generate_lib.generate(
            base, {"params": base.params}, prompts, max_new_tokens=NEW_TOKENS, batch_size=len(prompts))
        return [[int(word) for word in text.split()] for text in texts]

    return tokens


def make_sgemm() -> Callable:
    """Returns a call that makes the product of the shape PRODUCT."""
    x, kernel, product = jnp.ones(PRODUCT[:2]), jnp.ones(PRODUCT[1:]), jax.jit(jnp.matmul)
    return lambda: float(product(x, kernel)[0, 0])


def make_stream() -> Callable:
    """Returns a call that reads STREAM floats."""
    ones, largest = jnp.ones((STREAM // 4096, 4096)), jax.jit(lambda x: x.max(axis=0))
    return lambda: float(largest(ones)[0])


if __name__ == "__main__":
    globals()[f"make_{sys.argv[1]}"](pathlib.Path(sys.argv[2]))()
