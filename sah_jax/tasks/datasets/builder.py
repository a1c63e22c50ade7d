"""What the data sets share: a TFDS builder that reads, checks and counts the rows of each split.

A data set is a subclass with its tables (`FEATURES`, `SPLITS`) and `parse`, from a stored row to ours.
"""

import pathlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from sah_jax import errors
from sah_jax.tasks.datasets import checks, formats, sources, upstream

PREFIX = "sah_"
"""Keeps our data sets apart from TFDS's own of the same names in one data_dir."""

_REPORT_EVERY = 100_000


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the splits of a data set as array_record files, in the order of their source."""

    VERSION: ClassVar[tfds.core.Version]
    FEATURES: ClassVar[Mapping[str, Any]]
    SPLITS: ClassVar[Mapping[str, sources.Split]]
    HOMEPAGE: ClassVar[str]
    CITATION: ClassVar[str]
    LICENSE: ClassVar[str]

    def __init_subclass__(cls, **kwargs):
        # They are reached by `datasets.rows`, and read anywhere with `tfds.builder_from_directory`.
        super().__init_subclass__(skip_registration=True, **kwargs)
        cls.name = PREFIX + cls.name

    def __init__(
        self, inputs: sources.Inputs, data_dir: str, report: Callable[[str], None] = lambda line: None
    ):
        self._inputs, self._report = inputs, report
        self._origin = tfds.core.MetadataDict(files={}, left_out={})
        super().__init__(
            data_dir=data_dir, config=tfds.core.BuilderConfig(name=inputs.name), file_format="array_record")

    def parse(self, record: formats.Record) -> dict[str, Any]:
        """Returns a stored row as one of ours.

        Raises:
          UserError: it is malformed.
          Defect: it is empty, or otherwise not what it should be.
        """
        raise NotImplementedError

    def identity(self, record: formats.Record, row: Mapping[str, Any]) -> tuple[str, Hashable] | None:
        """Returns what a split has only once (its name and value), or None if there is no such thing."""
        return None

    def tolerates(self, record: formats.Record) -> bool:
        """Tells whether a defective row is left out of a file of the user's, too."""
        return False

    def records(self, paths: tuple[pathlib.Path, ...]) -> Iterator[formats.Record]:
        """Yields the stored rows of a split's files; by default one file after the other."""
        for path in paths:
            yield from formats.read(path)

    def finish(self, split: str, paths: tuple[pathlib.Path, ...]) -> None:
        """Called after the last row of a split; raises a `UserError` if they are wrong as a whole."""

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self, description=self.__doc__, features=tfds.features.FeaturesDict(dict(self.FEATURES)),
            homepage=self.HOMEPAGE, citation=self.CITATION, license=self.LICENSE, metadata=self._origin,
            disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterable]:
        files = dict(self._inputs.files)
        if self._inputs.name == sources.UPSTREAM:
            for split, source in self.SPLITS.items():
                if source.upstream is None:
                    raise errors.UserError(
                        f"{self.name.removeprefix(PREFIX)}: is published nowhere; give manual_dir, a folder "
                        f"with {' or '.join(names[0].path for names in source.local)}.")
                self._report(f"{split}: downloading")
                files[split] = source.upstream.fetch(pathlib.Path(dl_manager.download_dir))
        return {split: self._generate_examples(split, paths) for split, paths in files.items()}

    def _generate_examples(self, split: str, paths: tuple[pathlib.Path, ...]) -> Iterator[tuple[int, dict]]:
        digests = [upstream.sha256(path) for path in paths]
        self._origin["files"][split] = [
            {"name": path.name, "sha256": digest} for path, digest in zip(paths, digests, strict=True)]
        published = sources.are_published(self._inputs.name, digests, self.SPLITS)
        where = " with ".join(str(path) for path in paths)
        rows = self.SPLITS[split].rows
        note = "" if published or not rows else f", not the published file of {rows:,} rows"
        self._report(f"{split}: reading {where}{note}")
        unique, taken, left_out, first = checks.Unique(), 0, 0, None
        for record in self.records(paths):
            try:
                row = self.parse(record)
                unique.check(record, self.identity(record, row))
            except checks.Defect as defect:
                if not (published or isinstance(defect, checks.Unlabelled) or self.tolerates(record)):
                    raise
                left_out, first = left_out + 1, first or defect
                continue
            yield taken, row
            taken += 1
            if taken % _REPORT_EVERY == 0:
                self._report(f"{split}: {taken:,} rows")
        self.finish(split, paths)
        self._check_number(split, taken, left_out, where, published)
        self._origin["left_out"][split] = left_out
        if left_out:
            self._report(f"{split}: left {left_out:,} rows out, the first: {first}")

    def _check_number(self, split: str, taken: int, left_out: int, where: str, published: bool) -> None:
        expected = self.SPLITS[split].rows
        if taken == 0:
            raise errors.UserError(f"{where}: holds no rows, expected at least one; give another file.")
        if published and expected and taken + left_out != expected:
            raise errors.UserError(
                f"{where}: has {taken + left_out:,} rows, expected {expected:,} as published; delete it and "
                "get it again.")

    def _log_download_bytes(self) -> None:
        """Prints nothing; `report` says what happens."""

    def _log_download_done(self) -> None:
        """Prints nothing."""
