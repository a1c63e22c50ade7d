"""Doubts about rows are said where there is reason, and nowhere else."""

import dataclasses

import html_page
import page_programs
import pytest
import study_folder

from sah_jax import cli
from sah_jax.complexity import frontier, reported
from sah_jax.reports import doubts
from sah_jax.studies import rows as rows_lib

ROWS = [page_programs.program("a", 10, 0.25).row, page_programs.program("b", 100, 0.5).row,
        page_programs.program("other", 100, 0.5, dataset_name="t", num_scored=7).row]


def _changed(**changes):
    """Returns the rows, of which the second is another."""
    return [ROWS[0], dataclasses.replace(ROWS[1], **changes), ROWS[2]]


def test_of_rows_alike_nothing_is_said():
    # Another task has items of its own.
    assert not doubts.sentences(ROWS)


@pytest.mark.parametrize(("changes", "what"), [
    ({"task_digest": "1" * 64}, f"data {ROWS[0].task_digest} and 111111111111"),
    ({"selection_split": "test"}, "selection on the split selection and test"),
    ({"num_scored": 7}, f"numbers of test items 7 and {ROWS[0].num_scored}"),
    ({"selection_num_scored": 9}, f"numbers of selection items 9 and {ROWS[0].selection_num_scored}")])
def test_rows_of_one_cell_that_were_scored_on_other_items_are_told(changes, what):
    [said] = [one for one in doubts.sentences(_changed(**changes)) if "compete" in one]
    assert said == (
        "The rows of nano on arithmetic compete in one frontier though they were scored on other items "
        f"({what}): report them apart, or run the points again on the same.")
    # What is on no frontier competes with nothing.
    assert not any("compete" in one for one in doubts.sentences(_changed(verified=False, **changes)))
    assert not any("compete" in one for one in doubts.sentences(_changed(model_name="other", **changes)))


def test_all_that_differs_is_in_one_sentence():
    [said] = doubts.sentences(_changed(num_scored=7, selection_num_scored=9))
    assert "test items 7 and" in said and "selection items 9 and" in said


def test_reported_programs_of_no_bits_are_told_unless_they_code_nothing():
    none = page_programs.reported_row(3, 0, 0.75, experiment_name="icl", script_bits=50)
    said = lambda *rows, **how: [one for one in doubts.sentences([*ROWS, *rows], **how) if "0 bits" in one]
    assert said(none, dataclasses.replace(none, point="r:2", performance=0.1)) == [
        "2 reported points of ICL have 0 bits, though such programs code something: their lengths were "
        "counted wrongly where they are reported; the frontier of nano on arithmetic holds 1 of them."]
    # Whether a script counts decides what is on the frontier.
    beaten = [page_programs.program("first", 0, 0.9, script_bits=0).row]
    assert said(none, *beaten)[0].endswith("; no frontier holds one.")
    longer = [page_programs.program("longer", 1, 0.8, script_bits=0).row]
    assert said(none, *longer, add_script_bits=False)[0].endswith("holds 1 of them.")
    assert not said(dataclasses.replace(none, experiment_name="baseline"), dataclasses.replace(none, bits=8))


def test_of_the_references_rows_those_whose_lengths_underflowed_are_told(shared_data):
    rows = reported.read_rows(shared_data.parent / "reference" / "final-results-clean.jsonl")
    [said] = [one for one in doubts.sentences(rows) if "0 bits" in one]
    # reference-facts 8: ten rows of ICL, of which one is on a frontier.
    assert said.startswith("10 reported points of ICL have 0 bits")
    assert said.endswith("the frontier of olmo3-7b-step0 on ifeval holds 1 of them.")
    assert any(not row.bits and row.experiment_name == "icl" for row in frontier.pareto(rows))


def test_they_are_said_in_the_terminal_and_on_the_page(tmp_path, capsys):
    rows = [study_folder.write_point(tmp_path, "a", 10),
            study_folder.write_point(tmp_path, "b", 20, num_scored=7)]
    rows_lib.write_rows(tmp_path / rows_lib.RESULTS_NAME, rows)
    assert cli.main(["report", str(tmp_path), "--figures=frontier"]) == 0
    [said] = doubts.sentences(rows)
    assert said in capsys.readouterr().out
    page = html_page.Page((tmp_path / "report" / "report.html").read_text())
    assert "numbers of test items 7 and" in said and said in page.words
