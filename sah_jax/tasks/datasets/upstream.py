"""Where a data set is published: on the hub at a commit, or on the web; and that what came is that.

A file is used only if its SHA-256 is the recorded one, where one is recorded.
"""

import contextlib
import dataclasses
import functools
import gzip
import hashlib
import http.client
import itertools
import pathlib
import shutil
import tarfile
import urllib.request
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from sah_jax import errors

_TIMEOUT_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class File:
    """A published file.

    Attributes:
      path: where it is in its repository, archive or site, and below a user's folder.
      sha256: of its bytes, in hex; empty where we know of none.
    """

    path: str
    sha256: str = ""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return pathlib.PurePosixPath(self.path).name


class Upstream(Protocol):
    """A published source of a split."""

    def fetch(self, folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
        """Returns the files of the split, verified. What is not cached elsewhere is put in `folder`.

        Raises:
          UserError: one cannot be had, or is another than was published.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Hub:
    """Files of a data set repository on the Hugging Face hub, at a commit."""

    repo: str
    revision: str
    files: tuple[File, ...]

    def fetch(self, folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
        """See `Upstream.fetch`; the files stay in the hub's own cache."""
        from sah_jax.models import hub  # Here, because it imports JAX.

        wanted = tuple(file.path for file in self.files)
        try:
            found = hub.download(self.repo, self.revision, wanted, kind="dataset")
        except errors.UserError as error:
            raise errors.UserError(f"{str(error).rstrip('.')}; or give its files with manual_dir.") from error
        return tuple(verify(found / file.path, file.sha256) for file in self.files)


@dataclasses.dataclass(frozen=True)
class Web:
    """Files below an address."""

    address: str
    files: tuple[File, ...]

    def fetch(self, folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
        """See `Upstream.fetch`."""
        return tuple(_download(f"{self.address}/{file.path}", file.sha256, folder) for file in self.files)


@dataclasses.dataclass(frozen=True)
class Archive:
    """Members of a tar archive at an address."""

    address: str
    sha256: str
    members: tuple[File, ...]

    def fetch(self, folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
        """See `Upstream.fetch`."""
        path, found = _download(self.address, self.sha256, folder), []
        try:
            with tarfile.open(path) as archive:
                for member in self.members:
                    found.append(folder / member.name)
                    with archive.extractfile(f"./{member.path}") as inside, open(found[-1], "wb") as out:
                        shutil.copyfileobj(inside, out)
        except (KeyError, EOFError, OSError, tarfile.TarError) as error:
            raise errors.UserError(
                f"{self.address}: {member.path} cannot be read from it ({error}), expected the archive as "
                "published; try again, or give its files with manual_dir.") from error
        return tuple(verify(one, member.sha256) for one, member in zip(found, self.members, strict=True))


@dataclasses.dataclass(frozen=True)
class Head:
    """The first lines of a gzipped text too large to fetch whole, so that no SHA-256 can be checked."""

    address: str
    lines: int

    def fetch(self, folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
        """See `Upstream.fetch`."""
        path = folder / pathlib.PurePosixPath(self.address).with_suffix(".tsv").name
        with _open(self.address) as response, gzip.open(response) as text, open(path, "wb") as out:
            out.writelines(itertools.islice(text, self.lines))
        return (path,)


@contextlib.contextmanager
def _open(address: str) -> Iterator[BinaryIO]:
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as response:
            yield response
    except (OSError, EOFError, zlib.error, http.client.HTTPException) as error:
        raise errors.UserError(
            f"{address}: cannot be downloaded ({error}); try again, or give its file with manual_dir."
        ) from error


def _download(address: str, expected: str, folder: pathlib.Path) -> pathlib.Path:
    path = folder / pathlib.PurePosixPath(address).name
    with _open(address) as response, open(path, "wb") as out:
        shutil.copyfileobj(response, out)
    return verify(path, expected, address)


def verify(path: pathlib.Path, expected: str, origin: str = "") -> pathlib.Path:
    """Returns the path.

    Args:
      path: a file that was downloaded.
      expected: its SHA-256 in hex; empty where it is not known.
      origin: what to call it in an error; default: the path.

    Raises:
      UserError: there is no such file, or its SHA-256 is another.
    """
    if not path.is_file():
        raise errors.UserError(f"{origin or path}: is not there, expected a file; give it with manual_dir.")
    got = sha256(path)
    if expected and got != expected:
        raise errors.UserError(
            f"{origin or path}: has the SHA-256 {got}, expected {expected}, that of the published file; "
            f"{'' if origin else 'delete it and '}try again, or give files of your own with manual_dir.")
    return path


def sha256(path: pathlib.Path) -> str:
    """Returns the SHA-256 of a file, in hex."""
    stat = path.stat()
    return _sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _sha256(path: pathlib.Path, size: int, changed: int) -> str:
    # Size and time are only there so that a file that changed is read again.
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
