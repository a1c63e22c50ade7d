"""Two programs compared item by item, by predictions that are their own and of the same items."""

import pytest

from sah_jax import errors
from sah_jax.complexity import pairs
from sah_jax.studies import sidecar
from sah_jax.tasks import base as task_lib
from sah_jax.tasks import predictions

DATA = b"a program"


@pytest.fixture
def make(tmp_path, nano_math):
    """Writes a program with predictions of which some are right."""
    examples = nano_math.examples("test", 8)
    digest = task_lib.digest(nano_math, ("test", "selection"))

    def make(name, right, **changes):
        text = predictions.write([
            example.answer if index in right else "#### -1" for index, example in enumerate(examples)])
        sidecar.write_folder(tmp_path / name, DATA, {
            "family": "baseline", "bits": 72, "ideal_bits": 70.5, "ledger": [], "adapted_digest": "ab",
            "program_sha256": sidecar.file_digest(DATA), "portable": True, "unchanged": False, "setting": {},
            "seed": 0, "base": {"name": "nano", "source": "nano", "digest": "cd", "dtype": "float32"},
            "profile": {"NPROC": "1", "XLA_FLAGS": ""},
            "scores": {
                "task": "nano_math", "task_digest": digest, "data": {}, "num_test": 8, "performance": 0.5,
                "performance_stderr": 0.1, "selection_split": "selection", "num_selection": 3,
                "selection_performance": 0.5, "selection_stderr": 0.1,
                "predictions_sha256": sidecar.file_digest(text.encode()), **changes}}, text)
        return tmp_path / name / sidecar.PROGRAM_NAME

    return make


def test_the_difference_is_over_pairs_of_items(make):
    task, found = pairs.compare(make("a", range(7)), make("b", range(6)))
    assert (task, found.value, found.num) == ("nano_math", 0.125, 8)
    # One item of eight differs: a coin that is tossed for it decides nothing.
    assert found.p_value == 1.0
    _, found = pairs.compare(make("c", range(8)), make("d", ()))
    assert found.value == 1.0 and found.p_value < 0.05 and found.stderr == 0.0


def test_other_items_are_not_compared(make):
    for change, said in (
            ({"task": "nano_follow"}, "different tasks"), ({"task_digest": "ff"}, "different data"),
            ({"num_test": 7}, "different numbers of test items")):
        with pytest.raises(errors.UserError, match=said):
            pairs.compare(make("a", range(7)), make("b", range(6), **change))


def test_predictions_are_the_programs_own(make):
    first, second = make("a", range(7)), make("b", range(6))
    path = second.with_name(sidecar.PREDICTIONS_NAME)
    path.write_bytes(first.with_name(sidecar.PREDICTIONS_NAME).read_bytes())
    with pytest.raises(errors.UserError, match="is not what program.sah predicted"):
        pairs.compare(first, second)
    path.unlink()
    with pytest.raises(errors.UserError, match="cannot be read"):
        pairs.compare(first, second)
    sidecar.path_for(second).unlink()
    with pytest.raises(errors.UserError, match="has no sidecar"):
        pairs.compare(first, second)
