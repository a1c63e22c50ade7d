"""Verification: whatever a rebuilt program does otherwise than its sidecar says is named."""

import json

import pytest

from sah_jax import errors, numerics
from sah_jax.studies import sidecar, verification

DATA = b"a program"
FITTING = {
    "base_digest": "cd", "adapted_digest": "ab", "bits": 72, "ideal_bits": 70.5,
    "ledger": [["family", 8], ["termination", 64]],
    "scores": {"selection": [0.5, 0.1], "test": [0.25, 0.2]},
}


def _record() -> dict:
    return {
        "family": "baseline", "bits": 72, "ideal_bits": 70.5, "adapted_digest": "ab",
        "ledger": [{"field": "family", "bits": 8, "ideal_bits": 7.5},
                   {"field": "termination", "bits": 64, "ideal_bits": 0.0}],
        "program_sha256": sidecar.file_digest(DATA), "setting": {}, "seed": 0,
        "base": {"name": "nano", "source": "nano", "digest": "cd", "dtype": "float32"},
        "profile": numerics.profile("float32"),
        "scores": {
            "task": "nano_math", "num_test": 2, "performance": 0.25, "performance_stderr": 0.2,
            "selection_split": "selection", "num_selection": 3, "selection_performance": 0.5,
            "selection_stderr": 0.1},
    }


@pytest.fixture
def verify(tmp_path, monkeypatch):
    """Verifies a program whose fresh process says what it is told to."""
    sidecar.write_folder(tmp_path / "point", DATA, _record())

    def answer(said: dict | None, complaint: str = "") -> verification.Verdict:
        def lines(command, target, files, arguments, environment):
            (order,) = json.loads(files[verification.ORDERS_NAME])
            assert command == "rebuild" and not target and not arguments
            # The base model, what to score, and the file; nothing of what is expected.
            assert set(order) == {"model", "computed", "task", "splits", "program"}
            assert set(files) == {verification.ORDERS_NAME, order["program"]}
            assert files[order["program"]] == DATA
            yield "a library says hello\n"
            yield verification.MARK + "{}\n"
            if said is not None:
                yield verification.MARK + json.dumps(said) + "\n"
            if complaint:
                raise errors.UserError(complaint)

        monkeypatch.setattr(verification.fresh, "lines", lines)
        return verification.verify("nano", tmp_path / "point" / sidecar.PROGRAM_NAME)

    return answer


def _said(**changes) -> dict:
    return {**FITTING, "profile": numerics.profile("float32"), **changes}


def test_a_program_that_does_what_its_sidecar_says_is_verified(verify):
    assert verify(_said()) == verification.Verdict(True)


@pytest.mark.parametrize("key, got", [
    ("base_digest", "ce"), ("adapted_digest", "aa"), ("bits", 80), ("ideal_bits", 70.25),
    # The same bits in all, elsewhere or under another name.
    ("ledger", [["family", 9], ["termination", 63]]), ("ledger", [["header", 8], ["termination", 64]]),
    ("ledger", [["termination", 64], ["family", 8]]), ("ledger", [["family", 8]]),
    ("scores", {"selection": [0.5, 0.1], "test": [0.5, 0.2]}),
    ("scores", {"selection": [0.5, 0.1], "test": [0.25, 0.1]}),
    ("scores", {"selection": [0.25, 0.1], "test": [0.25, 0.2]}),
    ("scores", {"selection": [0.5, 0.2], "test": [0.25, 0.2]}),
])
def test_whatever_differs_is_named(verify, key, got):
    verdict = verify(_said(**{key: got}))
    assert not verdict.verified
    assert verdict.reason == (
        f"{key} was {FITTING[key]} when the file was written and is {got} when it is read")


@pytest.mark.parametrize("said", [_said(), None])
def test_a_process_that_fails_verifies_nothing(verify, said):
    assert verify(said, "it broke") == verification.Verdict(False, "it broke")


def test_what_a_process_could_not_rebuild_is_told_with_the_profile(verify):
    profile = {**numerics.profile("float32"), "processor": "Z80"}
    verdict = verify({"error": "the file is truncated.", "profile": profile})
    assert not verdict.verified
    assert verdict.reason.startswith("the file is truncated (of the numerics profile, processor was '")
    assert verify({"error": "there is no model."}) == verification.Verdict(False, "there is no model.")


@pytest.fixture
def together(tmp_path, monkeypatch):
    """Verifies three programs, the second without a sidecar, in a process that says what it is told to."""
    programs = [tmp_path / str(number) / sidecar.PROGRAM_NAME for number in range(3)]
    for program in programs:
        sidecar.write_folder(program.parent, DATA, _record())
    sidecar.path_for(programs[1]).unlink()

    def answer(said: list[str]) -> tuple[list, bool]:
        settled = []
        monkeypatch.setattr(verification.fresh, "lines", lambda *_: iter(said))
        first = verification.verify_together(
            [("", program) for program in programs], lambda *verdict: settled.append(verdict), {})
        return settled, first

    return answer


def test_programs_that_are_verified_together_have_verdicts_of_their_own(together):
    marked = [verification.MARK + json.dumps(said) for said in ({}, _said(), _said(bits=80))]
    settled, first = together(marked)
    assert first and [number for number, _ in settled] == [1, 0, 2]
    verdicts = dict(settled)
    assert verdicts[0] == verification.Verdict(True)
    assert "has no sidecar" in verdicts[1].reason and verdicts[2].reason.startswith("bits was 72")
    # Where the process broke off, the last program has no verdict.
    assert [number for number, _ in together(marked[:2])[0]] == [1, 0]


def test_a_process_that_says_nothing_is_not_the_first_of_its_job(together):
    assert together([]) == ([], False)
