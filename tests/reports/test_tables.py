"""C(T, s | M) names the right witness at the right scores, on screen and in CSV."""

import csv
import dataclasses
import io

import pytest
import rich.console
import row_template

from sah_jax.complexity import reported
from sah_jax.reports import tables

TEMPLATE = dataclasses.replace(row_template.TEMPLATE, model_name="pre", script_bits=80)


def _row(point, bits, selection, test, **changes):
    return dataclasses.replace(TEMPLATE, point=point, bits=bits, performance=test,
                               selection_performance=selection, **changes)


ROWS = [
    _row("pre-base", 8, 0.04, 0.03, experiment_name="baseline"),
    _row("pre-lora", 8000, 0.40, 0.41, experiment_name="lora"),
    _row("post-base", 8, 0.50, 0.52, experiment_name="baseline", model_name="post"),
    _row("post-icl", 800, 0.80, 0.78, model_name="post"),
    _row("post-false", 16, 1.00, 1.00, model_name="post", verified=False),
]


def _printed(function, rows, width=140):
    console = rich.console.Console(file=io.StringIO(), width=width)
    function(rows, console)
    return console.file.getvalue()


def test_default_scores_are_shares_of_the_best_verified_model():
    entries = tables.complexity_table(ROWS)
    for model in ("pre", "post"):
        own = [entry for entry in entries if entry.model == model]
        assert [entry.share for entry in own] == list(tables.DEFAULT_SHARES)
        assert [entry.score for entry in own] == [0.8 * share for share in tables.DEFAULT_SHARES]


def test_witnesses():
    found = {(entry.model, entry.share): entry.witness and entry.witness.point
             for entry in tables.complexity_table(ROWS)}
    assert found == {
        ("pre", 0.10): "pre-lora", ("pre", 0.25): "pre-lora", ("pre", 0.50): "pre-lora",
        ("pre", 0.75): None, ("pre", 0.90): None, ("pre", 1.00): None,
        ("post", 0.10): "post-base", ("post", 0.25): "post-base", ("post", 0.50): "post-base",
        ("post", 0.75): "post-icl", ("post", 0.90): "post-icl", ("post", 1.00): "post-icl"}


def test_more_score_never_costs_less():
    lengths = [entry.bits for entry in tables.complexity_table(ROWS, [0.0, 0.3, 0.5, 0.6])
               if entry.model == "post"]
    assert lengths == sorted(lengths) == [88, 88, 88, 880]


@pytest.mark.parametrize(("add_script_bits", "expected"), [(True, 880), (False, 800)])
def test_lengths_count_the_script_on_request(add_script_bits, expected):
    entries = tables.complexity_table(ROWS, [0.8], add_script_bits=add_script_bits)
    assert [entry.bits for entry in entries] == [None, expected]


def test_where_nothing_is_solved_there_is_one_score():
    entries = tables.complexity_table([_row("a", 8, 0.0, 0.0), _row("b", 80, 0.0, 0.0)])
    assert [(entry.score, entry.witness.point) for entry in entries] == [(0.0, "a")]


def test_where_nothing_is_verified_there_is_no_entry():
    assert tables.complexity_table([dataclasses.replace(ROWS[0], verified=False)]) == []


def test_a_model_is_listed_only_with_its_tasks():
    other = _row("x", 8, 0.5, 0.5, dataset_name="translation", model_name="post")
    cells = {(entry.task, entry.model) for entry in tables.complexity_table([*ROWS, other])}
    assert cells == {("arithmetic", "pre"), ("arithmetic", "post"), ("translation", "post")}


def test_csv_holds_the_witness_exactly(tmp_path):
    path = tmp_path / "complexity.csv"
    entries = tables.complexity_table(ROWS)
    tables.write_csv(entries, path)
    with open(path, newline="") as stream:
        records = list(csv.DictReader(stream))
    assert len(records) == len(entries)
    for record, entry in zip(records, entries, strict=True):
        assert (record["task"], record["model"]) == (entry.task, entry.model)
        assert float(record["score"]) == entry.score
        assert record["reached"] == str(entry.witness is not None)
        if entry.witness is None:
            assert record["total_bits"] == record["point"] == record["test_performance"] == ""
        else:
            assert int(record["total_bits"]) == entry.bits == entry.witness.bits + 80
            assert 8 * int(record["program_bytes"]) == entry.witness.bits
            assert float(record["test_performance"]) == entry.witness.performance
            assert record["program_sha256"] == entry.witness.program_sha256


def _reported(score):
    return reported.ReportedRow("icl", "arithmetic", "pre", score, 16, 1, {}, "r.jsonl:1", 80)


def test_of_a_reported_row_no_error_is_told(tmp_path):
    rows = [_row("a", 8, 0.25, 0.25), _reported(0.5)]
    entries = tables.complexity_table(rows, [0.25, 0.5])
    tables.write_csv(entries, tmp_path / "c.csv")
    with open(tmp_path / "c.csv", newline="") as stream:
        errors = [record["test_performance_stderr"] for record in csv.DictReader(stream)]
    assert errors == ["0.01", ""]
    for printer in (tables.print_complexity, tables.print_results):
        text = _printed(printer, rows)
        assert "0.250 ± 0.010" in text and "0.500" in text and "0.500 ±" not in text


def test_an_error_that_was_found_to_be_zero_is_told():
    # All items scored alike: the estimator's value, which the row holds, and no gap in what is known.
    text = _printed(tables.print_complexity, [_row("a", 8, 0.0, 0.0, performance_stderr=0.0)])
    assert "0.000 ± 0.000" in text


@pytest.mark.parametrize("printer", [tables.print_complexity, tables.print_results, tables.print_frontier])
def test_a_program_of_zeros_is_said_to_be_the_base_model(printer):
    zeros = _row("zeros", 80, 0.6, 0.6, experiment_name="lora", unchanged=True)
    base = _row("base", 8, 0.5, 0.5, experiment_name="baseline", unchanged=True)
    said = "(all zero: the base model)"
    assert f"LoRA {said}" in _printed(printer, [zeros, base])
    # A baseline is nothing else, and other numbers are not the base.
    assert said not in _printed(printer, [base, dataclasses.replace(zeros, unchanged=False), _reported(0.7)])


def test_print_complexity_shows_lengths_and_gaps():
    text = _printed(tables.print_complexity, ROWS)
    assert text.count("not reached") == 3
    for shown in ("8,080", "1.01 kB", "LoRA", "0.410 ± 0.010", "0.800 (100%)"):
        assert shown in text
    assert "post-false" not in text


def test_print_results_shows_every_point_and_marks_the_frontier():
    lines = _printed(tables.print_results, ROWS).splitlines()
    for row in ROWS:
        [line] = [line for line in lines if row.point in line]
        assert line.strip().startswith("*") == row.verified
        assert ("yes" if row.verified else "no") in line.split()


@pytest.mark.parametrize("printer", [tables.print_results, tables.print_complexity])
def test_names_are_text_not_markup(printer):
    hostile = dataclasses.replace(ROWS[0], model_name="[red]m[/red]", dataset_name="[/]")
    text = _printed(printer, [hostile])
    assert "[red]m[/red]" in text and "[/]" in text


def test_long_names_are_not_cut():
    text = _printed(tables.print_results, [dataclasses.replace(ROWS[0], point="q" * 100)], width=80)
    assert text.count("q") == 100
