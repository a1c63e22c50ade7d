"""MetaMathQA: rephrased and augmented questions of GSM8K and MATH with worked answers."""

from typing import Any

import tensorflow_datasets as tfds

from sah_jax.tasks.datasets import builder, checks, formats
from sah_jax.tasks.datasets.sources import Split
from sah_jax.tasks.datasets.upstream import File, Hub

_FILE = "MetaMathQA-395K.json"
_SHA256 = "fb39a5d8c05c042ece92eae37dfd5ea414a5979df2bf3ad3b86411bef8205725"


class MetaMathQA(builder.Builder):
    """Training questions with worked answers that end in "The answer is: ...".

    A question may come with several answers, so nothing is unique; original_question is what a question was
    made from, empty where a file does not say. The hub file's SHA-256 is the one
    that others publish for this revision; we could not download it ourselves.
    """

    name = "metamathqa"
    VERSION = tfds.core.Version("1.0.0")
    HOMEPAGE = "https://huggingface.co/datasets/meta-math/MetaMathQA"
    CITATION = (
        "Yu et al., MetaMath: Bootstrap Your Own Mathematical Questions for Large Language Models, 2023, "
        "arXiv:2309.12284")
    LICENSE = "MIT"
    FEATURES = {name: tfds.features.Text() for name in ("query", "response", "type", "original_question")}
    SPLITS = {
        "train": Split(
            395_000,
            ((File(f"metamath/{_FILE}", _SHA256),), (File("metamath/metamathqa_rows_transcribed.jsonl"),)),
            Hub("meta-math/MetaMathQA", "aa4f34d3d2d3231299b5b03d9b3e5a20da45aa18", (File(_FILE, _SHA256),))),
    }

    def parse(self, record: formats.Record) -> dict[str, Any]:
        """See `Builder.parse`."""
        row = {name: checks.text(record, name) for name in ("query", "response", "type")}
        told = record.values.get("original_question") is not None
        return {**row, "original_question": checks.field(record, "original_question", str) if told else ""}
