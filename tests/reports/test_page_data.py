"""What the interactive figure draws is what the rows and `complexity.frontier` say."""

import json

import page_programs
import pytest

from sah_jax.complexity import bands, derived, frontier, reported
from sah_jax.reports import anchors, page_data, style

# Without scripts "long" is shorter than "short"; "full" is no main method.
ROWS = [
    page_programs.program("short", 100, 0.4, script_bits=0).row,
    page_programs.program("long", 90, 0.4, script_bits=4000).row,
    page_programs.program("best", 1000, 0.6, experiment_name="lora").row,
    page_programs.program("full", 5000, 0.9, experiment_name="full").row,
    page_programs.program("unverified", 10, 0.99, verified=False).row,
    page_programs.program("elsewhere", 10, 0.1, model_name="other").row,
    page_programs.reported_row(7, 3000, 0.5)]


def _figure(rows=ROWS):
    return page_data.figure(rows, anchors.Anchors(rows))


def _names(figure, script, every):
    return {(figure["models"][cell["model"]], figure["tasks"][cell["task"]]): [
        figure["rows"][number]["name"] for number in cell["chosen"]]
        for cell in figure["fronts"][page_data.front_key(script, every)]}


def test_the_frontier_is_of_the_lengths_and_methods_that_are_chosen():
    figure = _figure()
    nano = {switches: _names(figure, *switches)["nano", "arithmetic"]
            for switches in ((True, True), (False, True), (True, False), (False, False))}
    assert nano == {
        (True, True): ["short", "theirs.jsonl:7", "best", "full"],
        (False, True): ["long", "theirs.jsonl:7", "best", "full"],
        (True, False): ["short", "theirs.jsonl:7", "best"],
        (False, False): ["long", "theirs.jsonl:7", "best"]}
    assert _names(figure, True, True)["other", "arithmetic"] == ["elsewhere"]


def test_a_frontier_is_by_length_whatever_its_test_scores():
    # Selected as better, though it scores less on the test split.
    rows = [page_programs.program("worse", 600, 0.3, selection_performance=0.55).row, *ROWS]
    assert _names(_figure(rows), True, True)["nano", "arithmetic"] == [
        "short", "theirs.jsonl:7", "worse", "best", "full"]


def test_every_row_is_a_point_with_its_numbers():
    figure = json.loads(json.dumps(_figure()))
    assert len(figure["rows"]) == len(ROWS)
    for row, point in zip(ROWS, figure["rows"], strict=True):
        assert (point["name"], point["bits"], point["scriptBits"], point["score"], point["error"]) == (
            row.point, row.bits, row.script_bits, row.performance, row.performance_stderr)
        assert (figure["tasks"][point["task"]], figure["models"][point["model"]]) == (
            row.dataset_name, row.model_name)
        assert figure["families"][point["family"]]["label"] == style.family_style(row.experiment_name).label
    assert [point["status"] for point in figure["rows"]] == ["verified"] * 4 + [
        "not verified", "verified", "reported"]
    assert [point["main"] for point in figure["rows"]] == [True] * 3 + [False] + [True] * 3


def test_no_error_is_made_up_for_a_reported_row():
    *_, ours, theirs = _figure()["rows"]
    assert (ours["estimate"], theirs["estimate"]) == ("0.100 ± 0.010", "0.500")
    assert (ours["error"], theirs["error"]) == (0.01, None)
    assert theirs["selection"] == "the test score, on which it was selected"


def test_points_of_ours_have_an_interval():
    figure = json.loads(json.dumps(_figure()))
    intervals = bands.Intervals(ROWS)
    assert [point["interval"] for point in figure["rows"]] == [
        *(list(intervals.of(row)) for row in ROWS[:-1]), None]
    assert [point["between"] for point in figure["rows"]][-2:] == ["0.080 to 0.120", ""]
    assert figure["band"] == {"label": "95% interval", "opacity": style.BAND_OPACITY, "drawn": True}


@pytest.mark.parametrize("rows", [ROWS[4:5], ROWS[-1:]], ids=["not verified", "reported"])
def test_without_an_interval_on_a_frontier_no_band_is_drawn(rows):
    assert not _figure(rows)["band"]["drawn"]


def test_control_characters_are_shown():
    rows = [page_programs.program("a\x1bb\ud800", 1, 0.5, strategy_hparams={"k\x00": "\x07"}).row]
    (point,) = _figure(rows)["rows"]
    assert point["name"] == "a‹U+001B›b‹U+D800›" and point["settings"] == [["k‹U+0000›", "‹U+0007›"]]


def _extent(path):
    pairs = [pair.split() for part in path.strip("MZ").split("ZM") for pair in part.split("L")]
    xs, ys = zip(*(map(float, pair) for pair in pairs), strict=True)
    return min(xs), max(xs), min(ys), max(ys)


@pytest.mark.parametrize("marker", sorted({look.marker for look in style.FAMILIES.values()} | {"X"}))
def test_a_marker_has_an_upper_half(marker):
    whole, half = (_extent(page_data._outline(marker, fill)) for fill in ("full", "top"))
    # Up is less in an SVG. Not all are halved at the origin, and half an octagon is a little larger.
    assert whole[2] - 4 <= half[2] <= whole[2] and whole[2] < half[3] < whole[3] - 20


def test_a_family_has_its_marker_whole_and_half():
    for family in _figure()["families"]:
        assert len(_extent(family["whole"])) == 4 and _extent(family["half"])[3] < _extent(family["whole"])[3]


def test_markers_differ():
    markers = {look.marker for look in style.FAMILIES.values()}
    assert len({page_data._outline(marker, "full") for marker in markers}) == len(markers)


def test_the_references_rows_are_all_there(shared_data):
    rows = reported.read_rows(shared_data.parent / "reference" / "final-results-clean.jsonl")
    figure = _figure(rows)
    assert len(figure["rows"]) == len(rows) > 1000
    for script in (True, False):
        own = frontier.pareto(derived.main_methods(rows), add_script_bits=script)
        found = _names(figure, script, False)
        assert sum(map(len, found.values())) == len(own)
        assert {name for names in found.values() for name in names} == {row.point for row in own}
