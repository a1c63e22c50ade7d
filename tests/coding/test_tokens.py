"""Token sequences: they come back, at the model's price, through one executable."""

import functools
import re

import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from sah_jax import errors
from sah_jax.coding import arithmetic, file, tokens

# The same cases every time, however busy the machine.
SETTINGS = hypothesis.settings(derandomize=True, deadline=None, max_examples=25)

CONTEXTS, VOCAB, POSITIONS = 101, 20, 10
START, END = 7, 3
LOGITS = np.random.default_rng(0).integers(-2, 6, (CONTEXTS, VOCAB)).astype(np.float32)


def _next_context(context, token, position):
    """Depends on every token so far, their order and the position."""
    return (context * 31 + token * 7 + position + 1) % CONTEXTS


def _predict(variables, cache, tokens_B, position):
    cache = _next_context(cache, tokens_B, position)
    return cache, variables["logits"][cache]


def _make_cache(rows, positions):
    del positions
    return np.zeros(rows, np.int32)


def _batch(rows=3, positions=POSITIONS, end_token=END, logits=LOGITS, predict=_predict):
    return tokens.Rows(predict, _make_cache, {"logits": logits}, rows, positions, START, end_token)


def _written(batch, sequences, limits):
    writer = file.ProgramWriter()
    tokens.write_rows(writer, batch, sequences, limits)
    return writer.close(), writer


def _read(data, batch, limits):
    reader = file.ProgramReader(data)
    sequences = tokens.read_rows(reader, batch, limits)
    reader.finish()
    return sequences, reader


def _coded(batch, sequences, limits):
    """The symbols in coding order: (row, token, float64 probability), computed with numpy."""
    rows = [[*sequence, batch.end_token][:limit]
            for sequence, limit in zip(sequences, limits, strict=True)]
    contexts, previous, coded = [0] * len(rows), [batch.start_token] * len(rows), []
    for position in range(max(map(len, rows), default=0)):
        for row, ended in enumerate(rows):
            if position < len(ended):
                contexts[row] = _next_context(contexts[row], previous[row], position)
                weights = np.exp(batch.variables["logits"][contexts[row]].astype(np.float64))
                token = previous[row] = ended[position]
                coded.append((row, token, weights[token] / weights.sum()))
    return coded


def _ideal_bits(batch, sequences, limits):
    return -sum(np.log2(probability) for _, _, probability in _coded(batch, sequences, limits))


def _sample(rng, length):
    drawn = rng.integers(0, VOCAB, 2 * length + 20).tolist()
    return [token for token in drawn if token != END][:length]


