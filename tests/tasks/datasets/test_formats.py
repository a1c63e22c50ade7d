"""Rows come out of every format with the place they stand at; what is malformed is named with it."""

import gzip

import pyarrow
import pytest
from dataset_files import jsonl, write
from pyarrow import parquet

from sah_jax import errors
from sah_jax.tasks.datasets import formats

ROWS = [{"a": "é\u2028x", "n": 1}, {"a": "", "n": 2}, {"a": "z", "n": 3}]


def _read(path):
    return [(record.where, record.values) for record in formats.read(path)]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "with.dots.jsonl"])
def test_json_lines(tmp_path, name):
    path = jsonl(tmp_path / name, ROWS)
    assert _read(path) == [(f"{path}:{number}", row) for number, row in enumerate(ROWS, 1)]


def test_blank_json_lines_are_passed_over_and_counted(tmp_path):
    path = write(tmp_path / "rows.jsonl", '{"a": 1}\r\n\n{"a": 2}')
    assert _read(path) == [(f"{path}:1", {"a": 1}), (f"{path}:3", {"a": 2})]


def test_a_json_array(tmp_path):
    path = write(tmp_path / "rows.json", '[{"a": "1\\n"},\n {"a": "2"}]')
    assert _read(path) == [(f"{path}, row 1", {"a": "1\n"}), (f"{path}, row 2", {"a": "2"})]


def test_csv_fields_in_quotes_hold_commas_quotes_and_lines(tmp_path):
    path = write(tmp_path / "rows.csv", 'a,b\n"1, ""one""\nmore",x\n2,y\n')
    assert _read(path) == [
        (f"{path}:3", {"a": '1, "one"\nmore', "b": "x"}), (f"{path}:4", {"a": "2", "b": "y"})]


def test_tsv_columns_are_as_they_stand(tmp_path):
    path = write(tmp_path / "rows.tsv", 'a\t"b\tc\n\td\t\n')
    assert _read(path) == [(f"{path}:1", ["a", '"b', "c"]), (f"{path}:2", ["", "d", ""])]


def test_only_line_feeds_end_a_line(tmp_path):
    path = write(tmp_path / "eng_Latn.dev", "\ufeffone\u2028still one\x0b\x85\r\ntwo \n\nfour")
    assert [line for _, line in _read(path)] == ["one\u2028still one\x0b\x85", "two ", "", "four"]


def test_parquet(tmp_path):
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path, row_group_size=2)
    assert _read(path) == [(f"{path}, row {number}", row) for number, row in enumerate(ROWS, 1)]


@pytest.mark.parametrize("name, text, sentence", [
    ("a.jsonl", '{"a": 1}\n{"a": \n', r"a\.jsonl:2: is not JSON"),
    ("a.jsonl", '{"a": 1}\n[1]\n', r"a\.jsonl:2: got a JSON list, expected an object"),
    ("a.json", '{"a": 1}', r"a\.json: got a JSON dict, expected an array"),
    ("a.json", '[{"a": 1}, 2]', r"a\.json, row 2: got a JSON int, expected an object"),
    ("a.csv", "a,b\n1,2\n3\n", r"a\.csv:3: got 1 columns, expected the header's 2"),
    ("a.csv", "a,b\n1,2\n3,4,5,6\n", r"a\.csv:3: got 4 columns, expected the header's 2"),
    ("a.csv", 'a,b\n1,2\n"3,4\n', r"a\.csv:3: is not CSV"),
    ("a.dev", b"one\ntwo \xff\n", r"a\.dev:2: got a byte 0xff that is not UTF-8 at byte 5 of the line"),
    ("a.parquet", b"PAR1", r"a\.parquet: is not a Parquet file that can be read"),
])
def test_what_is_malformed_is_named_with_its_place(tmp_path, name, text, sentence):
    with pytest.raises(errors.UserError, match=sentence):
        _read(write(tmp_path / name, text))


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: data[:40] + b"\0" * 9 + data[49:]])
def test_a_gz_that_is_cut_or_damaged_is_named(tmp_path, damage):
    path = tmp_path / "rows.jsonl.gz"
    text = "".join(f'{{"a": "{number * 7919 % 1009}"}}\n' for number in range(1000))
    path.write_bytes(damage(gzip.compress(text.encode())))
    with pytest.raises(errors.UserError, match=r"rows\.jsonl\.gz(:\d+)?: (cannot be read|is not)"):
        _read(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(errors.UserError, match=r"gone\.jsonl: cannot be read to its end"):
        _read(tmp_path / "gone.jsonl")
