"""Codelength reports: every file and table holds the same sums, and shows texts without obeying them."""

import csv
import io
import json
import math

import html_page
import numpy as np
import pytest
import rich.console

from sah_jax import errors
from sah_jax.coding import ledger
from sah_jax.reports import codelength, codelength_page
from sah_jax.studies.codelength import Codelength, Emitted, TextCosts
from sah_jax.studies.verification import Verdict

HOSTILE = html_page.HOSTILE


def _text(name, pieces, seed=0):
    rng = np.random.default_rng(seed)
    ideal = rng.gamma(1.0, 4.0, len(pieces) + 1)
    return TextCosts(name, "".join(pieces), (*pieces, ""), tuple(range(1, len(pieces) + 1)) + (0,),
                     ideal, ideal + 0.25)


TEXTS = (_text("line 1", ("Tom", " has\n", " 12\r", HOSTILE, "é", "", "\x00")), _text("", (), 1),
         _text('"<b>', ("one",), 2))
FIELDS = (ledger.Entry("version", 4, 4.0), ledger.Entry("texts", 396, 146.0))
EMITTED = Emitted(bits=400, ideal_bits=150.0, quantised_bits=152.5, fields=FIELDS, verdict=Verdict(True))


def _codelength(texts=TEXTS, emitted=EMITTED, **changes):
    return Codelength("here", "nano", "abc", "", "", texts, emitted, {"NPROC": "1"}, **changes)


def _sums(texts=TEXTS):
    return tuple(math.fsum(cost for text in texts for cost in costs(text).tolist())
                 for costs in (lambda text: text.ideal_bits, lambda text: text.quantised_bits))


def test_the_summary_adds_up_and_divides():
    numbers = codelength.summary(_codelength())
    ideal, quantised = _sums()
    assert (numbers["ideal_bits"], numbers["quantised_bits"]) == (ideal, quantised)
    assert numbers["emitted_bits"] == 400
    size = sum(len(text.text.encode()) for text in TEXTS)
    assert (numbers["texts"], numbers["tokens"], numbers["ends"], numbers["bytes"]) == (3, 11, 3, size)
    for unit, count in (("per_token", 11), ("per_byte", size), ("per_text", 3)):
        assert numbers[unit] == {
            "ideal_bits": ideal / count, "quantised_bits": quantised / count, "emitted_bits": 400 / count}
    assert list(numbers["overhead"].values()) == [quantised - ideal, 400 - 152.5, 150.0 - ideal]
    assert numbers["verified"] is True
    assert [entry["bits"] for entry in numbers["ledger"]] == [4, 396]


def test_without_a_file_nothing_is_said_to_be_emitted():
    numbers = codelength.summary(_codelength(emitted=None))
    assert numbers["emitted_bits"] is numbers["verified"] is numbers["per_token"]["emitted_bits"] is None
    assert list(numbers["overhead"].values())[1:] == [None, None]
    assert "computed" in codelength_page.remarks(_codelength(emitted=None))[0]


MANY = tuple(_text(f"t{i}", ("a", "b"), i) for i in range(70))


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[1:2], MANY])
def test_files_hold_the_same_numbers(tmp_path, texts):
    paths = codelength.write(_codelength(texts), tmp_path / "out")
    record = json.loads(paths.json.read_text(), parse_constant=pytest.fail)
    ideal, quantised = _sums(texts)
    assert record["ideal_bits"] == ideal and record["quantised_bits"] == quantised
    lines = [list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
             for path in (paths.texts, paths.tokens)]
    for rows in lines:
        assert math.fsum(float(row["ideal_bits"]) for row in rows) == pytest.approx(ideal, rel=1e-12)
        assert math.fsum(float(row["quantised_bits"]) for row in rows) == pytest.approx(quantised, rel=1e-12)
    assert len(lines[0]) == len(texts) and len(lines[1]) == sum(len(text.pieces) for text in texts)
    for number, text in enumerate(texts, start=1):
        of_text = [row for row in lines[1] if row["text"] == str(number)]
        assert [row["piece"] for row in of_text] == list(text.pieces)
        assert [float(row["quantised_bits"]) for row in of_text] == text.quantised_bits.tolist()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "codelength.html", "codelength.json", "texts.csv", "tokens.csv"]


def test_the_page_shows_every_token_and_obeys_none(tmp_path):
    page = html_page.check_loads_nothing(codelength.write(_codelength(), tmp_path).html.read_text())
    costs = [cost for text in TEXTS for cost in text.quantised_bits]
    assert len(page.spans) == len(costs)
    for (shown, title), cost in zip(page.spans, costs, strict=True):
        assert shown and f"{cost:.2f} bits" in title
    assert "‹U+0000›" in page.words


def test_a_page_of_many_texts_says_what_it_leaves_out(tmp_path, monkeypatch):
    monkeypatch.setattr(codelength_page, "PAGE_TEXTS", 2)
    many = tuple(_text(f"text number {i}", ("word",), i) for i in range(5))
    page = codelength.write(_codelength(many), tmp_path).html.read_text()
    assert page.count("ideally") == 4 and "tokens.csv" in page


def test_the_table_says_what_the_summary_says():
    console = rich.console.Console(file=io.StringIO(), width=120)
    codelength.print_summary(_codelength(inexact=1), console)
    printed = console.file.getvalue()
    ideal, quantised = _sums()
    for number in (f"{ideal:,.1f}", f"{quantised:,.1f}", "400", f"{quantised / 11:,.3f}"):
        assert number in printed
    assert "same tokens back" in printed and "does not give 1 of 3 texts back" in printed


def test_broken_costs_and_folders_are_named(tmp_path):
    broken = _text("line 7", ("a",))
    broken.ideal_bits[0] = np.nan
    with pytest.raises(errors.UserError, match="line 7: token 0 .* costs nan bits"):
        codelength.summary(_codelength((broken,)))
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.UserError, match="expected a writable folder"):
        codelength.write(_codelength(), tmp_path / "file")
