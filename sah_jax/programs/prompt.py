"""Programs that are a text before every prompt: how such a text is coded.

Shared by the families that differ in where the text comes from.
"""

import dataclasses

from sah_jax.coding import file, integers, tokens
from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib

# How the reader learns where the text ends: from the model's end token, coded with the
# text, or from a count before it. The writer takes the shorter file.
_ENDS = ("end_token", "count")


@dataclasses.dataclass(frozen=True)
class NoSetting:
    """A family without settings."""


class PromptFamily:
    """The coding half of a prompt family; θ is a list of tokens."""

    def write(self, theta, writer, base, report) -> family_lib.Adapted:
        """See `Family.write`."""
        trials = {end: file.ProgramWriter() for end in _ENDS}
        for end, trial in trials.items():
            _write_tokens(trial, theta, base, end)
        _write_tokens(writer, theta, base, min(_ENDS, key=lambda end: trials[end].ledger.ideal_bits))
        return family_lib.Adapted({}, tuple(theta))

    def read(self, reader, base, report) -> family_lib.Adapted:
        """See `Family.read`."""
        with reader.field("prompt end"):
            end = integers.read_choice(reader, _ENDS)
            capacity = family_lib.read_capacity(reader, base)
            limit = capacity
            if end == "count":
                limit = integers.read_count(reader, "prompt tokens", capacity)
        with reader.field("prompt"):
            rows = _rows(base, capacity, end)
            return family_lib.Adapted({}, tuple(tokens.read_rows(reader, rows, [limit])[0]))

    def accounts(self, setting, theta, base) -> family_lib.Accounts:
        """See `Family.accounts`: the reader runs the model over the prompt as it decodes it."""
        return family_lib.Accounts(decode_flops=family_lib.forward_flops(base, {}, len(theta) + 1))


def _rows(base: base_lib.BaseModel, capacity: int, end: str) -> tokens.Rows:
    end_token = base.spec.end_tokens[0] if end == "end_token" else tokens.NO_END
    return family_lib.language_rows(base, family_lib.Adapted({}), 1, capacity, end_token)


def _write_tokens(writer: file.ProgramWriter, theta: list[int], base: base_lib.BaseModel, end: str) -> None:
    with writer.field("prompt end"):
        integers.write_choice(writer, _ENDS, end)
        capacity = family_lib.write_capacity(writer, len(theta))
        if end == "count":
            integers.write_count(writer, len(theta))
    with writer.field("prompt"):
        limit = len(theta) if end == "count" else capacity
        tokens.write_rows(writer, _rows(base, capacity, end), [theta], [limit])
