"""The parts of a program file in a view of its ledger: read and checked.

No set of parts is shown or written that does not sum to the file.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sah_jax import errors

_MOST_BITS = 1e15


class Part(NamedTuple):
    """One part of a file: a field, a tensor, a layer, an example or a token.

    Attributes:
      name: what it is.
      bits: its share of the file.
      ideal_bits: what an ideal coder would take.
      token_id, text: of a token, which one and what it spells; else None.
    """

    name: str
    bits: int
    ideal_bits: float
    token_id: int | None = None
    text: str | None = None


def parse(record: Any) -> Part:
    """Reads a part of a sidecar's view, or an entry of its ledger, whose name is its field.

    Raises:
      ValueError: it is neither.
    """
    match record:
        case {"bits": int(bits), "ideal_bits": int() | float() as ideal_bits}:
            name = record.get("name", record.get("field"))
            token_id, text = record.get("token_id"), record.get("text")
            # The comparison is false of NaN, too.
            numbers = bits >= 0 and abs(ideal_bits) <= _MOST_BITS and not isinstance(bits, bool)
            if numbers and isinstance(name, str) and isinstance(token_id, int | None) and (
                    isinstance(text, str | None)):
                return Part(name, bits, float(ideal_bits), token_id, text)
    raise ValueError(f"{record!r}, which has no name, bits and finite ideal bits")


def check_sum(parts: Sequence[Part], file_bits: int, by: str, where: object) -> None:
    """Raises UserError, which begins with where the parts come from, unless they sum to the file."""
    if (total := sum(part.bits for part in parts)) != file_bits:
        raise errors.UserError(
            f"{where}: got a ledger of {total} bits by {by}, expected the {file_bits} bits of the "
            "program file; restore the sidecar or run the point again.")
