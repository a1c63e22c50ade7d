"""Token sequences under a language model: lengths and ends included.

`_run` is one compiled executable for both directions, told at run time which one it is: it
steps the model over a batch of rows, turns logits into integer frequencies, and either looks
up the interval of a given token or finds the token whose interval holds the coder's slot.
So encoder and decoder see the same floats by construction. The tokens of a batch interleave:
position 0 of every row, then position 1, and so on.

Shape suffixes: B rows, L positions, V vocabulary.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax import hosts
from sah_jax.coding import arithmetic, file, freqs, ledger

Predict = Callable[[Any, Any, jax.Array, jax.Array], tuple[Any, jax.Array]]
"""(variables, cache, tokens [B], position) -> (cache, float32 logits [B, V]); pure."""

Numbering = Callable[[Sequence[Sequence[int]]], Sequence[tuple[int, int]]]
"""For the ledger: (token sequences) -> for each, the number of its example and the place in it of
its first token."""

NO_END = -1
"""The end token of rows whose lengths the reader knows."""


class Rows(NamedTuple):
    """What a batch of rows is coded with; the shapes and `predict` decide the executable.

    predict: the model's step; a stable object, since it is a static argument.
    make_cache: (rows, positions) -> the model's empty cache.
    variables: the model.
    rows, positions: B and the largest row length L.
    start_token: what every row begins with.
    end_token: coded after a row that is shorter than its limit, or `NO_END`.
    context: tokens between the start token and what is coded; the reader knows them.
    cache: the model's cache after the context, see `read_context`; made for each batch if None.
    """

    predict: Predict
    make_cache: Callable[[int, int], Any]
    variables: Any
    rows: int
    positions: int
    start_token: int
    end_token: int
    context: tuple[int, ...] = ()
    cache: Any = None


class _Coded(NamedTuple):
    tokens_LB: jax.Array  # int32
    starts_LB: jax.Array  # uint32
    freqs_LB: jax.Array  # uint32; 2**30 where nothing was coded
    ideal_bits_LB: jax.Array  # float32


def decode_tokens(state, freqs_BV, given_B, alive_B, window):
    """Takes a token of each row from the stream.

    Args:
      state: the decoder's.
      freqs_BV: see `freqs.from_logits`.
      given_B: not used; `look_up_tokens` returns these.
      alive_B: bool; the other rows have no token.
      window: uint8, see `arithmetic.advance`.

    Returns:
      The state, and int32 tokens and uint32 starts and freqs [B].
    """

    blocks = freqs.block_ends(freqs_BV)

    def one_row(state, row_alive):
        row, alive = row_alive
        token, start, freq = freqs.find(*blocks, freqs_BV.shape[-1], row, arithmetic.slot(state))
        # The whole total moves nothing.
        start, freq = jnp.where(alive, start, 0), jnp.where(alive, freq, arithmetic.TOTAL)
        return arithmetic.advance(state, start, freq, window), (token, start, freq)

    return jax.lax.scan(one_row, state, (jnp.arange(len(freqs_BV)), alive_B))


def look_up_tokens(state, freqs_BV, given_B, alive_B, window):
    """Returns what `decode_tokens` does for given tokens; the state stays."""
    starts_B, freqs_B = freqs.interval(freqs_BV, given_B)
    freqs_B = jnp.where(alive_B, freqs_B, arithmetic.TOTAL)
    return state, (given_B, jnp.where(alive_B, starts_B, 0), freqs_B)


def numbered(first: int) -> Numbering:
    """Returns what numbers sequences from `first` on, each an example of its own."""
    return lambda sequences: [(first + index, 0) for index in range(len(sequences))]


def read_context(batch: Rows) -> Rows:
    """Returns rows whose context the model has read, so that not every batch does it again."""
    return batch._replace(cache=_cache(batch))


def _cache(batch: Rows) -> Any:
    """Returns the model's cache before the first token that is coded."""
    if batch.cache is not None:
        return batch.cache
    cache = batch.make_cache(batch.rows, len(batch.context) + batch.positions)
    known = np.array([batch.start_token, *batch.context], np.int32)
    if not batch.context:
        return cache
    return _read_context(batch.predict, batch.variables, cache, known[:-1], np.zeros(batch.rows, np.int32))


