"""FLORES-200: professional translations, here English and French."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow_datasets as tfds

from sah_jax import errors
from sah_jax.tasks.datasets import builder, checks, formats
from sah_jax.tasks.datasets.sources import Split
from sah_jax.tasks.datasets.upstream import Archive, File

_ADDRESS = "https://dl.fbaipublicfiles.com/nllb/flores200_dataset.tar.gz"
_ARCHIVE_SHA256 = "b8b0b76783024b85797e5cc75064eb83fc5288b41e9654dabc7be6ae944011f6"
_SHA256 = {
    "eng_Latn.dev": "51a25f527fd81f428b6933d85a2f5e5544af92aa82042c7fbf0c4120327fba0a",
    "fra_Latn.dev": "7c1e1043b9d8cc6cb6fd4388ce068060f36518fd3597357a381cfdbe8ce5ab00",
    "eng_Latn.devtest": "612e9fbe87997617c0fa8fa8929654a4f49b728d96738112c2b86ef6a1d78d88",
    "fra_Latn.devtest": "82f5b000db419ef9254eea7857cce82943b361090942f17ed696e3dce2944f42",
}


def _split(name: str, rows: int) -> Split:
    files = lambda folder: tuple(
        File(f"{folder}/{language}.{name}", _SHA256[f"{language}.{name}"])
        for language in ("eng_Latn", "fra_Latn"))
    inside = files(f"flores200_dataset/{name}")
    return Split(rows, (files("translation/flores200"), inside), Archive(_ADDRESS, _ARCHIVE_SHA256, inside))


class Flores(builder.Builder):
    """Sentences of Wikimedia projects in English (en) and French (fr), as they stand in the files.

    The hub's facebook/flores is a script that downloads this archive. Its SHA-256 is the one that others
    publish; those of its members are of the files that we have.
    """

    VERSION = tfds.core.Version("1.0.0")
    HOMEPAGE = "https://huggingface.co/datasets/facebook/flores"
    CITATION = (
        "NLLB Team, No Language Left Behind: Scaling Human-Centered Machine Translation, 2022, "
        "arXiv:2207.04672")
    LICENSE = "CC-BY-SA 4.0"
    FEATURES = {"en": tfds.features.Text(), "fr": tfds.features.Text()}
    SPLITS = {"dev": _split("dev", 997), "devtest": _split("devtest", 1_012)}

    def records(self, paths: tuple[pathlib.Path, ...]) -> Iterator[formats.Record]:
        """Yields line n of the two files as one row."""
        self._pairs = checks.Pairs()
        readers = [formats.read(path) for path in paths]
        while True:
            lines = [next(reader, None) for reader in readers]
            if lines == [None, None]:
                return
            if None in lines:
                longer = next(line for line in lines if line)
                other = paths[lines.index(None)]
                raise errors.UserError(
                    f"{longer.where}: has no line beside it in {other}, expected files of equally many "
                    "lines; copy both again.")
            yield formats.Record(lines[1].where, {"en": lines[0].values, "fr": lines[1].values})

    def parse(self, record: formats.Record) -> dict[str, Any]:
        """See `Builder.parse`."""
        row = {name: checks.text(record, name) for name in self.FEATURES}
        self._pairs.check(record, row["en"], row["fr"])
        return row

    def identity(self, record: formats.Record, row: Mapping[str, Any]) -> tuple[str, Any]:
        """A sentence is translated once."""
        return "English sentence", row["en"]

    def finish(self, split: str, paths: tuple[pathlib.Path, ...]) -> None:
        """Checks the languages of the whole split."""
        self._pairs.finish(" with ".join(str(path) for path in paths))
