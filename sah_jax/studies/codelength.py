"""How many bits texts cost under a base model, with or without a program."""

import dataclasses
import itertools
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from sah_jax import errors, numerics
from sah_jax.coding import arithmetic, costs, ledger
from sah_jax.models import base as base_lib
from sah_jax.models import costs as model_costs
from sah_jax.models import sharding
from sah_jax.programs import base as family_lib
from sah_jax.programs import codec
from sah_jax.programs import texts as texts_lib
from sah_jax.studies import fresh, sidecar, verification, views
from sah_jax.tasks import base as task_lib
from sah_jax.tasks import registry as task_registry

_DEFAULT_EXAMPLES = 64
_ROWS = 8  # at a time by teacher forcing


@dataclasses.dataclass(frozen=True)
class TextCosts:
    """What each token of one text costs.

    Attributes:
      name: where the text comes from, such as "line 3".
      text: the text.
      pieces: the text of each token; the end of the text is the last token, and "".
      token_ids: the tokens.
      ideal_bits: float64 [n], -log2 of each token's probability.
      quantised_bits: float64 [n], -log2 of its integer frequency over 2**30.
    """

    name: str
    text: str
    pieces: tuple[str, ...]
    token_ids: tuple[int, ...]
    ideal_bits: np.ndarray
    quantised_bits: np.ndarray


@dataclasses.dataclass(frozen=True)
class Emitted:
    """A file that holds all texts.

    Attributes:
      bits: eight times its size.
      ideal_bits, quantised_bits: of its symbols, under the cached step that coded them.
      fields: where each of its bits went.
      verdict: whether a fresh process got the same tokens back; None if it was not tried.
    """

    bits: int
    ideal_bits: float
    quantised_bits: float
    fields: tuple[ledger.Entry, ...] = ()
    verdict: verification.Verdict | None = None


@dataclasses.dataclass(frozen=True)
class Codelength:
    """The costs of texts.

    Attributes:
      source: what was coded, as the user named it.
      model: the base model's name.
      base_digest: its digest.
      program: the program file's path, or "".
      adapted_digest: the digest of what it adapts the base to, or "".
      texts: one by one; costs by teacher forcing, all positions at once.
      emitted: the file, if one was made.
      profile: the numerics profile.
      inexact: how many texts the tokenizer does not give back byte for byte.
    """

    source: str
    model: str
    base_digest: str
    program: str
    adapted_digest: str
    texts: tuple[TextCosts, ...]
    emitted: Emitted | None
    profile: dict
    inexact: int = 0


def read_texts(source: str, field: str, num: int | None, seed: int) -> list[tuple[str, str]]:
    """Returns the names and texts of a source.

    Args:
      source: a text file (one text), a .jsonl file (a text a line), `-` for standard input (one
        text), or task:NAME[:SPLIT] for prompts with their answers (default: the train split).
      field: the key of a .jsonl line's text; keys joined by + are joined texts.
      num: at most so many texts; all if None (a task's: 64).
      seed: of a task's examples.

    Raises:
      UserError: the source cannot be read, or has no text.
    """
    kind, _, rest = source.partition(":")
    if kind == "task":
        # A task's options stand after a colon too.
        name, _, split = rest.rpartition(":")
        if split not in task_lib.SPLITS:
            name, split = rest, "train"
        examples = task_registry.get_task(name).examples(split, num or _DEFAULT_EXAMPLES, seed)
        found = [(f"{split} {i}", e.prompt + e.answer) for i, e in enumerate(examples)]
    else:
        content = _read(source)
        found = [(source, content)] if content else []
        if source.lower().endswith(".jsonl"):
            lines = [(i, line) for i, line in enumerate(content.split("\n"), start=1) if line.strip()]
            found = [(f"line {i}", _of_line(source, i, line, field)) for i, line in lines[:num]]
    if not found:
        raise errors.UserError(f"{source}: holds no text; give another source.")
    return found[:num]


def _read(source: str) -> str:
    try:
        data = sys.stdin.buffer.read() if source == "-" else pathlib.Path(source).read_bytes()
        return data.decode("utf-8-sig" if source.lower().endswith(".jsonl") else "utf-8")
    except OSError as error:
        raise errors.UserError(
            f"{source}: cannot be read ({error.strerror}), expected a text file, a .jsonl file, - or "
            "task:NAME[:SPLIT]; correct the source.") from error
    except UnicodeDecodeError as error:
        raise errors.UserError(
            f"{source}: has a byte at {error.start} that is not UTF-8, expected text; convert it.") from error


def _of_line(source: str, number: int, line: str, field: str) -> str:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise errors.UserError(
            f"{source}: line {number} is not JSON ({error}), expected an object a line; correct it."
        ) from error
    try:
        texts = [record[key] for key in field.split("+")]
    except (KeyError, TypeError) as error:
        raise errors.UserError(
            f"{source}: line {number} has no text {field!r} ({error!r}); set --field to the keys of the "
            "text, such as question+answer.") from error
    if not all(isinstance(text, str) for text in texts):
        raise errors.UserError(
            f"{source}: line {number} has no string {field!r}; set --field to another key.")
    text = "".join(texts)
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise errors.UserError(
            f"{source}: line {number} holds half a character (a lone surrogate), expected text; "
            "correct it.")
    return text


