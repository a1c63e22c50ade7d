"""What sidecars and `sah inspect` say of a file: the views of its ledger, with the text of tokens."""

from typing import Any

from sah_jax.models import base as base_lib
from sah_jax.programs import codec
from sah_jax.studies import sidecar


def file_record(written: codec.CodedFile, base: base_lib.BaseModel) -> dict[str, Any]:
    """Returns what every sidecar says of its file, see `sidecar.read`."""
    return {
        "bits": written.bits,
        "ideal_bits": written.ideal_bits,
        "program_sha256": sidecar.file_digest(written.data),
        "ledger": [entry._asdict() for entry in written.ledger],
        "views": records(written, base),
        "base": {"name": base.name, "source": base.source, "digest": base.digest, "dtype": base.dtype,
                 "num_params": base.spec.num_params},
        "profile": base.profile(),
    }


def records(program: codec.CodedFile, base: base_lib.BaseModel) -> dict[str, list[dict[str, Any]]]:
    """Returns the views that tell more than the fields do and are short enough for a sidecar."""
    views = {by: parts(program, by, base) for by in program.books.views}
    return {by: found for by, found in views.items() if len(found) <= sidecar.MAX_VIEW_PARTS}


def parts(program: codec.CodedFile, by: str, base: base_lib.BaseModel) -> list[dict[str, Any]]:
    """Returns the parts of a file in a view: name, bits, ideal bits and, of tokens, id and text."""
    text_of = _Texts(base)
    found = []
    for part in program.view(by):
        record = {"name": part.name, "bits": part.bits, "ideal_bits": part.ideal_bits}
        if part.token_id is not None:
            record |= {"token_id": part.token_id, "text": text_of[part.token_id]}
        found.append(record)
    return found


class _Texts(dict):
    """The text of a token, by its id; made when it is asked for.

    A token is decoded after a letter, because tokenizers of the SentencePiece kind leave the
    space before the first token of a text out. A part of a character is U+FFFD.
    """

    def __init__(self, base: base_lib.BaseModel):
        super().__init__()
        self._base, self._letter = base, base.encode("a")
        self._skip = len(base.decode(self._letter))

    def __missing__(self, token_id: int) -> str:
        self[token_id] = self._base.decode([*self._letter, token_id])[self._skip :]
        return self[token_id]
