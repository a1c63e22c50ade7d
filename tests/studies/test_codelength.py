"""Codelengths of texts: the costs are the model's, and the file's near them."""

import dataclasses
import json
import types

import numpy as np
import pytest
import tokenizers

from sah_jax import errors
from sah_jax.programs import base as family_lib
from sah_jax.programs import texts as texts_lib
from sah_jax.studies import codelength

NOTHING = family_lib.Adapted({})
TEXTS = [("a", "Tom has 12 pears. He buys 9 more."), ("b", ""), ("c", "a\n\n é😀 b\t\x00"),
         ("d", "Tom has 12 pears. " * 80)]


@pytest.fixture(scope="module")
def measured(nano):
    written, emitted = codelength.emit(TEXTS, nano, NOTHING, 4)
    return written.data, codelength.measure("here", TEXTS, nano, NOTHING, emitted=emitted)


def test_pieces_are_the_text_and_every_token_has_a_cost(measured, nano):
    for (name, text), got in zip(TEXTS, measured[1].texts, strict=True):
        assert (got.name, got.text, "".join(got.pieces)) == (name, text, text)
        assert got.token_ids == (*nano.encode(text), nano.spec.end_tokens[0])
        assert len(got.pieces) == len(got.token_ids) == len(got.ideal_bits) == len(got.quantised_bits)
        assert (got.ideal_bits > 0).all() and (got.quantised_bits > 0).all()


def test_the_fast_path_and_the_coded_step_agree_and_the_file_is_what_they_say(measured):
    data, got = measured
    ideal = sum(text.ideal_bits.sum() for text in got.texts)
    quantised = sum(text.quantised_bits.sum() for text in got.texts)
    assert ideal == pytest.approx(got.emitted.ideal_bits, abs=0.1)
    assert quantised == pytest.approx(got.emitted.quantised_bits, abs=0.1)
    # Header, batches and check, and the rounding to whole bytes.
    assert 8 * len(data) == got.emitted.bits
    assert 0 < got.emitted.bits - got.emitted.quantised_bits < 100


def test_costs_do_not_hang_on_the_other_texts(nano, measured):
    for index, text in enumerate(TEXTS):
        alone = codelength.measure("here", [text], nano, NOTHING).texts[0]
        if len(nano.encode(text[1])) < nano.spec.max_positions:
            np.testing.assert_allclose(alone.ideal_bits, measured[1].texts[index].ideal_bits, atol=1e-3)


def test_a_fresh_process_gets_the_tokens_back(measured, nano):
    data, _ = measured
    assert codelength.comes_back(data, TEXTS, nano, "").verified
    verdict = codelength.comes_back(data, TEXTS[:-1], nano, "")
    assert (verdict.verified, verdict.reason) == (False, "the tokens were others")
    verdict = codelength.comes_back(data[:-3], TEXTS, nano, "")
    assert not verdict.verified and "truncated" in verdict.reason


def test_the_context_of_a_program_counts_as_known(nano):
    adapted = family_lib.Adapted({}, tuple(nano.encode("Wim has 37 plums and 15 figs. ")))
    text = [("a", "Wim has 37 plums and 15 figs. ")]
    written, emitted = codelength.emit(text, nano, adapted, 1)
    got = codelength.measure("here", text, nano, adapted, "p.sah", emitted)
    without = codelength.measure("here", text, nano, NOTHING)
    assert got.texts[0].ideal_bits.sum() < 0.9 * without.texts[0].ideal_bits.sum()
    assert got.texts[0].ideal_bits.sum() == pytest.approx(emitted.ideal_bits, abs=0.05)
    assert got.adapted_digest == adapted.digest() and without.adapted_digest == ""
    assert texts_lib.read(written.data, nano, adapted).texts[0] == tuple(nano.encode(text[0][1]))


def test_sources(tmp_path, monkeypatch, nano_math):
    (tmp_path / "a.txt").write_text("one\ntwo")
    lines = [{"question": "q1", "answer": "a1", "n": 1}, {"question": "q2", "answer": "a2", "n": 2}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    read = lambda source, field="text", num=None: codelength.read_texts(source, field, num, 0)
    path = str(tmp_path / "a.jsonl")
    assert read(str(tmp_path / "a.txt")) == [(str(tmp_path / "a.txt"), "one\ntwo")]
    assert read(path, "question") == [("line 1", "q1"), ("line 2", "q2")]
    assert read(path, "question+answer", 1) == [("line 1", "q1a1")]
    examples = nano_math.examples("selection", 3, 0)
    assert read("task:nano_math:selection", num=3) == [
        (f"selection {i}", example.prompt + example.answer) for i, example in enumerate(examples)]
    assert len(read("task:nano_math")) == 64
    (tmp_path / "bad.txt").write_bytes(b"caf\xe9")
    (tmp_path / "none.txt").write_text("")
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text": \n')
    (tmp_path / "half.jsonl").write_text('{"text": "a"}\n{"text": "\\ud800"}\n')
    (tmp_path / "mark.JSONL").write_bytes(b'\xef\xbb\xbf{"text": "a"}\n{"text": "b"}\n')
    assert read(str(tmp_path / "mark.JSONL")) == [("line 1", "a"), ("line 2", "b")]
    for source, field, message in [
            (path, "text", "line 1 has no text 'text'"), (path, "n", "line 1 has no string 'n'"),
            (str(tmp_path / "bad.jsonl"), "text", "line 2 is not JSON"),
            (str(tmp_path / "half.jsonl"), "text", "line 2 holds half a character"),
            (str(tmp_path / "gone.txt"), "text", "No such file"),
            (str(tmp_path / "bad.txt"), "text", "a byte at 3 that is not UTF-8"),
            (str(tmp_path / "none.txt"), "text", "holds no text"), ("task:chess", "text", "chess"),
            ("task:gsm8k:strict", "text", "option .strict."),
            ("task:gsm8k:strict:selection", "text", "option .strict.")]:
        with pytest.raises(errors.UserError, match=message):
            read(source, field)


def test_pieces_are_the_text_whatever_offsets_a_tokenizer_gives():
    for offsets in ([], [(0, 2), (0, 1), (3, 4)], [(1, 2), (2, 2), (2, 3)]):
        encoding = types.SimpleNamespace(offsets=offsets)
        tokenizer = types.SimpleNamespace(encode=lambda text, encoding=encoding, **_: encoding)
        pieces = codelength._pieces(types.SimpleNamespace(tokenizer=tokenizer), "abcde" if offsets else "")
        assert len(pieces) == len(offsets) and "".join(pieces) == ("abcde" if offsets else "")


def test_texts_that_the_tokenizer_alters_are_counted(nano, measured):
    assert measured[1].inexact == 0
    lossy = dataclasses.replace(nano, tokenizer=type(nano.tokenizer).from_str(nano.tokenizer.to_str()))
    lossy.tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    got = codelength.measure("here", [("a", "Tom has 12."), ("b", "he has 9.")], lossy, NOTHING)
    assert got.inexact == 1 and "".join(got.texts[0].pieces) == "Tom has 12."
