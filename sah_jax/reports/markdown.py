"""Tables in Markdown, and the places on a page that a command writes them to."""

import pathlib
import re
from collections.abc import Sequence

from sah_jax import errors


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Returns a table of a header and lines of as many cells."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *lines])


def fill(page: pathlib.Path, name: str, text: str) -> None:
    """Replaces what stands on a page between <!-- NAME: begin --> and <!-- NAME: end -->.

    Raises:
      UserError: the page has no such marks.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before = page.read_text(encoding="utf-8")
    block = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not block.search(before):
        raise errors.UserError(
            f"{page}: has no {begin} ... {end}, expected marks to write between; add them.")
    page.write_text(block.sub(lambda _: f"{begin}\n{text}\n{end}", before), encoding="utf-8")
