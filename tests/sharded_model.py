"""What runs on a mesh and on one device, to be compared; for processes of several CPU devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tiny_model

from sah_jax.models import base as base_lib
from sah_jax.models import costs, generate, rope, sharding
from sah_jax.models import decoder as decoder_lib
from sah_jax.programs import lowrank
from sah_jax.training import fit as fit_lib
from sah_jax.training import step as step_lib

# Its sizes divide by 8, but for the vocabulary of 43: padded where `tensor` splits it.
SPEC = dataclasses.replace(
    tiny_model.TINY, ffn=64, heads=8, kv_heads=4, head_dim=8, ropes=(rope.Rope(5000.0),) * 2, layers=2)
ROWS, LENGTH, STEPS = 8, 24, 20


def decoder_on(mesh, spec=SPEC, **options):
    options = {"vocab_rows": sharding.padded_rows(spec.vocab_size, mesh), **options}
    return decoder_lib.Decoder(spec, mesh=mesh, **options)


def params_on(decoder):
    params = decoder_lib.pad_vocabulary(decoder, tiny_model.random_params(decoder.spec))
    return sharding.place(params, sharding.shardings(params, decoder.mesh)) if decoder.mesh else params


def batch(number):
    rng = np.random.default_rng(number)
    return step_lib.Batch(
        # Without the last token, whose frequency takes up what rounding leaves.
        rng.integers(1, SPEC.vocab_size - 1, (ROWS, LENGTH)).astype(np.int32),
        (rng.uniform(size=(ROWS, LENGTH)) < 0.6).astype(np.float32))


def theta():
    rng = np.random.default_rng(0)
    shapes = lowrank.shapes(decoder_lib.Decoder(SPEC), 4)
    draw = lambda shape: (0.2 * rng.normal(size=shape)).astype(np.float32)
    return {name: {factor: draw(shape) for factor, shape in pair.items()} for name, pair in shapes.items()}


def trained(mesh, steps=STEPS, **options):
    """Returns the losses of LoRA steps, the first step's gradient, θ, and how often it was traced."""
    decoder = decoder_on(mesh, **options)
    traces = []

    def expand(theta, params):
        traces.append(0)
        return {"params": params, "program": lowrank.expand(theta, 1.0)}

    optimizer = optax.chain(_kept_gradient(), optax.adam(1e-2))
    state = step_lib.FitState(theta(), optimizer.init(theta()))
    params = params_on(decoder)
    placed = step_lib.places(decoder, state, ROWS)
    state = sharding.place(state, placed.state) if placed else state
    step = step_lib.make_step(decoder, optimizer, expand, placed)
    losses, gradient = [], None
    for number in range(steps):
        state, loss = step(state, params, batch(number))
        losses.append(loss)
        gradient = gradient or jax.device_get(state.opt_state[0])
    return [float(loss) for loss in losses], gradient, jax.device_get(state.theta), len(traces)


def fitted(mesh, batches_of, steps, plan=None):
    """Returns θ and losses of `fit`; `batches_of(places)` gives what it is fitted to."""
    decoder, optimizer = decoder_on(mesh), optax.adam(1e-2)
    expand = lambda theta, params: {"params": params, "program": lowrank.expand(theta, 1.0)}
    state = step_lib.FitState(theta(), optimizer.init(theta()))
    placed = step_lib.places(decoder, state, ROWS)
    step = step_lib.make_step(decoder, optimizer, expand, placed)
    state, places = (sharding.place(state, placed.state), placed.batch) if placed else (
        jax.tree.map(jnp.array, state), None)
    silent = lambda line: None
    fit, losses = fit_lib.fit(step, state, params_on(decoder), batches_of(places), steps, silent, plan)
    return fit, losses.tolist()


def _kept_gradient():
    """Passes gradients on, and keeps the last one as its state."""
    return optax.GradientTransformation(
        lambda theta: jax.tree.map(np.zeros_like, theta), lambda gradient, *_: (gradient, gradient))


def token_bits(mesh, **options):
    """Returns the codelengths of a batch's tokens, float32 [ROWS, LENGTH - 1]."""
    decoder = decoder_on(mesh, **options)
    variables = {"params": params_on(decoder), "program": lowrank.expand(theta(), 1.0)}
    return jax.device_get(costs.token_costs(decoder, variables, batch(0).tokens_BL))


def continuations(mesh, decode_mesh=None, **options):
    """Returns the greedy continuations of some prompts."""
    decoder = decoder_on(mesh, vocab_rows=sharding.padded_rows(SPEC.vocab_size, mesh, decode_mesh), **options)
    base = base_lib.BaseModel(
        "tiny", "tiny", SPEC, decoder, tiny_model.character_tokenizer(), params_on(decoder), "",
        decode_mesh=decode_mesh or mesh)
    prompts = ["a", "hello world.", "no. 17, no. 18; no. 19", "xy" * 20]
    return generate.generate(base, {"params": base.params}, prompts, max_new_tokens=24, batch_size=8)
