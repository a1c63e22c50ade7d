"""What reports share: the templates' environment, CSV, and files that appear all or not at all."""

import contextlib
import csv
import os
import pathlib
import tempfile
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO

import jinja2
import markupsafe

from sah_jax import errors
from sah_jax.reports import shading, style

_TEMPLATES = pathlib.Path(__file__).parent / "templates"

UNSEEN = ("Cc", "Cs")
"""The categories of control characters and halves of surrogate pairs."""


def environment() -> jinja2.Environment:
    """Returns the templates. Names and texts come from users, so every value is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    made.filters.update(
        score=style.format_score, size=style.format_bytes, thousands="{:,}".format,
        tenths="{:,.1f}".format, thousandths="{:,.3f}".format, percent="{:.1%}".format)
    made.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    made.globals.update(shade_colors=shading.COLORS, shade_labels=shading.LABELS)
    # Not shading.visible, which a token's spaces need: here control characters only.
    made.finalize = printable
    return made


def printable(value: Any) -> Any:
    """Returns a value with a sign for every control character and half of a surrogate pair."""
    if not isinstance(value, str) or isinstance(value, markupsafe.Markup):
        return value
    return "".join(
        character if character in "\n\t" or unicodedata.category(character) not in UNSEEN
        else sign(character) for character in value)


def sign(character: str) -> str:
    """Returns what stands for a character that cannot be shown."""
    return f"‹U+{ord(character):04X}›"


def csv_writer(stream: TextIO):
    """Returns a writer whose lines any reader takes apart as they were put together."""
    # Texts always in quotes: not every writer puts those with a lone carriage return in them.
    return csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def render(template: str, **values: Any) -> str:
    """Returns a page."""
    return environment().get_template(template).render(**values)


@contextlib.contextmanager
def staged(folder: pathlib.Path, what: str) -> Iterator[pathlib.Path]:
    """Yields an empty folder for files that then take their places in `folder` together.

    All files are made before the first of them takes its place, so a failure leaves what
    was there.

    Args:
      folder: where they go; made if it is not there.
      what: what is written, for the sentence of the error.

    Raises:
      UserError: they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Within the folder, because a rename is atomic only within one file system.
        with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as making:
            yield pathlib.Path(making)
            for path in sorted(pathlib.Path(making).iterdir()):
                os.replace(path, folder / path.name)
    except OSError as error:
        raise errors.UserError(
            f"{folder}: got {error.strerror or error} while writing {what}, expected a "
            "writable folder with free space; make room or choose another folder.") from error


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes UTF-8; what UTF-8 cannot hold, such as half of a surrogate pair, as an escape."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
