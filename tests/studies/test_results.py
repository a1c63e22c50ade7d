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


@pytest.mark.parametrize("content", ['{"a": 1}', "[]", "[" * 100_000])
def test_a_damaged_file_of_failures_is_named(make, tmp_path, content):
    (tmp_path / results.FAILED_NAME).write_text(content)
    with pytest.raises(errors.UserError, match="failed.json: got something else"):
        make()


@pytest.fixture
def order(tmp_path, monkeypatch):
    """Collects which files of rows are read and written, and removed."""
    seen = []

    def watch(owner, name, what):
        done = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda path, *rest, **more: (
                seen.append((what, path.name)), done(path, *rest, **more))[1])

    watch(results, "_read_rows", "read")
    watch(results.rows_lib, "write_rows", "written")
    watch(results.pathlib.Path, "unlink", "removed")
    return seen


def test_a_point_is_always_in_one_of_the_files(make, tmp_path, order):
    found = make()
    found.wait(_row(tmp_path, "a"))
    order.clear()
    results.read(tmp_path)
    # A verdict may come between the two: a point that was pending then has its row already.
    assert order == [("read", results.PENDING_NAME), ("read", rows.RESULTS_NAME)]
    found.wait(_row(tmp_path, "b"))
    order.clear()
    for point, last in (("a", ("written", results.PENDING_NAME)), ("b", ("removed", results.PENDING_NAME))):
        found.settle(_row(tmp_path, point), verification.Verdict(True))
        changes = [one for one in order if one in (
            ("written", rows.RESULTS_NAME), ("written", results.PENDING_NAME),
            ("removed", results.PENDING_NAME))]
        # A process that is killed between the two leaves it in both and not in neither.
        assert changes == [("written", rows.RESULTS_NAME), last]
        order.clear()


def test_a_point_in_both_files_has_its_verdict(make, tmp_path):
    both = _row(tmp_path, "a")
    rows.write_rows(tmp_path / rows.RESULTS_NAME, [dataclasses.replace(both, verified=True)])
    rows.write_rows(tmp_path / results.PENDING_NAME, [both, _row(tmp_path, "b")])
    files = results.read(tmp_path)
    assert (_points(files.rows), _points(files.pending)) == (["a"], ["b"])
    assert _points(make().pending) == ["b"]


def test_a_folder_can_be_read_that_cannot_be_written(make, tmp_path):
    make().settle(_row(tmp_path, "a"), verification.Verdict(True))
    (tmp_path / ".rows.lock").unlink(missing_ok=True)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert _points(make().rows) == ["a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == before
