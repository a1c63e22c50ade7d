"""Verification: a fresh process rebuilds the adapted model from the file and scores it again."""

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sah_jax import errors, hosts, numerics
from sah_jax.studies import fresh, rows, scripts, sidecar

ORDERS_NAME = "orders.json"
"""What a fresh process is told of the programs that lie beside it, see `rebuild.rebuild_all`."""

MARK = "rebuilt: "
"""Begins each line of a fresh process that is meant for us: libraries may print, too."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a program did what its sidecar says, and if not, what differs in one sentence."""

    verified: bool
    reason: str = ""


def verify(model: str, program: pathlib.Path, extra_environment: Mapping[str, str] | None = None) -> Verdict:
    """Verifies one program in a fresh process, under its numerics profile.

    The process works on a copy of the file in a folder of its own, so that it has the base model
    and the file and nothing else.

    Args:
      model: what finds the base model, see `sah_jax.models.sources`; "" for what the sidecar says.
      program: the program file; its sidecar says what to expect.
      extra_environment: set in the process besides the profile's variables.

    Returns:
      The verdict; a program without a sidecar that fits it is not verified.
    """
    try:
        order = _order(model, program)
        profile = numerics.environment_for(order.record["profile"])
        _, got = _rebuilt([order], {**profile, **(extra_environment or {})})
    except errors.UserError as error:
        return Verdict(False, str(error))
    return order.verdict(got)


def verify_together(
    programs: Sequence[tuple[str, pathlib.Path]], settle: Callable[[int, Verdict], None],
    environment: Mapping[str, str],
) -> bool:
    """Verifies programs in one fresh process, one after the other, under this process's profile.

    In a job every host must call it; the first one's programs count.

    Args:
      programs: for each, what finds the base model ("" for what the sidecar says) and the file.
      settle: called with a program's number and verdict as soon as it is there.
      environment: set in the process besides this one's.

    Returns:
      Whether this host is the first of its job.

    Raises:
      UserError: the process broke down; the programs that have no verdict yet get none.
    """
    orders, refused = {}, {}
    for number, (model, program) in enumerate(programs):
        try:
            orders[number] = _order(model, program)
        except errors.UserError as error:
            refused[number] = Verdict(False, str(error))
    answers = iter([{}])
    if orders or hosts.in_job():
        answers = _rebuilt(list(orders.values()), environment)
    if next(answers, None) is None:
        return False
    for number, verdict in refused.items():
        settle(number, verdict)
    numbers = list(orders)
    # To the end of the answers: the process has still to leave its job, and may yet break down.
    for index, got in enumerate(answers):
        settle(numbers[index], orders[numbers[index]].verdict(got))
    return True


@dataclasses.dataclass(frozen=True)
class _Order:
    """A program that is to be rebuilt.

    Attributes:
      data: the file.
      told: what the fresh process is told.
      record: the sidecar, which it is not.
    """

    data: bytes
    told: dict[str, Any]
    record: dict[str, Any]

    def verdict(self, got: Mapping[str, Any]) -> Verdict:
        """Compares what a fresh process got with the sidecar."""
        reason = got["error"] if "error" in got else _difference(got, self.record)
        if reason and "profile" in got:
            reason = numerics.explain(reason, self.record["profile"], got["profile"])
        return Verdict(not reason, reason)


def _order(model: str, program: pathlib.Path) -> _Order:
    """Returns the order to rebuild a program.

    Raises:
      UserError: it has no sidecar that fits it, or other predictions than it says, or is no program.
    """
    record, data = sidecar.read(program), sidecar.read_program(program)
    if record is None:
        raise errors.UserError(f"{program} has no sidecar {sidecar.path_for(program).name} to compare with")
    if record["family"] == sidecar.TEXTS:
        raise errors.UserError(f"{program} holds texts, expected a program; sah decode checks texts")
    sidecar.check_predictions(program, record)
    scores = record["scores"]
    return _Order(data, {
        "model": model or record["base"]["source"],
        "computed": {"dtype": record["base"]["dtype"], **_placement(record["profile"])},
        "task": scores["task"],
        "splits": {scores["selection_split"]: scores["num_selection"], "test": scores["num_test"]},
    }, record)


def _placement(profile: Mapping[str, Any]) -> dict[str, str]:
    """Returns how a model is computed, but for its dtype, as a numerics profile says."""
    return {name: profile[name] for name in numerics.COMPUTED if name != "dtype" and profile.get(name)}


def placement_flags(profile: Mapping[str, Any]) -> list[str]:
    """Returns the flags by which a process computes a model as a numerics profile says."""
    return [f"--{name}={value}" for name, value in _placement(profile).items()]


