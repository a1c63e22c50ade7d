"""What other programs read of a report: frontiers and derived quantities that can be traced to rows."""

import dataclasses
import json

import pytest
import row_template

from sah_jax.complexity import bands, derived, frontier, lineages, reported
from sah_jax.reports import exports

LINEAGE = lineages.Lineage("L", "random", "pre", "post")


def _row(model, bits, score, family="icl", **changes):
    return dataclasses.replace(
        row_template.TEMPLATE, model_name=model, point=f"{model}-{bits}", bits=bits, performance=score,
        selection_performance=score, experiment_name=family, script_bits=80, **changes)


ROWS = [_row("random", 8, 0.1), _row("pre", 16, 0.2), _row("pre", 800, 0.5), _row("pre", 8000, 0.75, "full"),
        _row("post", 8, 0.75), _row("post", 80, 0.25), _row("pre", 24, 1.0, verified=False)]


@pytest.mark.parametrize("add_script_bits", [True, False])
def test_every_cell_is_there_for_both_sets_of_methods(add_script_bits):
    found = exports.frontiers(ROWS, add_script_bits=add_script_bits)
    lengths = {(one["model"], one["methods"]): [point["bits"] for point in one["points"]] for one in found}
    extra = 80 * add_script_bits
    assert lengths == {
        ("random", "main"): [8 + extra], ("random", "all"): [8 + extra],
        ("pre", "main"): [16 + extra, 800 + extra], ("pre", "all"): [16 + extra, 800 + extra, 8000 + extra],
        ("post", "main"): [8 + extra], ("post", "all"): [8 + extra]}
    point = found[1]["points"][0]
    assert (point["row"], point["method"], point["performance"]) == ("pre-16", "icl", 0.2)
    assert point["program"] == row_template.TEMPLATE.program


def test_points_of_ours_have_an_interval_and_reported_ones_none():
    theirs = reported.ReportedRow("icl", "arithmetic", "pre", 0.6, 900, 1, {}, "theirs.jsonl:1", 80)
    found = json.loads(json.dumps(exports.frontiers([*ROWS, theirs])))
    assert {one["interval_level"] for one in found} == {bands.LEVEL}
    points = {point["row"]: point for one in found for point in one["points"]}
    assert points.pop("theirs.jsonl:1")["interval"] is None
    intervals, verified = bands.Intervals(ROWS), [row for row in ROWS if row.verified]
    assert {name: point["interval"] for name, point in points.items()} == {
        row.point: list(intervals.of(row)) for row in verified if row.point in points}
    assert all(low < points[name]["performance"] < high for name, point in points.items()
               for low, high in [point["interval"]]) and len(points) == 5


def test_of_a_reported_row_no_error_is_told():
    theirs = reported.ReportedRow("icl", "arithmetic", "pre", 0.9, 9000, 1, {}, "r.jsonl:1", 80)
    (one, _) = exports.frontiers([ROWS[1], theirs])
    assert [point["performance_stderr"] for point in one["points"]] == [0.01, None]


def test_derived_quantities_name_their_witnesses():
    found = json.loads(json.dumps(exports.derivations(ROWS, [LINEAGE])))
    factors = {one["methods"]: one["factor"] for one in found["reductions"]}
    assert factors == {"main": 880 / 88, "all": 8080 / 88}
    (full,) = [one for one in found["reductions"] if one["methods"] == "all"]
    assert (full["best_pretrained"]["row"], full["matching_posttrained"]["row"]) == ("pre-8000", "post-8")
    assert {one["witness"]["row"] for one in found["shares_of_best"] if one["share"] == 1.0} == {
        "random-8", "pre-800", "pre-8000", "post-8"}
    assert {(one["minuend"], one["methods"]) for one in found["differences"]} == {
        (model, methods) for model in ("pre", "post") for methods in ("main", "all")}


def test_a_post_trained_model_that_matches_nothing_is_said_to(tmp_path):
    found = exports.derivations([*ROWS[:3], ROWS[5]], [LINEAGE])
    assert [one["matching_posttrained"] for one in found["reductions"]] == [None, None]


def test_the_papers_cells_are_all_there(shared_data):
    path = shared_data.parent / "reference" / "final-results-clean.jsonl"
    if not path.is_file():
        pytest.skip("the reference's released results are not here")
    rows = reported.read_rows(path)
    found = json.loads(json.dumps(exports.frontiers(rows)))
    assert len(found) == 2 * 51
    lines = {row.point: row for row in rows}
    for one in found:
        for point in one["points"]:
            row = lines[point["row"]]
            assert (one["model"], one["task"]) == (row.model_name, row.dataset_name)
            assert point["bits"] == frontier.total_bits(row) and point["performance"] == row.performance
            assert one["methods"] == "all" or row.experiment_name not in derived.NOT_MAIN
