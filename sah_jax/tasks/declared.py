"""A task that a small TOML file declares: JSON lines of items, a template, and a regular expression.

`docs/new_task.md` shows one. The task's name is the file's path.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sah_jax.errors import UserError
from sah_jax.tasks.base import check_paired, cut_at_stop, digest_of, Example, source_of
from sah_jax.tasks.datasets import formats
from sah_jax.tasks.scores import Score
from sah_jax.tasks.tabular import Row, TabularTask

SUFFIX = ".toml"
SOURCES = ("train", "test")

_WHERE = "file and line"


@dataclass(frozen=True)
class DeclaredTask(TabularTask):
    """A task scored by exact match of what a regular expression finds.

    Attributes:
        path: The file that declares it.
        train, test: Files of items beside that file: JSON lines, or what else `formats` reads.
        prompt, answer, gold: Templates; {field} stands for a field of an item.
        extract_by: A response's answer is what the expression's group finds first, or all it finds.
        stop, max_new_tokens, demonstration_separator, written_prompt: See `Task`.
    """

    path: str
    train: str
    test: str
    prompt: str
    answer: str
    gold: str
    extract_by: str
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    demonstration_separator: str = "\n\n"
    written_prompt: str = ""

    @property
    def name(self) -> str:
        """See `Task.name`."""
        return self.path

    def rows(self, split: str) -> Sequence[Row]:
        """See `TabularTask.rows`."""
        path = pathlib.Path(self.path).parent / self._file(split)
        return [{"fields": record.values, _WHERE: record.where} for record in formats.read(path)]

    def data(self, splits: Iterable[str]) -> dict[str, str]:
        """See `Task.data`."""
        sources = sorted(set(map(source_of, splits)))
        rows = {self._file(one): digest_of(row["fields"] for row in self.rows(one)) for one in sources}
        return rows | {pathlib.Path(self.path).name: digest_of(
            [value for name, value in dataclasses.asdict(self).items() if name not in ("path", *SOURCES)])}

    def _file(self, source: str) -> str:
        return self.train if source == "train" else self.test

    def about(self, row: Row) -> str:
        """Returns the prompt."""
        return self._filled("prompt", row)

    def example(self, row: Row, split: str) -> Example:
        """See `TabularTask.example`."""
        prompt, answer, gold = (self._filled(name, row) for name in ("prompt", "answer", "gold"))
        if not gold.strip() or self.extract(answer) != gold.strip():
            raise UserError(
                f"{row[_WHERE]}: has the gold {gold!r}, and the answer {answer!r} gives "
                f"{self.extract(answer)!r}, expected the same, or no response could be right; correct the "
                f"item or {self.path}."
            )
        return Example(prompt, answer, gold.strip())

    def extract(self, response: str) -> str:
        """See `Task.extract`."""
        found = re.search(self.extract_by, cut_at_stop(response, self.stop))
        return (found.group(found.re.groups and 1) or "").strip() if found else ""

    def score(self, examples: Sequence[Example], responses: Sequence[str]) -> Score:
        """Scores 1 for each response whose answer is the gold one, else 0."""
        check_paired(examples, responses)
        return Score.of(
            self.extract(response) == example.gold
            for example, response in zip(examples, responses, strict=True)
        )

    def _filled(self, name: str, row: Row) -> str:
        try:
            said = {field: value for field, value in row["fields"].items() if value is not None}
            return getattr(self, name).format_map(said)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError, MemoryError) as error:
            raise UserError(
                f"{row[_WHERE]}: does not fill the {name} of {self.path} ({error!r}), expected an object "
                "with the fields that stand in braces there; correct one of the two."
            ) from error


def read(path: str) -> DeclaredTask:
    """Reads a task's file.

    Raises:
        UserError: If it cannot be read, or a key is missing, unknown, or not what it should be.
    """
    try:
        given = tomllib.loads(_text(pathlib.Path(path)))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: is not TOML ({error}); correct it.") from error
    fields = {field.name.removesuffix("_by"): field for field in dataclasses.fields(DeclaredTask)[1:]}
    required = {key for key, field in fields.items() if field.default is dataclasses.MISSING}
    if wrong := sorted((required - set(given)) | (set(given) - set(fields))):
        raise UserError(
            f"{path}: the key {wrong[0]!r} is {'unknown' if wrong[0] in given else 'missing'}, expected "
            f"{', '.join(fields)}; correct it."
        )
    return DeclaredTask(path, **{
        fields[key].name: _checked(path, key, value, fields[key].type) for key, value in given.items()})


def _checked(path: str, key: str, value: Any, kind: str) -> Any:
    texts = isinstance(value, list) and all(isinstance(one, str) and one for one in value)
    if kind.startswith("tuple") and texts:
        return tuple(value)
    if type(value).__name__ != kind or kind == "int" and value < 1:
        raise UserError(f"{path}: the key {key!r} is {value!r}, expected {_KINDS[kind]}; correct it.")
    if key == "extract":
        try:
            re.compile(value)
        except re.error as error:
            raise UserError(
                f"{path}: the key 'extract' is no regular expression ({error}); correct it."
            ) from error
    return value


_KINDS: Mapping[str, str] = {
    "str": "a text", "int": "a whole number above 0", "tuple[str, ...]": "a list of texts, none empty"}


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); correct the path.") from error
