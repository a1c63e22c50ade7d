"""A report says only what the files bear out, shows every point, and loads nothing."""

import json
import os
import subprocess
import sys

import html_page
import pytest
from study_folder import HOSTILE, write_point

from sah_jax import errors
from sah_jax.reports import figures, report, style
from sah_jax.studies import rows as rows_lib


@pytest.fixture
def study(tmp_path):
    """A study with an empty program, an unverified point, and names that attack the page."""
    workdir = tmp_path / "study"
    rows = [
        write_point(workdir, "empty", 0, experiment_name="baseline", performance=0.0,
                    selection_performance=0.0),
        write_point(workdir, "icl", 100, strategy_hparams={"text": HOSTILE}),
        write_point(workdir, "unverified", 200, experiment_name="online", verified=False),
        write_point(workdir, "hostile", 50, model_name=HOSTILE, dataset_name=HOSTILE,
                    experiment_name=HOSTILE),
    ]
    rows_lib.write_rows(workdir / "results.jsonl", rows)
    return workdir


def test_report_shows_every_point_and_loads_nothing(study):
    paths = report.write_report(study)
    assert {path.parent for path in (paths.html, paths.png, paths.pdf, paths.csv)} == {study / "report"}
    # Nothing half-made stays behind.
    assert {path.name for path in (study / "report").iterdir()} == {
        "report.html", "frontier.png", "frontier.pdf", "frontier.svg", "frontier.json", "derived.json",
        "complexity.csv", "complexity.tex", "shares.tex"}
    assert paths.png.read_bytes().startswith(b"\x89PNG")
    assert paths.pdf.read_bytes().startswith(b"%PDF")

    # The page's own script is the only one: a hostile name is text.
    page = html_page.check_loads_nothing(paths.html.read_text())
    for row in rows_lib.read_rows(study / "results.jsonl"):
        for shown in (row.program_sha256, row.program, row.point, f"{row.bits:,}",
                      f"{row.bits + row.script_bits:,}"):
            assert shown in page.words, shown
    assert sum(attribute == ("details", "class", "point") for attribute in page.attributes) == 4
    assert "1 of 4 points are not verified" in page.words
    assert page.words.count("<script>alert('$x_{')</script>") >= 5
    # The figure draws what the tables say.
    (figure,) = page.blocks
    assert {row["name"] for row in figure["rows"]} == {"empty", "icl", "unverified", "hostile"}


def test_report_shows_every_view(study):
    page = html_page.Page(report.write_report(study).html.read_text())
    for by in ("layer", "example", "token"):
        assert page.words.count(f"By {by}") == 4
    hostile, end = page.spans[:2]
    assert len(page.spans) == 8
    assert hostile[0].startswith("<script>alert('$x_{')</script>") and end[0] == "‹end›"
    # One column a part where there are many.
    assert page.tags.count("g") == 4 * 31


def test_an_older_study_without_views_is_reported(study):
    for path in study.glob("points/*/program.json"):
        record = json.loads(path.read_text())
        del record["views"]
        path.write_text(json.dumps(record))
    page = html_page.Page(report.write_report(study).html.read_text())
    assert "By token" not in page.words and not page.spans


def test_report_goes_where_it_is_told(study, tmp_path):
    paths = report.write_report(study, tmp_path / "deep" / "elsewhere")
    assert paths.html == tmp_path / "deep" / "elsewhere" / "report.html"
    assert paths.html.exists() and not (study / "report").exists()


