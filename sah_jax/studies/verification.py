"""Verification: a fresh process rebuilds the adapted model from the file and scores it again."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from sah_jax import errors, numerics
from sah_jax.studies import sidecar


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a program did what its sidecar says, and if not, what differs in one sentence."""

    verified: bool
    reason: str = ""


def verify(model: str, program: pathlib.Path, extra_environment: Mapping[str, str] | None = None) -> Verdict:
    """Verifies one program in a fresh process, under its numerics profile.

    Args:
      model: the base model's folder, or the name of a shipped one.
      program: the program file; its sidecar says what to expect.
      extra_environment: set in the process besides the profile's variables.

    Raises:
      UserError: there is no sidecar, or it does not fit the file.
    """
    record = sidecar.read(program)
    if record is None:
        raise errors.UserError(
            f"{program}: has no sidecar {sidecar.path_for(program).name} to compare with; "
            "copy it to beside the program.")
    scores, base = record["scores"], record["base"]
    command = [
        sys.executable, "-m", "sah_jax", "rebuild", str(program), f"--model={model}",
        f"--dtype={base['dtype']}", f"--task={scores['task']}", f"--num_test={scores['num_test']}"]
    environment = {
        **os.environ, **numerics.environment_for(record["profile"]), **(extra_environment or {})}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return Verdict(False, said[-1] if said else f"the process ended with code {done.returncode}")
    return _compare(json.loads(done.stdout.splitlines()[-1]), record)


def _compare(got: Mapping[str, Any], record: Mapping[str, Any]) -> Verdict:
    expected = {
        "base_digest": record["base"]["digest"],
        "bits": record["bits"],
        "ledger": [[entry["field"], entry["bits"]] for entry in record["ledger"]],
        "adapted_digest": record["adapted_digest"],
        "performance": record["scores"]["performance"],
    }
    for key, value in expected.items():
        if got[key] != value:
            return Verdict(
                False, f"{key} was {value} when the file was written and is {got[key]} when it is read")
    return Verdict(True)