def measure(
    source: str, named_texts: Sequence[tuple[str, str]], base: base_lib.BaseModel,
    adapted: family_lib.Adapted, program: str = "", emitted: Emitted | None = None,
) -> Codelength:
    """Returns the costs of texts by teacher forcing, in the rows that a file of them has.

    Args:
      source: what the texts are called.
      named_texts: name and text of each.
      base: the base model.
      adapted: what the program adds to it, if there is one.
      program: the program file's path, or "".
      emitted: the file that the texts were coded into, if they were.

    Raises:
      UserError: a text cannot be coded under this model, or on its mesh.
    """
    sharding.check_codelength(base.decoder.mesh)
    encoded = [base.encode(text) for _, text in named_texts]
    limit = texts_lib.row_limit(base, adapted, encoded)
    rows = [(index, row) for index, tokens in enumerate(encoded) for row in texts_lib.split(tokens, limit)]
    ideal, quantised = [[] for _ in encoded], [[] for _ in encoded]
    # Alike lengths together, so that little is padding; few shapes are compiled.
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][1]))
    costs_of: dict[int, costs.Costs] = {}
    at_once = min(_ROWS, 1 << (len(rows) - 1).bit_length())
    for first in range(0, len(order), at_once):
        some = order[first : first + at_once]
        found = _row_costs(base, adapted, [rows[i][1] for i in some], limit, at_once)
        costs_of |= dict(zip(some, found, strict=True))
    for index, (text, _) in enumerate(rows):
        ideal[text].append(costs_of[index].ideal_bits)
        quantised[text].append(costs_of[index].quantised_bits)
    end = base.spec.end_tokens[0]
    return Codelength(
        source, base.name, base.digest, program, adapted.digest() if program else "",
        tuple(
            TextCosts(name, text, (*_pieces(base, text), ""), (*tokens, end), np.concatenate(i),
                      np.concatenate(q))
            for (name, text), tokens, i, q in zip(named_texts, encoded, ideal, quantised, strict=True)),
        emitted, base.profile(),
        sum(base.decode(tokens) != text for (_, text), tokens in zip(named_texts, encoded, strict=True)))


def _row_costs(
    base, adapted, rows: Sequence[Sequence[int]], limit: int, at_once: int
) -> list[costs.Costs]:
    """Returns the costs, float64, of the tokens of at most `at_once` rows, ends included."""
    known = [base.spec.start_token, *adapted.context]
    ended = [[*row, base.spec.end_tokens[0]][:limit] for row in rows]
    longest = min(arithmetic.bucket(max(map(len, ended))), limit)
    tokens_BL = np.zeros((at_once, len(known) + longest), np.int32)
    tokens_BL[:, : len(known)] = known
    for row, tokens in enumerate(ended):
        tokens_BL[row, len(known) : len(known) + len(tokens)] = tokens
    got = jax.device_get(model_costs.token_costs(base.decoder, adapted.variables(base), tokens_BL))
    got = jax.tree.map(lambda x: x[:, len(known) - 1 :].astype(np.float64), got)
    return [jax.tree.map(lambda x, row=row, tokens=tokens: x[row, : len(tokens)], got)
            for row, tokens in enumerate(ended)]


def _pieces(base: base_lib.BaseModel, text: str) -> list[str]:
    """Returns the part of a text that each of its tokens stands for; together they are the text."""
    ends = [end for _, end in base.tokenizer.encode(text, add_special_tokens=False).offsets]
    # What no token covers, such as a space that the tokenizer strips, goes to the next one, and
    # a character of several tokens to the first of them.
    ends = [*itertools.accumulate(ends[:-1], max), len(text)] if ends else []
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def emit(
    named_texts: Sequence[tuple[str, str]], base: base_lib.BaseModel, adapted: family_lib.Adapted,
    batch_size: int, report: family_lib.Report = codec.silent,
) -> tuple[texts_lib.Texts, Emitted]:
    """Codes texts into a file; returns it and what it cost, not verified.

    Raises:
      UserError: see `texts.write`.
    """
    written = texts_lib.write(
        [base.encode(text) for _, text in named_texts], base, adapted, batch_size, report)
    quantised, ideal = written.books.costs("texts")
    return written, Emitted(written.bits, ideal, quantised, written.ledger)


def record(
    written: texts_lib.Texts, base: base_lib.BaseModel, adapted: family_lib.Adapted
) -> dict[str, Any]:
    """Returns the sidecar of a file of texts, see `sidecar.read`."""
    return views.file_record(written, base) | {
        "family": sidecar.TEXTS, "tokens_digest": texts_lib.digest(written.texts),
        "adapted_digest": adapted.digest()}


def comes_back(
    data: bytes, named_texts: Sequence[tuple[str, str]], base: base_lib.BaseModel, program: str
) -> verification.Verdict:
    """Whether a fresh process, given base model, program and file, gets the same tokens back."""
    expected = texts_lib.digest([base.encode(text) for _, text in named_texts])
    profile = base.profile()
    given = ["--digest", f"--model={base.source}", f"--dtype={base.dtype}",
             *verification.placement_flags(profile)]
    given += [f"--program={pathlib.Path(program).resolve()}"] if program else []
    try:
        said = list(fresh.lines(
            "decode", sidecar.PROGRAM_NAME, {sidecar.PROGRAM_NAME: data}, given,
            numerics.environment_for(profile)))
    except errors.UserError as error:
        return verification.Verdict(False, str(error))
    same = "".join(said).strip() == expected
    return verification.Verdict(same, "" if same else "the tokens were others")
