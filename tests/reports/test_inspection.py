"""`sah inspect`: a table, JSON and CSV of the same parts, which sum to the file."""

import csv
import io
import json
import pathlib

import html_page
import hypothesis
import pytest
import rich.console
from hypothesis import strategies as st

from sah_jax import errors
from sah_jax.reports import inspection, parts

SETTINGS = hypothesis.settings(derandomize=True, deadline=None, max_examples=100)
HOSTILE = html_page.HOSTILE
TEXTS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
                  st.sampled_from(["\r", "\n", "\r\n", "\x00", '"', ",", "=1+1", HOSTILE]))
PART = st.builds(
    lambda name, bits, ideal, text: parts.Part(name, bits, ideal, None if text is None else 7, text),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), st.integers(0, 1 << 40),
    st.floats(0, 1e9), TEXTS)


@SETTINGS
@hypothesis.given(st.lists(PART, max_size=10))
def test_json_and_csv_hold_the_same_numbers(found):
    written = inspection.written(found, pathlib.Path("p.sah"), "token")
    record = json.loads(written["json"], parse_constant=pytest.fail)
    assert (record["program"], record["by"]) == ("p.sah", "token")
    assert record["bits"] == sum(part["bits"] for part in record["parts"]) == sum(p.bits for p in found)
    assert [parts.parse(part) for part in record["parts"]] == found
    lines = list(csv.DictReader(io.StringIO(written["csv"], newline="")))
    assert [parts.Part(line["name"], int(line["bits"]), float(line["ideal_bits"]),
                       int(line["token_id"]) if line["token_id"] else None,
                       line["text"] if line["token_id"] else None) for line in lines] == found


def _printed(found, by):
    console = rich.console.Console(file=io.StringIO(), width=120)
    inspection.print_parts(found, by, console)
    return console.file.getvalue()


def test_the_table_shows_tokens_as_text_and_obeys_none_of_it():
    hostile = parts.Part("b, token 0", 3, 2.5, 7, " x\n\x1b[31m\x9b")
    text = _printed([parts.Part("[red]a[/red]", 5, 4.5), hostile], "token")
    assert "[red]a[/red]" in text and repr(" x\n\x1b[31m\x9b") in text
    assert "\x1b" not in text and "\x9b" not in text
    assert text.splitlines()[-2].split() == ["file", "8", "7.0"]
    assert "Text" not in _printed([parts.Part("a", 8, 8.0)], "field")


@pytest.mark.parametrize("record", [
    3, None, [], "a", {}, {"name": "a", "bits": 1}, {"name": 1, "bits": 1, "ideal_bits": 1.0},
    *({"name": "a", "bits": 1, "ideal_bits": 1.0, **change} for change in (
        {"bits": -1}, {"bits": True}, {"bits": 1.0}, {"ideal_bits": float("nan")},
        {"ideal_bits": float("inf")},
        {"ideal_bits": 10**400}, {"ideal_bits": None}, {"token_id": "1"}, {"text": 1}))])
def test_what_is_no_part_is_refused(record):
    with pytest.raises(ValueError, match="has no name, bits and finite ideal bits"):
        parts.parse(record)


def test_parts_that_do_not_sum_to_the_file_are_refused():
    parts.check_sum([parts.Part("a", 8, 8.0)], 8, "layer", "p.sah")
    with pytest.raises(errors.UserError, match="^p.sah: got a ledger of 8 bits by layer, expected the 16"):
        parts.check_sum([parts.Part("a", 8, 8.0)], 16, "layer", "p.sah")