def _rebuilt(orders: Sequence[_Order], environment: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yields how many programs a fresh process has, and what it says of each, in order.

    In a job, only the first host's process says anything.

    Raises:
      UserError: the process failed, after what it said before.
    """
    files = {f"{number}.sah": order.data for number, order in enumerate(orders)}
    told = [order.told | {"program": name} for order, name in zip(orders, files, strict=True)]
    files[ORDERS_NAME] = json.dumps(told).encode()
    for line in fresh.lines("rebuild", "", files, [], environment):
        if line.startswith(MARK):
            yield json.loads(line.removeprefix(MARK))


def _difference(got: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Says in what the rebuilt program is not what the sidecar says; '' if it is."""
    scores = record["scores"]
    wanted_scores = {
        scores["selection_split"]: [scores["selection_performance"], scores["selection_stderr"]],
        "test": [scores["performance"], scores["performance_stderr"]],
    }
    if got["task_digest"] != scores["task_digest"]:
        was, now = scores["data"], got["data"]
        changed = sorted({*was, *now} - {name for name in was if was[name] == now.get(name)})
        return f"the data of {scores['task']} are others than it was scored on: {', '.join(changed) or 'all'}"
    expected = {
        "base_name": record["base"]["name"],
        "base_digest": record["base"]["digest"],
        # Older sidecars do not say it.
        "num_params": record["base"].get("num_params", got["num_params"]),
        "family": record["family"],
        "bits": record["bits"],
        "ideal_bits": record["ideal_bits"],
        "ledger": [[entry["field"], entry["bits"]] for entry in record["ledger"]],
        "adapted_digest": record["adapted_digest"],
        "portable": record["portable"], "unchanged": record["unchanged"],
        "scores": wanted_scores,
    }
    for key, value in expected.items():
        if got[key] != value:
            return f"{key} was {value} when the file was written and is {got[key]} when it is read"
    was, now = record.get("widths", got["widths"]), got["widths"]  # nor this
    if other := next((name for name in sorted({*was, *now}) if was.get(name) != now.get(name)), None):
        return (f"the bit widths of {other} were {was.get(other)} when the file was written and are "
                f"{now.get(other)} when it is read")
    was, now = record.get("views", got["views"]), got["views"]  # nor that
    for by in sorted({*was, *now}):
        if said := _other(f"in the view by {by}, part", was.get(by, ()), now.get(by, ())):
            return said
    if got["predictions_sha256"]["test"] != scores["predictions_sha256"]:
        return "the responses to test items are others than when the file was written"
    shown = record.get(sidecar.SAMPLES, [])
    return _other("sample", shown, got["samples"][:len(shown)])


def _other(name: str, was: Sequence[Any], now: Sequence[Any]) -> str:
    """Says which is the first element that two sequences do not share; '' if they are alike."""
    for number, (old, new) in enumerate(itertools.zip_longest(was, now)):
        if old != new:
            return (f"{name} {number} was {old!r:.200} when the file was written and is {new!r:.200} when it "
                    "is read")
    return ""


def row_difference(row: rows.Row, record: Mapping[str, Any]) -> str:
    """Says where a row is not what its program's sidecar, folder and family say; '' if it is nowhere."""
    if row.point != (folder := pathlib.PurePosixPath(row.program).parent.name):
        return f"point is {row.point} in the row and its program's folder is {folder}"
    if row.script_bits != (bits := scripts.bits(record["family"], record["unchanged"])):
        return f"script_bits is {row.script_bits} in the row and {bits} for programs like this"
    scores = record["scores"]
    pairs = {
        "experiment_name": record["family"], "dataset_name": scores["task"],
        "model_name": record["base"]["name"],
        "bits": record["bits"], "ideal_bits": record["ideal_bits"], "seed": record["seed"],
        "program_sha256": record["program_sha256"], "adapted_digest": record["adapted_digest"],
        "portable": record["portable"], "unchanged": record["unchanged"],
        "base_digest": record["base"]["digest"], "task_digest": scores["task_digest"],
        "strategy_hparams": record["setting"],
        "performance": scores["performance"], "performance_stderr": scores["performance_stderr"],
        "num_scored": scores["num_test"], "selection_split": scores["selection_split"],
        "selection_performance": scores["selection_performance"],
        "selection_stderr": scores["selection_stderr"],
        "selection_num_scored": scores["num_selection"],
        "numerics_digest": numerics.digest(record["profile"]),
        # Older sidecars do not say what a point took.
        **record.get("accounts", {}),
    }
    for key, value in pairs.items():
        if getattr(row, key) != value:
            return f"{key} is {getattr(row, key)} in the row and {value} in the sidecar"
    return ""