@functools.partial(jax.jit, static_argnames="predict")
def _read_context(predict, variables, cache, tokens_C, first_B):
    """Returns the cache after tokens that every row has."""

    def step(cache, token_at):
        token, position = token_at
        return predict(variables, cache, jnp.full_like(first_B, token), position)[0], None

    return jax.lax.scan(step, cache, (tokens_C, jnp.arange(len(tokens_C))))[0]


@functools.partial(jax.jit, static_argnames="predict")
def _run(predict, variables, cache, skipped, tokens_LB, known_B, limits_B, first_token, end_token, decoding,
         state, window):
    """Codes a batch in either direction; returns the decoder's state and `_Coded`.

    The first `known_B` tokens of each row are taken from `tokens_LB` and not coded.
    """
    length, rows = tokens_LB.shape
    nothing = _Coded(
        jnp.zeros((length, rows), jnp.int32), jnp.zeros((length, rows), jnp.uint32),
        jnp.full((length, rows), arithmetic.TOTAL, jnp.uint32), jnp.zeros((length, rows), jnp.float32))

    def unfinished(carry):
        position, alive_B = carry[0], carry[2]
        return (position < length) & jnp.any(alive_B)

    def step(carry):
        position, previous_B, alive_B, cache, state, coded = carry
        cache, logits_BV = predict(variables, cache, previous_B, skipped + position)
        # Both directions get the same integers: no float is computed on the other side of this.
        freqs_BV = jax.lax.optimization_barrier(freqs.from_logits(logits_BV))
        told_B = position < known_B
        coded_B = alive_B & ~told_B
        state, (tokens_B, starts_B, freqs_B) = jax.lax.cond(
            decoding, decode_tokens, look_up_tokens, state, freqs_BV, tokens_LB[position], coded_B, window)
        tokens_B = jnp.where(told_B, tokens_LB[position], tokens_B)
        nats_B = jax.nn.logsumexp(logits_BV, axis=-1) - jnp.take_along_axis(
            logits_BV, tokens_B[:, None], axis=-1)[:, 0]
        ideal_B = jnp.where(coded_B, nats_B / jnp.log(2.0), 0.0)
        tokens_B = jnp.where(alive_B, tokens_B, 0)
        coded = jax.tree.map(
            lambda all_LB, one_B: all_LB.at[position].set(one_B), coded,
            _Coded(tokens_B, starts_B, freqs_B, ideal_B))
        alive_B &= (told_B | (tokens_B != end_token)) & (position + 1 < limits_B)
        return position + 1, tokens_B, alive_B, cache, state, coded

    first = (jnp.int32(0), jnp.full(rows, first_token, jnp.int32), limits_B > 0, cache, state, nothing)
    _, _, _, _, state, coded = jax.lax.while_loop(unfinished, step, first)
    return state, coded


def _call(
    batch: Rows, tokens_LB: np.ndarray, known_B: np.ndarray, limits_B: np.ndarray, decoding: bool, state,
    window,
):
    last = np.int32([batch.start_token, *batch.context][-1])
    return _run(
        batch.predict, batch.variables, _cache(batch), np.int32(len(batch.context)),
        tokens_LB.astype(np.int32), known_B, limits_B.astype(np.int32), last, np.int32(batch.end_token),
        np.bool_(decoding), state, window)


def _window_symbols(batch: Rows) -> int:
    return batch.rows * batch.positions + arithmetic.HEAD_BYTES


