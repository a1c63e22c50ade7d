"""A printed listing says every count and every point."""

import io

import rich.console

from sah_jax.reports import listing as printing
from sah_jax.studies import grid, listing

GIVEN = {
    "models": ("nano",), "dtype": "float32", "tasks": ("nano_math", "nano_follow"),
    "families": {"baseline": ({},), "icl": ({"num_examples": 1}, {"num_examples": 2})},
    "seeds": (0,), "num_selection": 4, "num_test": 4, "selection": "selection", "check": False}


def _printed(every_point: bool, **changes) -> str:
    out = io.StringIO()
    found = listing.list_points(listing.parse({**GIVEN, **changes}))
    printing.print_listing(found, rich.console.Console(file=out, width=160), every_point)
    return out.getvalue()


def test_counts_are_printed_by_task_and_family_and_points_if_wanted():
    short, long = _printed(False), _printed(True)
    lines = [line.split() for line in short.splitlines()]
    for task in GIVEN["tasks"]:
        assert [line[:4] for line in lines if line[:2] == [task, "icl"]] == [[task, "icl", "2", "0"]]
    config = grid.parse_config(GIVEN)
    for point in grid.points(config):
        assert point.label() not in short and long.count(point.label()) == 2
    assert "40% of its peak in training" in short and "here" in short


def test_what_is_not_known_has_a_question_mark(tmp_path):
    said = _printed(False, models=(str(tmp_path / "none"),))
    assert "not downloaded" in said and "1 of 1 models are not found, the first: " in said
    (whole,) = [line.split() for line in said.splitlines() if line.split()[:1] == ["6"]]
    assert whole == ["6", "0", "0", "0", "0", "?", "?", "?", "?"]