def _replace(old, new):
    return lambda path: path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(("name", "tamper", "got"), [
    ("program.sah", lambda path: path.write_bytes(path.read_bytes() + b"x"), "808 bits"),
    # Of the right size, so only the digest tells.
    ("program.sah", lambda path: path.write_bytes(b"x" * path.stat().st_size),
     "a file with sha256"),
    ("program.sah", lambda path: path.unlink(), "No such file"),
    ("program.json", lambda path: path.unlink(), "No such file"),
    ("program.json", _replace('"bits": 8,', '"bits": 9,'), "a ledger of 801 bits by field"),
    ("program.json", _replace('"bits": 400,', '"bits": 401,'), "a ledger of 802 bits by token"),
    ("program.json", _replace('"bits": 0,', '"bits": -1,'), "the ledger entry"),
    ("program.json", _replace('"layer": [', '"layer": [1, '), "the ledger entry 1"),
    ("program.json", lambda path: path.write_text(
        '{"profile": {}, "ledger": [], "views": {"token": 1}}'), "no object of lists 'views'"),
    ("program.json", _replace('"bits": 8,', '"bits": true,'), "the ledger entry"),
    ("program.json", _replace('"ideal_bits": 3.0', '"ideal_bits": NaN'), "the ledger entry"),
    ("program.json", lambda path: path.write_text("{"), "text that is not JSON"),
    ("program.json", lambda path: path.write_text("[]"), "a list"),
    ("program.json", lambda path: path.write_text('{"profile": {}}'), "no list 'ledger'"),
    ("program.json", lambda path: path.write_text('{"ledger": []}'), "no object 'profile'"),
    ("program.json", lambda path: path.write_text('{"profile": {}, "ledger": [[]]}'),
     "the ledger entry")])
def test_a_row_that_its_files_do_not_bear_out_is_refused(study, name, tamper, got):
    path = study / "points" / "icl" / name
    tamper(path)
    with pytest.raises(errors.UserError, match="expected") as caught:
        report.write_report(study)
    assert str(caught.value).startswith(f"{path}: got {got}")
    assert not (study / "report").exists()


def test_a_missing_or_empty_study_is_named(tmp_path):
    with pytest.raises(errors.UserError, match="nowhere: got no folder"):
        report.write_report(tmp_path / "nowhere")
    with pytest.raises(errors.UserError, match="results.jsonl: got"):
        report.write_report(tmp_path)
    (tmp_path / "results.jsonl").touch()
    with pytest.raises(errors.UserError, match="results.jsonl: got no rows"):
        report.write_report(tmp_path)


def test_a_failed_report_leaves_the_old_one(study, monkeypatch):
    folder = study / "report"
    folder.mkdir()
    (folder / "report.html").write_text("the old one")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figures, "save", full)
    with pytest.raises(errors.UserError, match="report: got No space left"):
        report.write_report(study)
    assert os.listdir(folder) == ["report.html"]
    assert (folder / "report.html").read_text() == "the old one"


def test_doubts_are_said_on_the_page(study, monkeypatch):
    monkeypatch.setattr(figures, "save", lambda *_: None)
    rows = rows_lib.read_rows(study / "results.jsonl")
    other = write_point(study, "other", 10, base_digest="1", selection_split="test")
    rows_lib.write_rows(study / "results.jsonl", [*rows[1:], other])
    words = html_page.Page(report.write_report(study).html.read_text()).words
    assert "1 of 4 points were selected on the test split" in words
    assert "The rows of nano name 2 different base models" in words


def test_views_are_the_references():
    assert {family: style.view_of(family) for family in (
        "baseline", "icl", "urial", "lora", "blora", "online", "online_coding", "new")} == {
            "baseline": "Inference-Control", "icl": "Inference-Control",
            "urial": "Inference-Control", "lora": "Parametric", "blora": "Parametric",
            "online": "Data", "online_coding": "Data", "new": "Other"}
    assert style.family_style("online_coding") == style.family_style("online")


@pytest.mark.parametrize(("bits", "text"), [
    (0, "0 B"), (8, "1 B"), (7992, "999 B"), (8000, "1 kB"), (8 * 999_600, "1 MB"),
    (8 * 12_345_678, "12.3 MB")])
def test_bytes_are_readable(bits, text):
    assert style.format_bytes(bits) == text


@pytest.mark.parametrize(("factor", "text"), [
    (16_667_201.2, "16.7M"), (9374.04, "9,370"), (992.4, "992"), (1186.2, "1,190"), (1.0855, "1.09"),
    (20.0, "20.0"), (0.0456, "0.0456"), (999.6, "1,000"), (999_400.0, "999,000"), (999_600.0, "1.00M"),
    (2.5e9, "2.50G"), (999.9e6, "1.00G"), (3e13, "30.0T"), (0.0, "0")])
def test_factors_have_three_digits(factor, text):
    assert style.format_factor(factor) == text


def test_reports_do_not_import_jax():
    code = ("import sys; from sah_jax.reports import report; "
            "sys.exit('jax' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
