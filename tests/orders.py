"""Folders of programs for `sah rebuild`, which `sah verify` otherwise makes, and what it prints."""

import json

from sah_jax.studies import verification


def write(folder, programs: dict[str, bytes], model: str = "nano") -> None:
    """Writes program files, to be rebuilt under a model and scored on two test items of nano_math."""
    order = {"model": model, "computed": {"dtype": "float32"}, "task": "nano_math", "splits": {"test": 2}}
    for name, data in programs.items():
        (folder / name).write_bytes(data)
    (folder / verification.ORDERS_NAME).write_text(
        json.dumps([{**order, "program": name} for name in programs]))


def answers(printed: str) -> list[dict]:
    """Returns what was printed of each program."""
    begun, *found = (json.loads(line.removeprefix(verification.MARK))
                     for line in printed.splitlines() if line.startswith(verification.MARK))
    assert begun == {}
    return found
