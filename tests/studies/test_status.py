"""How far a study is, as its folder says."""

import dataclasses

import pytest
import row_template

from sah_jax import errors
from sah_jax.studies import claims, results, rows, status


def _row(point, **changes):
    return dataclasses.replace(row_template.TEMPLATE, point=point, wall_time_s=10.0, **changes)


@pytest.fixture
def workdir(tmp_path):
    """A study of ten points: two verified, one refuted, one pending, one failed, two being made."""
    status.write(tmp_path, {"seeds": [0]}, 10)
    rows.write_rows(tmp_path / rows.RESULTS_NAME, [_row("a"), _row("b"), _row("c", verified=False)])
    rows.write_rows(tmp_path / results.PENDING_NAME, [_row("d", verified=False)])
    results.change(
        tmp_path, lambda files: files.failed.update(e=("it [bold]diverged", "1"), c=("differs", "2")))
    held = claims.Claims(tmp_path)
    held.take(["f", "g"])
    yield tmp_path
    held.close()


def test_every_point_is_counted_as_what_it_is(workdir):
    found = status.read(workdir)
    assert (found.total, found.verified, found.refuted, found.pending) == (10, 2, 1, 1)
    assert sorted(found.failed) == ["c", "e"] and sorted(found.working) == ["f", "g"]
    assert [row.point for row in found.latest] == ["a", "b", "c"]
    # Six are left to one process, of ten seconds each.
    assert found.left_s == 60.0


def test_nobody_at_work_leaves_no_time(tmp_path):
    rows.write_rows(tmp_path / rows.RESULTS_NAME, [_row("a")])
    found = status.read(tmp_path)
    assert found.left_s is None and found.total == 0


def test_no_folder_and_damaged_files_are_named(tmp_path):
    with pytest.raises(errors.UserError, match="none: is no folder"):
        status.read(tmp_path / "none")
    for content in ("{}", "[" * 100_000, '{"points": 1e999}', '{"points": NaN}'):
        (tmp_path / status.STUDY_NAME).write_text(content)
        with pytest.raises(errors.UserError, match="study.json: got something else"):
            status.read(tmp_path)


@pytest.mark.parametrize("total, known", [(9, 9), (5, 5), (4, 0), (1, 0)])
def test_a_total_below_what_is_there_is_none(workdir, total, known):
    status.write(workdir, {}, total)
    found = status.read(workdir)
    # Two verified, one refuted, one pending, one failed.
    assert found.total == known and (found.left_s is not None) == bool(known)


def test_the_latest_are_the_last(tmp_path):
    points = [f"p{number}" for number in range(status.LATEST + 2)]
    rows.write_rows(tmp_path / rows.RESULTS_NAME, [_row(point) for point in points])
    assert [row.point for row in status.read(tmp_path).latest] == points[2:]
