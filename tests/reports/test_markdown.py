"""Tables in Markdown, and the marks on a page that they are written between."""

import pytest

from sah_jax import errors
from sah_jax.reports import markdown

PAGE = (
    "# Title\n\n<!-- a: begin -->\nold\n<!-- a: end -->\nbetween\n"
    "<!-- b: begin -->\n<!-- b: end -->\nafter\n")


def test_a_table_has_a_rule_below_its_header():
    text = markdown.table(["x", "y"], [["1", "2"], ["3", ""]])
    assert text.splitlines() == ["| x | y |", "| --- | --- |", "| 1 | 2 |", "| 3 |  |"]


def test_only_what_stands_between_the_marks_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    # What a regular expression would take for a reference is text like any other.
    markdown.fill(page, "a", r"new \1")
    markdown.fill(page, "b", "x")
    expected = PAGE.replace("old", r"new \1").replace("<!-- b: begin -->\n", "<!-- b: begin -->\nx\n")
    assert page.read_text() == expected
    markdown.fill(page, "a", "old")
    markdown.fill(page, "a", "old")
    assert page.read_text() == expected.replace(r"new \1", "old")


def test_a_page_without_the_marks_is_named(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(errors.UserError, match="page.md: has no <!-- c: begin -->"):
        markdown.fill(page, "c", "new")
    assert page.read_text() == PAGE
