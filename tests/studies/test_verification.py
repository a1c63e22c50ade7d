"""Verification: whatever a rebuilt program does otherwise than its sidecar says is named."""

import json
import subprocess

import pytest

from sah_jax import numerics
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

    def answer(said: str, code: int = 0, complaint: str = "") -> verification.Verdict:
        monkeypatch.setattr(
            verification, "run_fresh",
            lambda *arguments: subprocess.CompletedProcess(arguments, code, said, complaint))
        return verification.verify("nano", tmp_path / "point" / sidecar.PROGRAM_NAME)

    return answer


def _said(**changes) -> str:
    return json.dumps({**FITTING, "profile": numerics.profile("float32"), **changes})


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


@pytest.mark.parametrize("said, code, complaint, reason", [
    (_said(), 1, "first\nit broke\n", "it broke"), ("", 0, "", "the process ended with code 0"),
    ("", 3, "", "the process ended with code 3")])
def test_a_process_that_fails_verifies_nothing(verify, said, code, complaint, reason):
    assert verify(said, code, complaint) == verification.Verdict(False, reason)
