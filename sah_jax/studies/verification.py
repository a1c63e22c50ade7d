"""Verification: a fresh process rebuilds the adapted model from the file and scores it again."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from sah_jax import errors, numerics
from sah_jax.studies import rows, sidecar


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a program did what its sidecar says, and if not, what differs in one sentence."""

    verified: bool
    reason: str = ""


def verify(model: str, program: pathlib.Path, extra_environment: Mapping[str, str] | None = None) -> Verdict:
    """Verifies one program in a fresh process, under its numerics profile.

    The process works on a copy of the file in an empty folder, so that it has the base model
    and the file and nothing else.

    Args:
      model: what finds the base model, see `sah_jax.models.sources`.
      program: the program file; its sidecar says what to expect.
      extra_environment: set in the process besides the profile's variables.

    Returns:
      The verdict; a program without a sidecar that fits it is not verified.
    """
    try:
        record = sidecar.read(program)
        data = sidecar.read_program(program)
        if record is None:
            return Verdict(
                False, f"{program} has no sidecar {sidecar.path_for(program).name} to compare with")
        if record["family"] == sidecar.TEXTS:
            return Verdict(False, f"{program} holds texts, expected a program; sah decode checks texts")
        profile = numerics.environment_for(record["profile"])
    except errors.UserError as error:
        return Verdict(False, str(error))
    scores = record["scores"]
    splits = {scores["selection_split"]: scores["num_selection"], "test": scores["num_test"]}
    arguments = [f"--model={model}", f"--dtype={record['base']['dtype']}", f"--task={scores['task']}",
                 *(f"--score={split}:{num}" for split, num in splits.items()),
                 *placement(record["profile"])]
    done = run_fresh("rebuild", data, arguments, {**profile, **(extra_environment or {})})
    got = json.loads((done.stdout.splitlines() or ["{}"])[-1])
    reason = last_words(done) if done.returncode or not got else _difference(got, record)
    if reason and "profile" in got:
        reason = numerics.explain(reason, record["profile"], got["profile"])
    return Verdict(not reason, reason)


def placement(profile: Mapping[str, Any]) -> list[str]:
    """Returns the flags by which a process computes a model as a numerics profile says."""
    return [f"--{name}={profile[name]}" for name in ("mesh", "remat", "quantization") if profile.get(name)]


def run_fresh(
    command: str, data: bytes, arguments: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess:
    """Runs `sah COMMAND FILE ARGUMENTS` on a copy of a file that lies alone in a folder.

    `environment` is set besides this process's, see `numerics.environment_for`.
    """
    with tempfile.TemporaryDirectory(prefix="sah-verify-") as folder:
        copy = pathlib.Path(folder) / sidecar.PROGRAM_NAME
        copy.write_bytes(data)
        return subprocess.run(
            [sys.executable, "-m", "sah_jax", command, str(copy), *arguments],
            env={**os.environ, **environment}, capture_output=True, text=True, stdin=subprocess.DEVNULL,
            check=False)


def last_words(done: subprocess.CompletedProcess) -> str:
    """Returns the last line of what a process complained of."""
    said = done.stderr.strip().splitlines()
    return said[-1] if said else f"the process ended with code {done.returncode}"


def _difference(got: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Says in what the rebuilt program is not what the sidecar says; '' if it is."""
    scores = record["scores"]
    wanted_scores = {
        scores["selection_split"]: [scores["selection_performance"], scores["selection_stderr"]],
        "test": [scores["performance"], scores["performance_stderr"]],
    }
    expected = {
        "base_digest": record["base"]["digest"],
        "bits": record["bits"],
        "ideal_bits": record["ideal_bits"],
        "ledger": [[entry["field"], entry["bits"]] for entry in record["ledger"]],
        "adapted_digest": record["adapted_digest"],
        "scores": wanted_scores,
    }
    for key, value in expected.items():
        if got[key] != value:
            return f"{key} was {value} when the file was written and is {got[key]} when it is read"
    return ""


def row_difference(row: rows.Row, record: Mapping[str, Any]) -> str:
    """Says where a row is not what its program's sidecar says; '' if it is nowhere."""
    scores = record["scores"]
    pairs = {
        "bits": record["bits"], "ideal_bits": record["ideal_bits"], "seed": record["seed"],
        "program_sha256": record["program_sha256"], "adapted_digest": record["adapted_digest"],
        "base_digest": record["base"]["digest"], "strategy_hparams": record["setting"],
        "performance": scores["performance"], "performance_stderr": scores["performance_stderr"],
        "num_scored": scores["num_test"], "selection_split": scores["selection_split"],
        "selection_performance": scores["selection_performance"],
        "selection_stderr": scores["selection_stderr"],
        "selection_num_scored": scores["num_selection"],
        "numerics_digest": numerics.digest(record["profile"]),
    }
    for key, value in pairs.items():
        if getattr(row, key) != value:
            return f"{key} is {getattr(row, key)} in the row and {value} in the sidecar"
    return ""
