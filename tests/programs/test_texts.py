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


@hypothesis.settings(derandomize=True, deadline=None, max_examples=40)
@hypothesis.given(
    st.lists(st.lists(st.integers(1, 9), max_size=12), min_size=1, max_size=9), st.integers(1, 9))
def test_rows_tell_where_texts_end(given, limit):
    rows = [row for text in given for row in texts.split(text, limit)]
    assert all(len(row) <= limit for row in rows)
    found, begun = [], []
    for row in rows:
        begun += row
        if len(row) < limit:
            found, begun = [*found, begun], []
    assert found == given and not begun


def test_another_model_or_program_or_kind_of_file_is_named(nano, step0, nano_math):
    written = texts.write([nano.encode("Tom has 12 pears.")], nano, NOTHING, 2)
    for base, adapted in ((step0, NOTHING), (nano, _context(nano))):
        with pytest.raises(errors.UserError, match="numerics profile"):
            texts.read(written.data, base, adapted)
    with pytest.raises(errors.UserError, match="holds texts, expected a program"):
        codec.read(written.data, nano)
    with pytest.raises(errors.UserError, match="holds no texts"):
        texts.read(b"\x00\x00", nano, NOTHING)


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
