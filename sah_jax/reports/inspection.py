"""What `sah inspect` shows: the parts of a program in a view, as a table, JSON or CSV."""

import io
import json
import pathlib
import sys
from collections.abc import Sequence

import rich.console

from sah_jax import errors
from sah_jax.reports import pages, parts, tables
from sah_jax.studies import sidecar


def from_sidecar(program: pathlib.Path, by: str) -> list[parts.Part]:
    """Returns the parts of a program in a view that its sidecar holds.

    Raises:
      UserError: there is no sidecar, it is damaged, or it does not hold the view.
    """
    record = sidecar.read(program)
    if record is None:
        raise errors.UserError(f"{program}: has no sidecar; give --model to decode it.")
    views = {"field": record["ledger"], **record.get("views", {})}
    if by not in views:
        raise errors.UserError(
            f"{program}: its sidecar has no view by {by}, expected one of {', '.join(views)}; "
            "give --model to make it from the file.")
    try:
        found = list(map(parts.parse, views[by]))
    except ValueError as error:
        raise errors.UserError(
            f"{sidecar.path_for(program)}: got {error}, expected a view of a ledger; "
            "run the point again.") from error
    parts.check_sum(found, 8 * len(sidecar.read_program(program)), by, program)
    return found


def from_program(decoded, by: str, base, program: pathlib.Path) -> list[parts.Part]:
    """Returns the parts of a program that was decoded with its base model, in any view."""
    # Not at the top: this starts JAX, and a program's numerics profile is set before that.
    from sah_jax.studies import views

    if by not in ("field", *decoded.books.views):
        print(f"{program}: no part of it has a place by {by}; these are its fields.", file=sys.stderr)
    found = list(map(parts.parse, views.parts(decoded, by, base)))
    parts.check_sum(found, decoded.bits, by, program)
    return found


def written(found: Sequence[parts.Part], program: pathlib.Path, by: str) -> dict[str, str]:
    """Returns a view as JSON and as CSV."""
    return {"json": _json(found, program, by), "csv": _csv(found)}


def _json(found: Sequence[parts.Part], program: pathlib.Path, by: str) -> str:
    """One object; a token has its id and text besides."""
    return json.dumps({
        "program": str(program), "bits": sum(part.bits for part in found), "by": by,
        "parts": [{key: value for key, value in part._asdict().items() if value is not None}
                  for part in found]}, indent=1, allow_nan=False) + "\n"


def _csv(found: Sequence[parts.Part]) -> str:
    """A line a part; what is no token has empty cells at the end."""
    stream = io.StringIO()
    writer = pages.csv_writer(stream)
    writer.writerows([parts.Part._fields, *found])
    return stream.getvalue()


def print_parts(found: Sequence[parts.Part], by: str, console: rich.console.Console) -> None:
    """Prints where each bit of a program file went, in one view of its ledger."""
    tokens = any(part.text is not None for part in found)
    title = "Where the bits went" if by == "field" else f"Where the bits went, by {by}"
    table = tables.new_table(
        title, "Field" if by == "field" else "Part", ">Bits", ">Ideal bits", ">Share",
        *(["Text"] if tokens else []))
    file_bits, ideal = sum(part.bits for part in found), sum(part.ideal_bits for part in found)
    for part in found:
        # As Python would write it: spaces and line breaks are seen, escape sequences are not obeyed.
        text = "" if part.text is None else repr(part.text)
        tables.add_row(
            table, part.name, f"{part.bits:,}", f"{part.ideal_bits:,.1f}",
            f"{part.bits / max(file_bits, 1):.1%}", *([text] if tokens else []), dim=part.bits == 0)
    table.add_section()
    tables.add_row(table, "file", f"{file_bits:,}", f"{ideal:,.1f}")
    console.print(table)
