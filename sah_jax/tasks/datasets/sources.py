"""What a data set is made from: its published files, or those in a folder of the user's."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Mapping

from sah_jax import errors
from sah_jax.tasks.datasets.upstream import File, sha256, Upstream

UPSTREAM = "upstream"
"""What a data set made from its published source is called in data_dir; others name their files."""


@dataclasses.dataclass(frozen=True)
class Split:
    """A split of a data set.

    Attributes:
      rows: how many the published split has; 0 where there is no published number.
      local: what it may be called below a user's folder; the first that is there whole is taken.
      upstream: where it is published; None where it is not.
    """

    rows: int
    local: tuple[tuple[File, ...], ...]
    upstream: Upstream | None = None


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a data set is made from.

    Attributes:
      name: `UPSTREAM`, or a name that changes with the bytes of the files.
      files: the user's files by split; none where the published source is fetched.
    """

    name: str
    files: Mapping[str, tuple[pathlib.Path, ...]]


def find(manual_dir: str | pathlib.Path, splits: Mapping[str, Split]) -> Inputs:
    """Returns the files of the splits that a user's folder holds.

    A file `gsm8k/test.jsonl` is looked for there and, so that either folder may be given, as
    `test.jsonl`.

    Raises:
      UserError: there is no such folder, no split is in it, or one lacks a file.
    """
    root = pathlib.Path(manual_dir).expanduser()
    if not root.is_dir():
        raise errors.UserError(f"manual_dir is {root}, expected a folder with the files; correct it.")
    found = {}
    for name, split in splits.items():
        looked = [[_at(root, file) for file in files] for files in split.local]
        whole = next((at for at in looked if all(at)), None)
        part = next(((files, at) for files, at in zip(split.local, looked, strict=True) if any(at)), None)
        if whole:
            found[name] = tuple(whole)
        elif part:
            missing = next(file for file, path in zip(*part, strict=True) if not path)
            raise errors.UserError(
                f"{root / missing.path}: is missing, expected it beside {next(filter(None, part[1])).name}; "
                f"copy it there.")
    if not found:
        published = any(split.upstream for split in splits.values())
        names = "; ".join(sorted(" with ".join(file.path for file in files)
                                 for split in splits.values() for files in split.local))
        raise errors.UserError(
            f"{root}: holds none of the data set's files, expected at least one of {names}; put one there"
            f"{', or leave manual_dir out to download' if published else ''}.")
    text = "".join(
        f"{name} {sha256(path)}\n" for name, paths in sorted(found.items()) for path in paths)
    return Inputs(f"files_{hashlib.sha256(text.encode()).hexdigest()[:16]}", found)


def _at(root: pathlib.Path, file: File) -> pathlib.Path | None:
    return next((path for path in (root / file.path, root / file.name) if path.is_file()), None)


def are_published(origin: str, digests: Iterable[str], splits: Mapping[str, Split]) -> bool:
    """Tells whether files are the published ones: by where they are from, or by their SHA-256s."""
    return origin == UPSTREAM or set(digests) <= known(splits)


def known(splits: Mapping[str, Split]) -> frozenset[str]:
    """Returns the SHA-256s of the local files that are as they were published."""
    files = (file for split in splits.values() for names in split.local for file in names)
    return frozenset(file.sha256 for file in files) - {""}