@st.composite
def _sequences(draw, rows, exact=False):
    limits = draw(st.lists(st.integers(0, POSITIONS), max_size=rows))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    # Many at their limit, many empty.
    lengths = [limit if exact else draw(st.sampled_from([0, limit, limit // 2, max(limit - 1, 0)]))
               for limit in limits]
    return [_sample(rng, length) for length in lengths], limits


@pytest.mark.parametrize("rows", [1, 3, 8])
@SETTINGS
@hypothesis.given(st.data())
def test_sequences_come_back_at_the_models_price(rows, data):
    sequences, limits = data.draw(_sequences(rows))
    batch = _batch(rows)
    written, writer = _written(batch, sequences, limits)
    read, reader = _read(written, batch, limits)
    assert read == sequences
    assert reader.ledger.ideal_bits == writer.ledger.ideal_bits
    expected = _ideal_bits(batch, sequences, limits)
    assert writer.ledger.ideal_bits == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 8])
@SETTINGS
@hypothesis.given(st.data())
def test_rows_without_ends_come_back(rows, data):
    sequences, limits = data.draw(_sequences(rows, exact=True))
    # The token that ends other rows is like any other in these.
    sequences = [[END if token % 5 == 0 else token for token in row] for row in sequences]
    batch = _batch(rows, end_token=tokens.NO_END)
    written, writer = _written(batch, sequences, limits)
    assert _read(written, batch, limits)[0] == sequences
    expected = _ideal_bits(batch, sequences, limits)
    assert writer.ledger.ideal_bits == pytest.approx(expected, rel=1e-5)


class _Symbols:
    """Stands in for a writer, and keeps what is put."""

    def put(self, starts, freqs, ideal_bits, parts):
        self.starts, self.freqs, self.ideal_bits, self.parts = starts, freqs, ideal_bits, parts


def test_the_tokens_of_a_batch_interleave():
    """A change here breaks every program file that holds tokens."""
    sequences, limits = [[1, 2, 4, 5], [], [6, 8]], [4, 3, 9]
    batch, symbols = _batch(4), _Symbols()
    tokens.write_rows(symbols, batch, sequences, limits, numbering=tokens.numbered(5))
    coded = _coded(batch, sequences, limits)
    assert [row for row, _, _ in coded] == [0, 1, 2, 0, 2, 0, 2, 0]
    assert symbols.parts["example"].tolist() == [5, 6, 7, 5, 7, 5, 7, 5]
    assert symbols.parts["token"].tolist() == [0, 0, 0, 1, 1, 2, 2, 3]
    assert symbols.parts["token_id"].tolist() == [token for _, token, _ in coded]
    shares = [probability for _, _, probability in coded]
    np.testing.assert_allclose(symbols.ideal_bits, -np.log2(shares), rtol=1e-5)
    # The slack is 2**-14 of the total.
    np.testing.assert_allclose(symbols.freqs / arithmetic.TOTAL, shares, rtol=7e-5, atol=7e-5)


def test_a_sequence_at_its_limit_is_coded_without_its_end():
    batch = _batch(1)
    sequence = _sample(np.random.default_rng(1), 6)
    with_end, without = _Symbols(), _Symbols()
    tokens.write_rows(with_end, batch, [sequence], [7])
    tokens.write_rows(without, batch, [sequence], [6])
    assert len(with_end.freqs) == 7 and len(without.freqs) == 6
    assert (with_end.freqs[:6] == without.freqs).all()
    empty = _Symbols()
    tokens.write_rows(empty, batch, [[]], [0])
    assert len(empty.freqs) == len(empty.ideal_bits) == 0


def test_rows_that_are_not_used_cost_nothing_and_change_nothing():
    sequences, limits = [_sample(np.random.default_rng(2), 5)], [9]
    alone, _ = _written(_batch(1), sequences, limits)
    assert _written(_batch(8), sequences, limits)[0] == alone
    assert _written(_batch(8), sequences + [[]] * 2, limits + [0] * 2)[0] == alone


@pytest.mark.parametrize("end_token", [END, tokens.NO_END])
def test_a_file_is_as_long_as_the_model_says(end_token):
    rng = np.random.default_rng(3)
    sequences = [_sample(rng, 64) for _ in range(8)]
    batch = _batch(8, 64, end_token)
    data, _ = _written(batch, sequences, [64] * 8)
    ideal = _ideal_bits(batch, sequences, [64] * 8)
    assert ideal > 2000
    assert abs(8 * len(data) - ideal) <= 0.001 * ideal + 32
    assert _read(data, batch, [64] * 8)[0] == sequences


def test_writing_and_reading_share_one_executable():
    traced = []

    def predict(variables, cache, tokens_B, position):
        traced.append(tokens_B.shape)
        return _predict(variables, cache, tokens_B, position)

    before = tokens._run._cache_size()
    writer = file.ProgramWriter()
    for batch in (_batch(2, predict=predict), _batch(2, end_token=tokens.NO_END, predict=predict)):
        tokens.write_rows(writer, batch, [[1, 2, 4], [5, 6, 8]], [3, 3])
    assert tokens._run._cache_size() == before + 1
    traces = len(traced)
    reader = file.ProgramReader(writer.close())
    for batch in (_batch(2, predict=predict), _batch(2, end_token=tokens.NO_END, predict=predict)):
        assert tokens.read_rows(reader, batch, [3, 3]) == [[1, 2, 4], [5, 6, 8]]
    reader.finish()
    assert tokens._run._cache_size() == before + 1 and len(traced) == traces


@functools.lru_cache
def _long_file():
    rng = np.random.default_rng(4)
    sequences, limits = [_sample(rng, length) for length in (60, 64, 35)], [64] * 3
    return _written(_batch(3, 64), sequences, limits)[0], sequences, limits


def _scaled(factor):
    return LOGITS * np.float32(factor)


def _bumped(column, step):
    logits = LOGITS.copy()
    logits[:, column] += np.float32(step)
    return logits


@pytest.mark.parametrize("logits", [
    _scaled(1 + 1e-3), _scaled(1 + 1e-6), _scaled(-1), _bumped(0, 1), _bumped(0, 1e-5),
    _bumped(19, -1e-3), LOGITS[:, ::-1].copy(), np.zeros_like(LOGITS)])
def test_another_model_does_not_read_the_same_tokens(logits):
    data, sequences, limits = _long_file()
    assert _read(data, _batch(3, 64), limits)[0] == sequences
    try:
        read, _ = _read(data, _batch(3, 64, logits=logits), limits)
    except errors.UserError:
        return
    assert read != sequences


def test_a_file_that_ends_early_is_refused():
    data, sequences, limits = _long_file()
    refused = 0
    for size in range(1, len(data)):
        try:
            assert _read(data[:size], _batch(3, 64), limits)[0] != sequences
        except errors.UserError:
            refused += 1
    assert refused >= 0.98 * (len(data) - 1)


def test_what_a_damaged_file_holds_keeps_to_the_limits():
    rng = np.random.default_rng(5)
    batch, limits = _batch(3), [10, 0, 4]
    for _ in range(40):
        try:
            sequences, _ = _read(rng.bytes(int(rng.integers(1, 20))), batch, limits)
        except errors.UserError:
            continue
        assert all(len(row) <= limit for row, limit in zip(sequences, limits, strict=True))
        assert all(0 <= token < VOCAB and token != END for row in sequences for token in row)


@pytest.mark.parametrize("sequences, limits, end_token, message", [
    ([[1, 2, 4]], [2], END, "3 tokens cannot be coded with limit 2"),
    ([[1], [1, END]], [5, 5], END, "2 tokens cannot be coded"),
    ([[END]], [1], END, "cannot be coded"),
    ([[1, 2]], [3], tokens.NO_END, "2 tokens cannot be coded with limit 3"),
    ([[]], [1], tokens.NO_END, "cannot be coded"),
    ([[1, 2]], [1], tokens.NO_END, "cannot be coded"),
    ([[1]] * 4, [5] * 4, END, "4 rows of 5 do not fit 3 of 10"),
    ([[1]], [11], END, "1 rows of 11 do not fit 3 of 10"),
    ([[1], [2]], [5], END, "is shorter than"),
    ([[1]], [5, 5], END, "is longer than")])
def test_sequences_that_cannot_be_coded_are_refused(sequences, limits, end_token, message):
    with pytest.raises(ValueError, match=message):
        tokens.write_rows(file.ProgramWriter(), _batch(end_token=end_token), sequences, limits)


@pytest.mark.parametrize("token", [VOCAB, VOCAB + 5, -2])
def test_tokens_outside_the_vocabulary_are_refused(token):
    with pytest.raises(ValueError):
        tokens.write_rows(file.ProgramWriter(), _batch(), [[1, token, 2]], [5])


def test_an_empty_batch_leaves_the_same_ledger_in_writer_and_reader():
    batch = _batch(1, end_token=tokens.NO_END)
    data, writer = _written(batch, [[]], [0])
    _, reader = _read(data, batch, [0])
    assert writer.ledger.entries(len(data)) == reader.ledger.entries(len(data))


def test_logits_that_are_not_float32_are_refused():
    def predict(variables, cache, tokens_B, position):
        cache, logits_BV = _predict(variables, cache, tokens_B, position)
        return cache, logits_BV.astype(jnp.bfloat16)

    with pytest.raises(ValueError, match="expected float32"):
        tokens.write_rows(file.ProgramWriter(), _batch(predict=predict), [[1]], [5])


def test_no_float_is_computed_on_either_side_of_the_choice_of_direction():
    """XLA may move what only one branch needs into it; then the other direction's floats could differ."""
    batch = _batch(3)
    arguments = (
        batch.variables, _make_cache(3, POSITIONS), np.int32(0), np.zeros((POSITIONS, 3), np.int32),
        np.zeros(3, np.int32), np.zeros(3, np.int32), np.int32(START), np.int32(END), np.bool_(True),
        arithmetic.begin(np.zeros(8, np.uint8)), np.zeros(64, np.uint8))
    text = tokens._run.lower(_predict, *arguments).compile().as_text()
    computations = {block.split(" ", 1)[0]: block for block in text.split("\n\n")}
    branches = [name for found in re.findall(r"(?:true|false)_computation=(%\S+?)[,\s]", text) +
                re.findall(r"branch_computations={([^}]*)}", text) for name in re.findall(r"%[\w.-]+", found)]
    assert len(branches) == 2
    seen, waiting = set(), list(branches)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += re.findall(r"(?:calls|to_apply|body|condition)=(%[\w.-]+)", computations[name])
    inside = "".join(computations[name] for name in seen)
    assert "u32[" in inside and not re.findall(r"\bf\d\d\[", inside)


def test_what_is_known_of_a_row_is_read_and_not_coded():
    batch = _batch()
    sequences, limits, known = [[1, 2, 4, 5], [7], [6, 8]], [6, 3, 9], [2, 0, 2]
    writer = file.ProgramWriter()
    tokens.write_rows(writer, batch, sequences, limits, known=known)
    data = writer.close()
    told = [sequence[:number] for sequence, number in zip(sequences, known, strict=True)]
    reader = file.ProgramReader(data)
    assert tokens.read_rows(reader, batch, limits, known=told) == sequences
    reader.finish()
    assert reader.ledger.entries(len(data)) == writer.ledger.entries(len(data))
    # The same as coding all of it, less what is known costs.
    _, whole = _written(batch, sequences, limits)
    cost = sum(_written(_batch(1, 2, tokens.NO_END), [one], [2])[1].ledger.ideal_bits for one in told if one)
    assert writer.ledger.ideal_bits == pytest.approx(whole.ledger.ideal_bits - cost, abs=1e-3)
    # Other tokens that are known are other contexts.
    other = [[2, 2], [], [6, 8]]
    assert tokens.read_rows(file.ProgramReader(data), batch, limits, known=other) != sequences


def test_a_context_is_read_and_not_coded():
    known = (5, 2, 9)
    plain, with_context = _batch(), _batch()._replace(context=known)
    sequences, limits = [[1, 2, 4, 5], [], [6, 8]], [5, 3, 9]
    data, writer = _written(with_context, sequences, limits)
    assert _read(data, with_context, limits)[0] == sequences
    # The same as coding the context too, less its cost.
    whole, cost = [[*known, *sequence] for sequence in sequences], 0.0
    _, longer = _written(_batch(positions=POSITIONS + 3), whole, [limit + 3 for limit in limits])
    for _ in sequences:
        _, alone = _written(_batch(1, 3, tokens.NO_END), [list(known)], [3])
        cost += alone.ledger.ideal_bits
    assert writer.ledger.ideal_bits == pytest.approx(longer.ledger.ideal_bits - cost, abs=1e-3)
    assert _written(plain, sequences, limits)[0] != data
