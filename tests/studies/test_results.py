"""The files of a study, which any number of processes change: nothing is lost, nothing is there twice."""

import dataclasses
import io
import threading

import pytest
import rich.console
import row_template

from sah_jax import errors
from sah_jax.studies import results, rows, sidecar, verification


@pytest.fixture
def make(tmp_path):
    return lambda: results.Results(tmp_path, rich.console.Console(file=io.StringIO(), width=200))


def _row(folder, point, **changes):
    """Returns the row of a program file that is there."""
    path = folder / point / sidecar.PROGRAM_NAME
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(point.encode())
    return dataclasses.replace(
        row_template.TEMPLATE, point=point, program=f"{point}/{path.name}", verified=False,
        program_sha256=sidecar.file_digest(point.encode()), **changes)


def _points(some):
    return [row.point for row in some]


def test_a_point_waits_and_then_has_its_verdict_and_nothing_else(make, tmp_path):
    found, other = make(), make()
    found.wait(_row(tmp_path, "a"))
    other.refresh()
    assert (_points(other.pending), other.rows) == (["a"], [])
    found.settle(_row(tmp_path, "a"), verification.Verdict(True))
    other.refresh()
    assert (other.pending, _points(other.rows)) == ([], ["a"]) and other.rows[0].verified
    assert not (tmp_path / results.PENDING_NAME).exists()
    # Made once more by a process that was thought dead: still one row.
    other.settle(_row(tmp_path, "a"), verification.Verdict(True))
    assert _points(rows.read_rows(tmp_path / rows.RESULTS_NAME)) == ["a"]


def test_what_many_write_at_once_is_all_there(make, tmp_path):
    def run(number):
        found = make()
        for count in range(5):
            row = _row(tmp_path, f"{number}-{count}")
            found.wait(row)
            found.settle(row, verification.Verdict(True))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = make()
    assert sorted(_points(found.rows)) == sorted(f"{n}-{c}" for n in range(4) for c in range(5))
    assert not found.pending


def test_pending_points_that_are_settled_while_they_are_read_are_no_error(make, tmp_path, monkeypatch):
    found, read = make(), results.rows_lib.read_rows
    row = _row(tmp_path, "a")
    found.wait(row)

    def meanwhile(path):
        if path.name == results.PENDING_NAME:
            path.unlink()
        return read(path)

    monkeypatch.setattr(results.rows_lib, "read_rows", meanwhile)
    found.refresh()
    assert found.pending == []


def test_a_failure_is_everyones_until_the_point_is_made(make, tmp_path):
    found, other = make(), make()
    found.fail("a", "it diverged")
    other.refresh()
    assert other.failed == {"a": "it diverged"}
    with pytest.raises(errors.UserError, match="1 of 3 points failed, the first: it diverged"):
        other.check(3)
    # A later run tries again; that it fails in the same words is another failure.
    later = make()
    assert not later.failed
    later.fail("a", "it diverged")
    assert later.failed == {"a": "it diverged"}
    later.settle(_row(tmp_path, "a"), verification.Verdict(True))
    assert not later.failed and not make().failed


def test_what_was_refuted_or_has_lost_its_file_is_not_finished(make, tmp_path):
    found = make()
    for point, verified in (("refuted", False), ("lost", True), ("good", True)):
        found.settle(_row(tmp_path, point), verification.Verdict(verified, "it differs"))
    assert list(found.failed) == ["refuted"] and len(found.rows) == 3
    (tmp_path / "lost" / sidecar.PROGRAM_NAME).write_bytes(b"other")
    later = make()
    assert _points(later.rows) == ["good"]
    # They stay in the file until they are made again.
    later.settle(_row(tmp_path, "more"), verification.Verdict(True))
    assert len(rows.read_rows(tmp_path / rows.RESULTS_NAME)) == 4
    assert _points(later.rows) == ["good", "more"]
    later.settle(_row(tmp_path, "lost", bits=8), verification.Verdict(True))
    assert _points(later.rows) == ["good", "more", "lost"]


def test_a_damaged_file_of_failures_is_named(make, tmp_path):
    (tmp_path / results.FAILED_NAME).write_text('{"a": 1}')
    with pytest.raises(errors.UserError, match="failed.json: got something else"):
        make()


def test_a_folder_can_be_read_that_cannot_be_written(make, tmp_path):
    make().settle(_row(tmp_path, "a"), verification.Verdict(True))
    (tmp_path / ".rows.lock").unlink(missing_ok=True)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert _points(make().rows) == ["a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == before
