"""A report says only what the files bear out, shows every point, and loads nothing."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys

import html_page
import pytest
import row_template

from sah_jax import errors, numerics
from sah_jax.reports import figures, report, style
from sah_jax.studies import rows as rows_lib

HOSTILE = html_page.HOSTILE
TEMPLATE = dataclasses.replace(
    row_template.TEMPLATE, performance=0.5, selection_performance=0.5, script_bits=3704,
    strategy_hparams={"examples": 2})


def _write_point(workdir, point, size, **changes):
    """Writes a program of `size` bytes with its sidecar and returns the row."""
    folder = workdir / "points" / point
    folder.mkdir(parents=True)
    content = point.encode() * size
    content = content[:size]
    (folder / "program.sah").write_bytes(content)
    ledger = [{"field": "family", "bits": min(8, 8 * size), "ideal_bits": 3.0},
              {"field": f"tokens {HOSTILE}", "bits": 8 * size - min(8, 8 * size),
               "ideal_bits": 7.9 * size}]
    tokens = [{"name": f"{HOSTILE}, token {i}", "bits": 4 * size, "ideal_bits": 4.0 * size, "token_id": i,
               "text": text} for i, text in enumerate((HOSTILE, ""))]
    examples = [{"name": f"example {i}", "bits": 0, "ideal_bits": 0.0} for i in range(30)]
    views = {"layer": [{"name": f"layer {HOSTILE}", "bits": 8 * size, "ideal_bits": 1.0}],
             "example": [*examples, {"name": HOSTILE, "bits": 8 * size, "ideal_bits": 1.0}],
             "token": tokens}
    profile = {"backend": "cpu", "flags": HOSTILE, "NPROC": "1", "XLA_FLAGS": ""}
    row = dataclasses.replace(
        TEMPLATE, point=point, bits=8 * size, program=f"points/{point}/program.sah",
        program_sha256=hashlib.sha256(content).hexdigest(),
        numerics_digest=numerics.digest(profile), **changes)
    (folder / "program.json").write_text(json.dumps({
        "family": row.experiment_name, "bits": row.bits, "ideal_bits": row.ideal_bits,
        "program_sha256": row.program_sha256, "ledger": ledger, "views": views, "profile": profile,
        "format": 1,
        "adapted_digest": row.adapted_digest, "portable": row.portable, "unchanged": row.unchanged,
        "setting": row.strategy_hparams, "seed": row.seed,
        "base": {"name": row.model_name, "source": "nano", "digest": row.base_digest, "dtype": "float32"},
        "scores": {
            "task": row.dataset_name, "task_digest": row.task_digest, "data": {},
            "num_test": row.num_scored, "performance": row.performance,
            "performance_stderr": row.performance_stderr, "selection_split": row.selection_split,
            "num_selection": row.selection_num_scored, "selection_stderr": row.selection_stderr,
            "selection_performance": row.selection_performance,
            "predictions_sha256": hashlib.sha256(b"").hexdigest()}}))
    (folder / "predictions.jsonl").write_bytes(b"")
    return row


@pytest.fixture
def study(tmp_path):
    """A study with an empty program, an unverified point, and names that attack the page."""
    workdir = tmp_path / "study"
    rows = [
        _write_point(workdir, "empty", 0, experiment_name="baseline", performance=0.0,
                     selection_performance=0.0),
        _write_point(workdir, "icl", 100, strategy_hparams={"text": HOSTILE}),
        _write_point(workdir, "unverified", 200, experiment_name="online", verified=False),
        _write_point(workdir, "hostile", 50, model_name=HOSTILE, dataset_name=HOSTILE,
                     experiment_name=HOSTILE),
    ]
    rows_lib.write_rows(workdir / "results.jsonl", rows)
    return workdir


def test_report_shows_every_point_and_loads_nothing(study):
    paths = report.write_report(study)
    assert {path.parent for path in dataclasses.astuple(paths)} == {study / "report"}
    # Nothing half-made stays behind.
    assert set((study / "report").iterdir()) == set(dataclasses.astuple(paths))
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

    monkeypatch.setattr(figures, "frontier_figure", full)
    with pytest.raises(errors.UserError, match="report: got No space left"):
        report.write_report(study)
    assert os.listdir(folder) == ["report.html"]
    assert (folder / "report.html").read_text() == "the old one"


def test_doubts_are_said_on_the_page(study, monkeypatch):
    monkeypatch.setattr(figures, "frontier_figure", lambda rows, stem, **_: [
        stem.with_suffix(suffix).write_bytes(b"") for suffix in (".png", ".pdf")])
    rows = rows_lib.read_rows(study / "results.jsonl")
    other = _write_point(study, "other", 10, base_digest="1", selection_split="test")
    rows_lib.write_rows(study / "results.jsonl", [*rows[1:], other])
    words = html_page.Page(report.write_report(study).html.read_text()).words
    assert "1 of 4 points were selected on the test split" in words
    assert "The rows of nano name 2 different base models" in words


def _drawn_points(figure):
    """Yields the panel, the position and the fill of every point that a figure shows."""
    for panel in figure.axes:
        for line in panel.lines:
            if line.get_marker() not in ("None", None, ""):
                for x, y in line.get_xydata():
                    yield panel, (x, y), line.get_markerfacecolor()


def test_an_unverified_point_is_hollow_and_on_no_staircase():
    rows = [dataclasses.replace(TEMPLATE, point="true", bits=800),
            dataclasses.replace(TEMPLATE, point="false", bits=8000, performance=0.9,
                                selection_performance=0.9, verified=False)]
    figure = figures.draw_frontier(rows)
    assert [y for _, (_, y), fill in _drawn_points(figure) if fill == "none"] == [0.9]
    [panel] = figure.axes
    heights = {y for line in panel.lines if len(line.get_ydata()) > 1 for y in line.get_ydata()}
    assert heights == {0.5}


def test_staircase_takes_the_colour_of_the_view():
    rows = [dataclasses.replace(TEMPLATE, point="a", bits=8, performance=0.1,
                                selection_performance=0.1),
            dataclasses.replace(TEMPLATE, point="b", bits=80, experiment_name="lora")]
    [panel] = figures.draw_frontier(rows).axes
    stairs = {max(line.get_ydata()): line.get_color() for line in panel.lines
              if len(line.get_ydata()) == 3}
    assert stairs == {0.1: "#D81B60", 0.5: "#FFC107"}


@pytest.mark.parametrize("changes", [
    # Nothing learned yet; an empty program; a scale of 0 to 100; no verified point.
    [dict(performance=0.0, selection_performance=0.0, performance_stderr=0.0, bits=8)],
    [dict(bits=0, script_bits=0), dict(bits=10**9)],
    [dict(bits=8, performance=38.7, performance_stderr=1.0), dict(bits=16, performance=-20.0)],
    [dict(bits=8, verified=False, model_name="$\\frac{$", experiment_name="$\\frac{$")],
    [dict(bits=8, model_name=f"m{index}", dataset_name=f"t{index % 2}") for index in range(6)]],
    ids=["zero", "empty program", "bleu", "hostile and unverified", "many models"])
def test_every_point_of_any_study_is_within_its_panel(changes):
    rows = [dataclasses.replace(TEMPLATE, point=str(index), **change)
            for index, change in enumerate(changes)]
    figure = figures.draw_frontier(rows)
    figure.canvas.draw()
    drawn = list(_drawn_points(figure))
    assert len(drawn) == len(rows)
    for panel, position, _ in drawn:
        x, y = panel.transAxes.inverted().transform(panel.transData.transform(position))
        assert 0 <= x <= 1 and 0 <= y <= 1


def test_where_nothing_is_solved_the_axis_still_has_a_scale():
    row = dataclasses.replace(TEMPLATE, bits=8, performance=0.0, performance_stderr=0.0)
    [panel] = figures.draw_frontier([row]).axes
    bottom, top = panel.get_ylim()
    assert bottom < 0 and top > 1


def test_the_same_rows_give_the_same_files(tmp_path):
    rows = [dataclasses.replace(TEMPLATE, point="a", bits=8)]
    first = figures.frontier_figure(rows, tmp_path / "v1.first")
    second = figures.frontier_figure(rows, tmp_path / "second")
    assert [path.name for path in first] == ["v1.first.png", "v1.first.pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        # Two dates within one second would be equal too.
        assert b"CreationDate" not in one.read_bytes()


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


def test_reports_do_not_import_jax():
    code = ("import sys; from sah_jax.reports import report; "
            "sys.exit('jax' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
