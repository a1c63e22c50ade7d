"""Rows that another system reports: lengths and scores without program files.

The reference (arXiv 2602.15829) releases its results as JSON lines of seven keys. They are read as they
are, and pooled with ours under our names of tasks and families. Nothing of them can be verified: lengths
are sums, and scores are taken at their word, on the test set, which is also what they were selected on.
"""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from sah_jax import errors
from sah_jax.studies import scripts

_KEYS = ("experiment_name", "dataset_name", "model_name", "performance", "bits", "seed", "strategy_hparams")

# What the reference calls what we have; its other names stay.
_FAMILIES = {"online_coding": "online", "blora": "bayesian_bits", "full_ft": "full"}
_TASKS = {"meta-math/MetaMathQA": "gsm8k", "allenai/nllb": "flores"}
_MOST = 2**63 - 1
_PATH_AFTER = ("ifeval",)  # names that end in a path of the machine that ran them


@dataclasses.dataclass(frozen=True)
class ReportedRow:
    """One point as another system reports it, with the attributes that a frontier asks a row for.

    Attributes:
      experiment_name: the family of the program, by our name.
      dataset_name: the task, by our name.
      model_name: the base model.
      performance: the test score.
      bits: the reported length, without the script.
      seed: the seed of the run.
      strategy_hparams: the setting that was run.
      point: where it is reported, "FILE:LINE".
      script_bits: the length of the script that runs programs of this family.
    """

    experiment_name: str
    dataset_name: str
    model_name: str
    performance: float
    bits: int
    seed: int
    strategy_hparams: dict[str, Any]
    point: str
    script_bits: int

    # It was selected on the test set; no file bears it out, and no error is known.
    counts = True
    verified = False
    reported = True
    unchanged = False
    program = program_sha256 = ""
    performance_stderr = None

    @property
    def selection_performance(self) -> float:
        """The score that it was selected on, which is the test score."""
        return self.performance


def read_rows(path: str | os.PathLike[str]) -> list[ReportedRow]:
    """Reads a file of reported rows, in the file's order.

    Raises:
      UserError: the file cannot be read, or a line is no row of the reference's schema; the sentence names
        the file, the line and the key.
    """
    path = pathlib.Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UserError(
            f"{path}: got {getattr(error, 'strerror', None) or error}, expected a readable file of rows; "
            "correct the path.") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path.name}:{number}"
            try:
                rows.append(_parse(json.loads(line), where))
            except (ValueError, RecursionError) as error:
                raise errors.UserError(
                    f"{path}, line {number}: got {error}, expected an object with {', '.join(_KEYS)}; "
                    "correct or remove the line.") from error
    return rows


def _parse(record: Any, where: str) -> ReportedRow:
    """Returns a row; raises ValueError, which names what is wrong."""
    if not isinstance(record, Mapping):
        raise ValueError(f"a {type(record).__name__}")
    if wrong := sorted(set(_KEYS) ^ set(record)):
        raise ValueError(f"{'no' if wrong[0] in _KEYS else 'the'} key {wrong[0]!r}")
    kinds = (str, str, str, (int, float), int, int, dict)
    for key, kind in zip(_KEYS, kinds, strict=True):
        if not isinstance(record[key], kind) or isinstance(record[key], bool):
            raise ValueError(f"{key!r} = {record[key]!r:.80}")
    # In this order, for an integer may be too large to be a float.
    if not (abs(record["performance"]) <= _MOST and math.isfinite(record["performance"])):
        raise ValueError(f"'performance' = {record['performance']!r:.80}")
    if not 0 <= record["bits"] <= _MOST:
        raise ValueError(f"'bits' = {record['bits']!r:.80}")
    family = _FAMILIES.get(record["experiment_name"], record["experiment_name"])
    task = _TASKS.get(record["dataset_name"], record["dataset_name"])
    if (name := task.partition(":")[0]) in _PATH_AFTER:
        task = name
    return ReportedRow(
        family, task, record["model_name"], float(record["performance"]), record["bits"], record["seed"],
        record["strategy_hparams"], where, scripts.bits(family))
