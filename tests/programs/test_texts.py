"""Files of texts: every token comes back, whatever the lengths, or a sentence says why not."""

import hypothesis
import pytest
from hypothesis import strategies as st

from sah_jax import errors
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, texts

NOTHING = family_lib.Adapted({})


def _context(nano):
    return family_lib.Adapted({}, tuple(nano.encode("Question: how many? Answer:")))


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("with_context", [False, True])
def test_texts_come_back(nano, batch_size, with_context):
    adapted = _context(nano) if with_context else NOTHING
    limit = nano.spec.max_positions - len(adapted.context)
    tokens = nano.encode("Tom has 12 pears. " * 200)
    # Empty, short, around one row and around two.
    given = [[], tokens[:1], *(tokens[:n] for n in (limit - 1, limit, limit + 1, 2 * limit)), [], tokens[:3]]
    written = texts.write(given, nano, adapted, batch_size)
    read = texts.read(written.data, nano, adapted)
    assert [list(text) for text in read.texts] == given == [list(text) for text in written.texts]
    for view in read.books.views:
        assert sum(part.bits for part in read.books.view(view, len(read.data))) == 8 * len(read.data)
        assert read.books.view(view, len(read.data)) == written.books.view(view, len(read.data))


def test_a_context_makes_texts_it_foretells_cheaper(nano):
    fact = nano.encode("Wim has 37 plums and 15 figs. ")
    adapted = family_lib.Adapted({}, tuple(fact))
    assert len(texts.write([fact], nano, adapted, 1).data) < len(texts.write([fact], nano, NOTHING, 1).data)


LIMIT = 16


@hypothesis.settings(derandomize=True, deadline=None, max_examples=30)
@hypothesis.example([LIMIT - 1, 0, LIMIT, 0, 0, LIMIT + 1, 2 * LIMIT, 0, 2 * LIMIT - 1, 0])
@hypothesis.example([2 * LIMIT])
@hypothesis.example([0])
@hypothesis.given(st.lists(
    st.sampled_from([n * LIMIT + more for n in range(4) for more in (-1, 0, 1)][1:]) | st.integers(0, 50),
    min_size=1, max_size=7))
def test_where_texts_end_is_told_by_their_rows(tiny_base, lengths):
    # A context that leaves rows of that limit: texts are short, equal, full and of several rows.
    context = tuple(1 + i % 40 for i in range(tiny_base.spec.max_positions - LIMIT))
    adapted = family_lib.Adapted({}, context)
    given = [tuple(1 + (i * i + n) % 40 for i in range(n)) for n in lengths]
    assert texts.row_limit(tiny_base, adapted, given) == LIMIT
    written = texts.write(given, tiny_base, adapted, 4)
    assert texts.read(written.data, tiny_base, adapted).texts == tuple(given) == written.texts


def test_another_model_or_program_or_kind_of_file_is_named(nano, step0, nano_math):
    written = texts.write([nano.encode("Tom has 12 pears.")], nano, NOTHING, 2)
    for base, adapted in ((step0, NOTHING), (nano, _context(nano))):
        with pytest.raises(errors.UserError, match="numerics profile"):
            texts.read(written.data, base, adapted)
    with pytest.raises(errors.UserError, match="holds texts, expected a program"):
        codec.read(written.data, nano)
    with pytest.raises(errors.UserError, match="holds no texts"):
        texts.read(b"\x20\x00", nano, NOTHING)


def test_an_altered_file_is_named(nano):
    data = texts.write([nano.encode("Tom has 12 pears."), nano.encode("Ann has 3.")], nano, NOTHING, 2).data
    for index in range(1, len(data)):
        for flipped in (data[:index] + bytes([data[index] ^ 16]) + data[index + 1 :], data[:index]):
            with pytest.raises(errors.UserError):
                texts.read(flipped, nano, NOTHING)


def test_what_cannot_be_coded_is_named(nano):
    with pytest.raises(errors.UserError, match="expected at least one in batches of"):
        texts.write([], nano, NOTHING, 8)
    with pytest.raises(errors.UserError, match="in batches of 3, expected"):
        texts.write([[5]], nano, NOTHING, 3)
    full = family_lib.Adapted({}, (5,) * (nano.spec.max_positions - 1))
    with pytest.raises(errors.UserError, match="expected room for a text"):
        texts.write([[5]], nano, full, 1)