def write_rows(
    writer: file.ProgramWriter, batch: Rows, sequences: Sequence[Sequence[int]], limits: Sequence[int],
    numbering: Numbering | None = None, known: Sequence[int] = (),
) -> None:
    """Codes at most `batch.rows` token sequences.

    Args:
      writer: takes the symbols.
      batch: what to code them with.
      sequences: token ids, without start and end token.
      limits: for each, the most tokens it may have, at most `batch.positions`; the reader
        must know it. A sequence that long is coded without its end. With `NO_END` each
        sequence must be exactly that long.
      numbering: for the ledger, which examples these sequences are; None where they are none.
      known: of each sequence, how many tokens at its beginning the reader knows already; they are not coded.

    Raises:
      ValueError: a sequence is longer than its limit, or holds the end token or a token that
        is not in the vocabulary.
    """
    lengths = [len(sequence) for sequence in sequences]
    if len(sequences) > batch.rows or max(limits, default=0) > batch.positions:
        raise ValueError(
            f"{len(sequences)} rows of {max(limits)} do not fit {batch.rows} of {batch.positions}")
    for sequence, length, limit in zip(sequences, lengths, limits, strict=True):
        if length > limit or batch.end_token in sequence or (batch.end_token == NO_END and length < limit):
            raise ValueError(f"a sequence of {length} tokens cannot be coded with limit {limit}")
    tokens_LB = np.zeros((batch.positions, batch.rows), np.int32)
    for row, sequence in enumerate(sequences):
        ended = [*sequence, batch.end_token][: limits[row]]
        tokens_LB[: len(ended), row] = ended
    limits_B, known_B = _padded(limits, batch.rows), _padded(known, batch.rows)
    # The state and window of a decoder at the start of an empty stream: not used, same shapes.
    window = np.zeros(_window_symbols(batch) * arithmetic.MAX_SYMBOL_BYTES, np.uint8)
    state = arithmetic.begin(window[: arithmetic.HEAD_BYTES])
    _, coded = _call(batch, tokens_LB, known_B, limits_B, False, jax.device_get(state), window)
    coded = hosts.fetch(coded)
    real_LB = coded.freqs_LB < arithmetic.TOTAL
    if not np.all(coded.freqs_LB):
        outside = tokens_LB[coded.freqs_LB == 0][0]
        raise ValueError(f"token {outside} is not in the vocabulary")
    writer.put(coded.starts_LB[real_LB], *_booking(coded, sequences, numbering))


def _booking(coded: _Coded, sequences: Sequence[Sequence[int]], numbering: Numbering | None):
    """Returns the frequencies, ideal bits and parts of the symbols, in coding order."""
    real_LB = coded.freqs_LB < arithmetic.TOTAL
    places, rows = np.nonzero(real_LB)
    parts = {ledger.TOKEN: places, ledger.TOKEN_ID: coded.tokens_LB[real_LB]}
    if numbering is not None:
        examples, offsets = np.array(numbering(sequences), np.int64).reshape(-1, 2).T
        parts |= {ledger.EXAMPLE: examples[rows], ledger.TOKEN: offsets[rows] + places}
    return coded.freqs_LB[real_LB], coded.ideal_bits_LB[real_LB], parts


def _padded(values: Sequence[int], rows: int) -> np.ndarray:
    """Returns a value for each row, zeros for those that there are none for."""
    padded = np.zeros(rows, np.int32)
    padded[: len(values)] = values
    return padded


def read_rows(
    reader: file.ProgramReader, batch: Rows, limits: Sequence[int], numbering: Numbering | None = None,
    known: Sequence[Sequence[int]] = (),
) -> list[list[int]]:
    """Reads what `write_rows` wrote with the same `batch`, `limits` and `numbering`.

    `known` are the tokens at the beginning of each sequence that were not coded; they are returned, too.
    """
    tokens_LB = np.zeros((batch.positions, batch.rows), np.int32)
    for row, sequence in enumerate(known):
        tokens_LB[: len(sequence), row] = sequence
    state, coded = hosts.fetch(_call(
        batch, tokens_LB, _padded(list(map(len, known)), batch.rows), _padded(limits, batch.rows), True,
        reader.state, reader.window(_window_symbols(batch))))
    sequences = []
    for row, limit in enumerate(limits):
        tokens = coded.tokens_LB[:limit, row].tolist()
        if batch.end_token in tokens:
            tokens = tokens[: tokens.index(batch.end_token)]
        sequences.append(tokens)
    reader.commit(state, *_booking(coded, sequences, numbering))
    return sequences
