"""Points verified in the background: each has a verdict, whatever becomes of the process that gives them."""

import json
import threading
import time

import pytest
import study_folder

from sah_jax import errors
from sah_jax.studies import verification, verifier

FINE = verification.Verdict(True)


@pytest.fixture
def settled(tmp_path, monkeypatch):
    """Verifies three points that wait together; returns their verdicts and who was verified alone.

    The first process takes a point of its own, so that the others are together in the next.
    """
    def run(together, alone=lambda program: FINE):
        rows = [study_folder.write_point(tmp_path, point, 3) for point in ("first", "a", "b", "c")]
        verdicts, asked, ready = {}, [], threading.Event()

        def verify_together(programs, settle, environment):
            assert environment == {} and all(model == "" for model, _ in programs)
            points = [program.parent.name for _, program in programs]
            if points == ["first"]:
                ready.wait()
                settle(0, FINE)
            else:
                assert points == ["a", "b", "c"]
                together(settle)
            return True

        def verify(model, program):
            assert model == ""
            asked.append(program.parent.name)
            return alone(program)

        monkeypatch.setattr(verification, "verify_together", verify_together)
        monkeypatch.setattr(verification, "verify", verify)

        def settle(row, verdict):
            assert row.point not in verdicts
            verdicts[row.point] = verdict

        worker = verifier.Verifier(tmp_path, settle)
        worker.submit(rows[0])
        while worker._waiting:
            time.sleep(0.001)
        for row in rows[1:]:
            worker.submit(row)
        ready.set()
        worker.finish()
        assert verdicts.pop("first") == FINE
        return verdicts, asked

    return run


def _breaks(*settles):
    """A process that gives some verdicts and breaks down."""
    def together(settle):
        for number in settles:
            settle(number, FINE)
        raise errors.UserError("it ran out of memory")

    return together


def test_a_process_that_breaks_down_on_one_leaves_the_others_their_verdicts(settled):
    def alone(program):
        return FINE if program.parent.name == "c" else verification.Verdict(False, "out of memory again")

    verdicts, asked = settled(_breaks(0), alone)
    # What had its verdict keeps it; each other has a process of its own.
    assert asked == ["b", "c"]
    assert verdicts == {"a": FINE, "b": verification.Verdict(False, "out of memory again"), "c": FINE}


@pytest.mark.parametrize("together, left", [
    (_breaks(), ["a", "b", "c"]), (lambda settle: None, ["a", "b", "c"]),
    (lambda settle: settle(1, FINE), ["a", "c"]), (_breaks(2, 1), ["a"])])
def test_nothing_is_verified_that_no_process_has_said_so_of(settled, together, left):
    refuted = verification.Verdict(False, "it differs")
    verdicts, asked = settled(together, lambda program: refuted)
    assert asked == left
    assert verdicts == {point: refuted if point in left else FINE for point in "abc"}


@pytest.mark.parametrize("broken, reason", [
    (True, "it ran out of memory"), (False, "the process that was to rebuild it said nothing of it")])
def test_a_point_by_itself_is_refuted_for_what_the_process_said(tmp_path, monkeypatch, broken, reason):
    def verify_together(*_):
        if broken:
            raise errors.UserError(reason)

    monkeypatch.setattr(verification, "verify_together", verify_together)
    verdicts = []
    worker = verifier.Verifier(tmp_path, lambda *one: verdicts.append(one))
    row = study_folder.write_point(tmp_path, "a", 3)
    worker.submit(row)
    worker.finish()
    assert verdicts == [(row, verification.Verdict(False, reason))]


def test_a_row_that_is_not_what_the_sidecar_says_is_refuted_whatever_the_process_says(settled, tmp_path):
    def together(settle):
        path = tmp_path / "points" / "b" / "program.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": 7}))
        for number in range(2):
            settle(number, FINE)

    verdicts, _ = settled(together)
    assert verdicts["a"] == FINE == verdicts["c"]
    assert verdicts["b"] == verification.Verdict(False, "seed is 1 in the row and 7 in the sidecar")


def test_what_settling_raises_is_told_to_who_waits(tmp_path, monkeypatch):
    def settle(row, verdict):
        assert verdict == FINE
        raise errors.UserError("the disk is full")

    monkeypatch.setattr(verification, "verify_together", lambda programs, settle, _: settle(0, FINE))
    worker = verifier.Verifier(tmp_path, settle)
    worker.submit(study_folder.write_point(tmp_path, "a", 3))
    with pytest.raises(errors.UserError, match="the disk is full"):
        worker.finish()


@pytest.mark.parametrize("content", ["{", ""])
def test_a_sidecar_that_is_damaged_meanwhile_verifies_nothing(tmp_path, content):
    row = study_folder.write_point(tmp_path, "a", 3)
    assert verifier.checked(tmp_path, row, FINE) == FINE
    (tmp_path / "points" / "a" / "program.json").write_text(content)
    verdict = verifier.checked(tmp_path, row, FINE)
    assert not verdict.verified and "is not a sidecar" in verdict.reason
