"""Tables in LaTeX: what a table says, and no name taken for a command."""

import dataclasses

import pytest
import row_template

from sah_jax.complexity import lineages, reported
from sah_jax.reports import latex, tables

LINEAGE = lineages.Lineage("L_1", "random", "pre", "post")


def _row(model, bits, score):
    return dataclasses.replace(
        row_template.TEMPLATE, model_name=model, point=f"{model}-{bits}", bits=bits, performance=score,
        selection_performance=score, dataset_name="math & more")


@pytest.mark.parametrize("text, escaped", [
    ("50% of $x_1 & {y} #2", r"50\% of \$x\_1 \& \{y\} \#2"),
    ("a\\b~c^d", r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d"),
    ("0.5 ± 0.1\nnext", r"0.5 $\pm$ 0.1 next")])
def test_nothing_is_a_command(text, escaped):
    assert latex.escape(text) == escaped


def test_a_table_has_a_line_a_row():
    text = latex.table(("a", "b"), [("1", "2"), ("3", "4")])
    assert text.splitlines() == [
        r"\begin{tabular}{ll}", r"\toprule", r"a & b \\", r"\midrule", r"1 & 2 \\", r"3 & 4 \\",
        r"\bottomrule", r"\end{tabular}"]


def test_reductions_and_shares_are_told_with_and_without_the_methods_that_are_not_main():
    full = dataclasses.replace(_row("pre", 16000, 0.5), experiment_name="full")
    rows = [_row("pre", 1600, 0.4), full, _row("post", 80, 0.6)]
    found = latex.tables(rows, tables.complexity_table(rows), [LINEAGE], add_script_bits=False)
    lines = [line.split(" & ") for line in found["reductions"].splitlines()
             if line.startswith(("all", "main"))]
    assert [(line[0], line[3], line[5], line[-1]) for line in lines] == [
        ("all", "16,000", "Full fine-tuning", r"200.0x \\"), ("main", "1,600", "ICL", r"20.0x \\")]
    assert r"all & math \& more & pre & 100\% & 0.500 & 16,000 &" in found["shares"]
    assert r"main & math \& more & pre & 100\% & 0.400 & 1,600 &" in found["shares"]
    assert found["shares"].count("\nall & ") == found["shares"].count("\nmain & ") == 2 * 4
    # Where all are main ones, there is one set of lines.
    alone = latex.tables(rows[::2], [], [LINEAGE])
    assert "main" not in alone["reductions"] + alone["shares"] and "\nall & " in alone["shares"]


def test_every_table_says_of_zeros_that_they_are_the_base_model():
    rows = [dataclasses.replace(_row(model, 80, 0.5), unchanged=True) for model in ("pre", "post")]
    for text in latex.tables(rows, tables.complexity_table(rows), [LINEAGE]).values():
        assert "ICL (all zero: the base model) &" in text or r"ICL (all zero: the base model) \\" in text


def test_the_tables_of_a_report_say_its_numbers():
    rows = [_row("random", 8, 0.1), _row("pre", 16000, 0.5), _row("post", 80, 0.6)]
    found = latex.tables(rows, tables.complexity_table(rows, (0.5,)), [LINEAGE], add_script_bits=False)
    assert set(found) == {"complexity", "shares", "reductions"}
    assert r"all & L\_1 & math \& more & 16,000 & 0.500 & ICL & 80 & 0.600 & ICL & 200.0x \\" in (
        found["reductions"])
    assert r"random & 0.500 & not reached" in found["complexity"]
    assert found["shares"].count("math") == 3 * 4
    assert found["complexity"].count(r"$\pm$ 0.010") == 2
    assert "Bits, all methods" in found["complexity"]
    # Of a reported row no error is known.
    theirs = [reported.ReportedRow("icl", "t", "pre", 0.5, 16, 1, {}, "r.jsonl:1", 80)]
    text = latex.tables(theirs, tables.complexity_table(theirs, (0.5,)), [LINEAGE])["complexity"]
    assert r"ICL & 0.500 \\" in text and "pm" not in text
    # A program of no bits is not some times as long as another.
    rows = [_row("pre", 8, 0.5), _row("post", 0, 0.6)]
    reductions = latex.tables(rows, [], [LINEAGE], add_script_bits=False)["reductions"]
    assert r"& 0 & 0.600 & ICL &  \\" in reductions
    # Of one stage alone there is no reduction.
    assert "reductions" not in latex.tables(rows[:1], [], [LINEAGE])
