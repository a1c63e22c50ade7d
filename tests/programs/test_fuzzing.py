"""A slice of the fuzzing that `tests/fuzzing.py` does by the hundred thousand."""

import fuzzing
import pytest

pytestmark = pytest.mark.long

FILES = 700  # half a minute


@pytest.fixture(scope="module")
def result():
    return fuzzing.run(FILES, seed=1)


def _total(result, outcome):
    return sum(count for name, count in result["outcomes"].items() if name.endswith(outcome))


def test_every_mutated_file_ends_in_a_program_or_a_clear_error(result):
    known = sum(_total(result, f" {outcome}") for outcome in ("same", "other", "refused"))
    assert known == FILES
    assert _total(result, " refused") > FILES / 2


def test_a_check_leaves_no_other_program(result):
    assert _total(result, "+ refused") > FILES / 4
    assert not _total(result, "in spite of a check")


def test_no_file_hangs_or_takes_much_memory(result):
    assert result["slowest_seconds"] < fuzzing.MOST_SECONDS
    assert result["most_bytes"] < fuzzing.MOST_BYTES
