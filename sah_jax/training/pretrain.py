"""Pre- and post-training of the nano decoder on packed documents."""

import dataclasses
import hashlib
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import tokenizers

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import config as config_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import hf, rope
from sah_jax.tasks.nano import corpus
from sah_jax.tasks.nano import tokenizer as tokenizer_lib
from sah_jax.training import checkpoints as checkpoints_lib
from sah_jax.training import step as step_lib

_TOKENIZER_DOCUMENTS = 4000
_LOG_EVERY = 50
_CHECKPOINT_EVERY = 100
_WARMUP = 100
_DECAY_SHARE = 0.3  # of a stage's steps
_WHOLE_EVERY = 4  # steps
_DOCUMENTS_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class Stage:
    """One run over one stream of documents.

    Before the learning rate falls, three steps of four see their sequences in halves: a third less
    work. All of what follows sees them whole.

    Attributes:
      name: for logs and checkpoints.
      documents: from a seed to documents without end.
      seed: of the documents; not that of the tokenizer, which has seen those.
      steps: optimizer steps.
      peak_learning_rate: Muon's: reached after 100 steps, kept, and brought to zero over the last
        three tenths of the steps. So the steps before do not depend on how many there are in all.
      saved: the folders to write, by the step after which they are.
    """

    name: str
    documents: Callable[[int], Iterator[str]]
    seed: int
    steps: int
    peak_learning_rate: float
    saved: Mapping[int, str]


@dataclasses.dataclass(frozen=True)
class Run:
    """What the stages of a run share.

    Attributes:
      folder: where the model folders go.
      checkpoints: where a stopped run goes on from.
      batch: sequences a step.
      length: tokens a sequence.
      report: called now and then with (stage, step, tokens seen, mean loss in nats since the last call).
    """

    folder: pathlib.Path
    checkpoints: pathlib.Path
    batch: int
    length: int
    report: Callable[[str, int, int, float], None]


def nano_spec(
    vocab_size: int, width: int = 128, ffn: int = 384, layers: int = 5, heads: int = 4, kv_heads: int = 2,
    max_positions: int = 512,
) -> config_lib.ModelConfig:
    """The architecture of the shipped nano decoder: 1.2 M parameters with a vocabulary of 1,536."""
    return config_lib.ModelConfig(
        vocab_size=vocab_size, width=width, ffn=ffn, layers=layers, heads=heads, kv_heads=kv_heads,
        head_dim=width // heads, max_positions=max_positions, norm_eps=1e-5,
        ropes=(rope.Rope(10000.0),) * layers, tied_embedding=True, start_token=0, end_tokens=(0,))


def train_corpus_tokenizer(seed: int, vocab_size: int) -> tokenizers.Tokenizer:
    """Trains the nano tokenizer on the first documents of the corpus."""
    documents = itertools.islice(corpus.documents(seed), _TOKENIZER_DOCUMENTS)
    return tokenizer_lib.train_tokenizer(documents, vocab_size)


def packed_batches(
    tokenizer: tokenizers.Tokenizer, documents: Iterator[str], batch: int, length: int, end_token: int
) -> Iterator[np.ndarray]:
    """Yields int32 [batch, length + 1]: documents end to end, each closed by `end_token`."""
    buffer, size = [end_token], batch * length
    while True:
        while len(buffer) <= size:
            some = list(itertools.islice(documents, _DOCUMENTS_AT_ONCE))
            for encoding in tokenizer.encode_batch_fast(some, add_special_tokens=False):
                buffer += [*encoding.ids, end_token]
        rows = np.asarray(buffer[: size + 1], np.int32)
        yield np.stack([rows[i * length : (i + 1) * length + 1] for i in range(batch)])
        # The last token read is the first context of the next batch.
        buffer = buffer[size:]


def halved(tokens_BL: np.ndarray) -> np.ndarray:
    """Returns rows [B, L + 1] as twice as many rows [2B, L/2 + 1] of the same predictions."""
    middle = tokens_BL.shape[1] // 2
    return np.concatenate([tokens_BL[:, : middle + 1], tokens_BL[:, middle:]])


def initial_params(spec: config_lib.ModelConfig, seed: int) -> dict:
    """Returns the weights that training begins with."""
    decoder = decoder_lib.Decoder(spec)
    return jax.jit(decoder.init)(jax.random.key(seed), jnp.zeros((1, 1), jnp.int32))["params"]


