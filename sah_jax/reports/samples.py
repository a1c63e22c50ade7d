"""The first test items with the model's responses, as sidecars keep them for people to look at."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sah_jax import errors
from sah_jax.studies import sidecar

KEY = sidecar.SAMPLES
"""Of a sidecar."""

PAGE_CHARACTERS = 2_000_000
"""So much of them a page holds in full, some megabytes; the rest is read in the sidecars."""


class Sample(NamedTuple):
    """A test item: what the model was given, what was expected, and what it wrote."""

    prompt: str
    answer: str
    response: str


def parse(record: Mapping[str, Any], where: object) -> list[Sample]:
    """Reads the samples of a sidecar; an older one has none.

    Raises:
      UserError: they are no samples; the sentence begins with where they come from.
    """
    found = record.get(KEY, [])
    if not isinstance(found, list) or not all(map(_is_sample, found)):
        raise errors.UserError(
            f"{where}: got the {KEY} {found!r:.80}, expected a list of objects with the texts "
            f"{', '.join(Sample._fields)}; run the point again.")
    return [Sample(*(sample[key] for key in Sample._fields)) for sample in found]


def select(samples: Mapping[int, Sequence[Sample]]) -> set[int]:
    """Returns the programs whose samples fit a page, in their order, until it is full."""
    left, chosen = PAGE_CHARACTERS, set()
    for program, own in samples.items():
        if (size := sum(len(text) for sample in own for text in sample)) <= left:
            left -= size
            chosen.add(program)
    return chosen


def _is_sample(record: Any) -> bool:
    return isinstance(record, Mapping) and all(isinstance(record.get(key), str) for key in Sample._fields)
