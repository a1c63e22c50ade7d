"""GSM8K: word problems of grade-school mathematics with worked answers."""

import re
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

from sah_jax import errors
from sah_jax.tasks.datasets import builder, checks, formats
from sah_jax.tasks.datasets.sources import Split
from sah_jax.tasks.datasets.upstream import File, Hub


def _split(name: str, rows: int, jsonl_sha256: str, parquet_sha256: str) -> Split:
    parquet = (File(f"main/{name}-00000-of-00001.parquet", parquet_sha256),)
    return Split(
        rows, ((File(f"gsm8k/{name}.jsonl", jsonl_sha256),), parquet),
        Hub("openai/gsm8k", "740312add88f781978c0658806c59bc2815b9866", parquet))


class Gsm8k(builder.Builder):
    """Word problems; an answer is worked in steps and ends in a line "#### NUMBER".

    Locally in the form of the authors' repository (JSONL), from the hub as Parquet. The hub files'
    SHA-256s are those that others publish for this revision; we could not download them ourselves.
    """

    VERSION = tfds.core.Version("1.0.0")
    HOMEPAGE = "https://huggingface.co/datasets/openai/gsm8k"
    CITATION = "Cobbe et al., Training Verifiers to Solve Math Word Problems, 2021, arXiv:2110.14168"
    LICENSE = "MIT"
    FEATURES = {"question": tfds.features.Text(), "answer": tfds.features.Text()}
    SPLITS = {
        "train": _split(
            "train", 7_473, "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
            "ea82612ea9582142387730c793eb67d3b12849002bc0b7fa6f8efafa7351419d"),
        "test": _split(
            "test", 1_319, "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
            "ee7b8da9e381df27b9e3f7758a159ab2bdaa4dbaa910546cbbc47e0cb44e4f59"),
    }

    def parse(self, record: formats.Record) -> dict[str, Any]:
        """See `Builder.parse`."""
        row = {name: checks.text(record, name) for name in self.FEATURES}
        if not re.search(r"####.*\d", row["answer"]):
            raise errors.UserError(
                f"{record.where}: has the answer {row['answer']!r:.60}, expected one that ends with #### and "
                "a number; correct the row.")
        return row

    def identity(self, record: formats.Record, row: Mapping[str, Any]) -> tuple[str, Any]:
        """A question is asked once."""
        return "question", row["question"]
