"""Batched greedy generation of texts.

Rows are sorted by length into batches, so that little is padded; a batch's shape is one of few
(`padding.bucket`), so that few are compiled. The loop runs on the device in stretches; between them
the host looks for stop strings. Shape suffixes as in `sah_jax.models.greedy`.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from sah_jax import errors, hosts
from sah_jax.models import base as base_lib
from sah_jax.models import greedy, padding, sharding

_STRETCH = 16  # tokens between two looks for stop strings


def generate(
    base: base_lib.BaseModel,
    variables: dict,
    prompts: Sequence[str],
    *,
    context: Sequence[int] = (),
    max_new_tokens: int,
    stop: Sequence[str] = (),
    batch_size: int = 64,
) -> list[str]:
    """Returns the greedy continuation of each prompt, cut before the first stop string.

    Where there is a decode mesh, each batch is split over its axes `data` and `fsdp`, and weights and
    the heads of the cache over `tensor`.

    Args:
      base: tokenizer and architecture.
      variables: `params` and, for an adapted model, `program`.
      prompts: texts; each is put after the start token and the context.
      context: tokens before every prompt.
      max_new_tokens: a row ends after so many tokens, at an end token or at a stop string.
      stop: stop strings, special tokens among them; see `BaseModel.ends`.
      batch_size: rows at a time, rounded up to what the mesh divides; the last batch is filled up.

    Raises:
      UserError: context, prompt and new tokens together exceed the model's positions.
    """
    prefix = [base.spec.start_token, *context]
    rows = [base.encode(prompt) for prompt in prompts]
    for prompt, row in zip(prompts, rows, strict=True):
        needed = len(prefix) + len(row) + max_new_tokens
        if not row or needed > base.spec.max_positions:
            raise errors.UserError(
                f"the prompt {prompt[:40]!r} has {len(row)} tokens and needs {needed} positions of "
                f"{base.spec.max_positions}; give at least one token, and shorten context or prompt.")
    return continue_rows(
        base, variables, rows, prefix, max_new_tokens=max_new_tokens, stop=stop, batch_size=batch_size)


def continue_rows(
    base: base_lib.BaseModel,
    variables: dict,
    rows: Sequence[list[int]],
    prefix: list[int],
    *,
    max_new_tokens: int,
    stop: Sequence[str] = (),
    batch_size: int = 64,
) -> list[str]:
    """Returns the greedy continuation of rows of tokens, each after the prefix; see `generate`.

    Prefix, row and new tokens must fit the model's positions, and none of the rows may be empty.
    """
    # A short prefix is read with each row.
    if len(prefix) < padding.SMALLEST:
        prefix, rows = [], [prefix + row for row in rows]
    decoder, variables = greedy.for_decoding(base.decoder, variables, base.decode_mesh)
    parts = sharding.row_parts(decoder.mesh)
    batch_size = -(-batch_size // parts) * parts
    responses = [""] * len(rows)
    by_length = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for first in range(0, len(rows), batch_size):
        batch = by_length[first : first + batch_size]
        texts = _generate_batch(
            base, decoder, variables, prefix, [rows[index] for index in batch], batch_size,
            max_new_tokens, stop)
        for index, text in zip(batch, texts, strict=True):
            responses[index] = text
    return responses


def _generate_batch(
        base, decoder, variables, prefix, rows, batch_size, max_new_tokens, stop) -> list[str]:
    tokens_BL = padding.padded(rows + rows[-1:] * (batch_size - len(rows)))
    lengths_B = np.array([len(row) for row in rows] + [len(rows[-1])] * (batch_size - len(rows)), np.int32)
    prefix_1P = padding.padded([prefix])
    state = greedy.prefill(
        decoder, variables, prefix_1P, np.int32(len(prefix)), tokens_BL, lengths_B,
        slots=prefix_1P.shape[1] + tokens_BL.shape[1] + padding.bucket(max_new_tokens))
    end_tokens = np.array(base.ends(stop), np.int32)
    # Without stop strings there is nothing to look for.
    length = _STRETCH if stop else padding.bucket(max_new_tokens)
    done_B = np.arange(batch_size) >= len(rows)
    written = [[] for _ in rows]
    for first in range(0, max_new_tokens, length):
        steps = np.int32(min(length, max_new_tokens - first))
        state = state._replace(done_B=sharding.place(done_B, state.done_B.sharding))
        state, out_BC, counts_B = greedy.stretch(decoder, variables, state, end_tokens, steps, length)
        out_BC, counts_B, done_B = map(np.array, hosts.fetch((out_BC, counts_B, state.done_B)))
        for row, count, new in zip(written, counts_B, out_BC, strict=False):
            row += new[:count].tolist()
        for index in np.flatnonzero(~done_B) if stop else ():
            text = base.decode(written[index])
            done_B[index] = any(mark in text for mark in stop)
        if done_B.all():
            break
    return [_cut(base.decode(row), stop) for row in written]


def _cut(text: str, stop: Sequence[str]) -> str:
    ends = [text.find(mark) for mark in stop if mark in text]
    return text[: min(ends, default=len(text))]


def stream(base: base_lib.BaseModel, variables: dict, prompts: Iterator[str], **options) -> Iterator[str]:
    """Yields the continuation of each prompt as it comes; for interactive use."""
    for prompt in prompts:
        yield generate(base, variables, [prompt], batch_size=1, **options)[0]