def train(
    run: Run, stage: Stage, spec: config_lib.ModelConfig, params: dict, tokenizer: tokenizers.Tokenizer
) -> dict:
    """Runs a stage, goes on where it was stopped, and returns the weights after it.

    Only a run of the same settings and first weights is gone on from; of another number of steps, only
    if neither's rate had begun to fall.

    Raises:
      UserError: the loss is no longer finite, or a checkpoint cannot be used.
    """
    # The layers one after the other rather than in a loop: half the time on a CPU.
    decoder = decoder_lib.Decoder(spec, unrolled=True)
    expand = lambda theta, params: decoder_lib.unrolled_variables({"params": theta})
    optimizer = _optimizer(stage.peak_learning_rate, stage.steps, params)
    step = step_lib.make_step(decoder, optimizer, expand)
    # A copy, for the state is donated.
    state = step_lib.FitState(jax.tree.map(jnp.copy, params), optimizer.init(params))
    batches = packed_batches(
        tokenizer, stage.documents(stage.seed), run.batch, run.length, spec.end_tokens[0])
    folder = run.checkpoints / f"{stage.name}-{_fingerprint(run, stage, spec, params, tokenizer)}"
    plan = checkpoints_lib.Plan(folder, _CHECKPOINT_EVERY)
    with checkpoints_lib.Checkpoints(plan) as saved:
        state, first = saved.restore(state)
        losses = []
        _check_steps(folder, first, stage.steps)
        if first == stage.steps and first in stage.saved:
            save_checkpoint(run.folder / stage.saved[first], spec, state.theta, tokenizer)
        for number, tokens_BL in enumerate(itertools.islice(batches, first, stage.steps), start=first + 1):
            if number <= falling_from(stage.steps) and number % _WHOLE_EVERY:
                tokens_BL = halved(tokens_BL)
            weights_BL = np.ones(tokens_BL.shape, np.float32)
            state, loss = step(state, {}, step_lib.Batch(tokens_BL, weights_BL))
            losses.append(loss)
            if number % _LOG_EVERY == 0 or number == stage.steps:
                mean = float(np.mean(jax.device_get(losses)))
                if not np.isfinite(mean):
                    raise errors.UserError(
                        f"the loss is {mean} at step {number} of {stage.name}, expected a finite number; "
                        "lower the learning rate.")
                run.report(stage.name, number, number * run.batch * run.length, mean)
                losses = []
            if number in stage.saved:
                save_checkpoint(run.folder / stage.saved[number], spec, state.theta, tokenizer)
            saved.save(number, state)
    return state.theta


def _fingerprint(
    run: Run, stage: Stage, spec: config_lib.ModelConfig, params: dict, tokenizer: tokenizers.Tokenizer
) -> str:
    """Returns what names all that a stage's steps before the rate falls hang on."""
    told = (run.batch, run.length, stage.seed, stage.peak_learning_rate, spec, tokenizer.to_str(),
            base_lib.tree_digest(params))
    return hashlib.sha256(repr(told).encode()).hexdigest()[:10]


def _check_steps(folder: pathlib.Path, first: int, steps: int) -> None:
    """Notes beside a stage's checkpoints how many steps it is to have.

    Raises:
      UserError: it has another number now, and the rate had begun to fall by one of the two.
    """
    path = folder.with_name(f"{folder.name}.steps")
    before = int(path.read_text()) if first and path.is_file() else steps
    if before != steps and first > min(falling_from(before), falling_from(steps)):
        raise errors.UserError(
            f"{folder}: is at step {first} of {before}, where the rate falls, and cannot go on to {steps}; "
            f"give {before} steps, or other checkpoints.")
    path.write_text(str(steps))


def falling_from(steps: int) -> int:
    """Returns the step after which the learning rate of a stage falls."""
    return steps - round(_DECAY_SHARE * steps)


def _optimizer(peak_learning_rate: float, steps: int, params: dict) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) on the layers' matrices, AdamW on the rest.

    In a trial of 100 steps on an earlier corpus Muon stood at 2.55 nats a token, AdamW at 2.83.
    """
    schedule = lambda peak: optax.join_schedules(
        [optax.linear_schedule(0.0, peak, _WARMUP), optax.constant_schedule(peak),
         optax.linear_schedule(peak, 0.0, max(steps - falling_from(steps), 1))],
        [_WARMUP, max(falling_from(steps), _WARMUP)])
    stacked_matrix = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=2)
    matrices = jax.tree.map(lambda leaf: stacked_matrix if leaf.ndim == 3 else None, params)
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.contrib.muon(
            schedule(peak_learning_rate), weight_decay=0.05, consistent_rms=0.2, adam_b2=0.98,
            adam_learning_rate=schedule(0.3 * peak_learning_rate),
            muon_weight_dimension_numbers=matrices))


def save_checkpoint(
    folder: pathlib.Path, spec: config_lib.ModelConfig, params: dict, tokenizer: tokenizers.Tokenizer
) -> None:
    """Writes config.json, model.safetensors and tokenizer.json."""
    hf.save_model(folder, spec, params)
    tokenizer.save(str(folder / "tokenizer.json"))
