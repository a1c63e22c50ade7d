"""e-SNLI: natural language inference with explanations."""

from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

from sah_jax import errors
from sah_jax.tasks.datasets import builder, checks, formats
from sah_jax.tasks.datasets.sources import Split
from sah_jax.tasks.datasets.upstream import File, Web

LABELS = ("entailment", "neutral", "contradiction")
"""The labels by number."""

_ADDRESS = "https://raw.githubusercontent.com/OanaMariaCamburu/e-SNLI/master/dataset"
_UNDECIDED = ("-", "", -1)
_OURS = {"premise": "Sentence1", "hypothesis": "Sentence2", "label": "gold_label"} | {
    f"explanation_{number}": f"Explanation_{number}" for number in (1, 2, 3)}


def _csv(*files: File) -> tuple[tuple[File, ...], Web]:
    """Returns the authors' CSV files as they may lie below a folder, and at their address."""
    local = tuple(File(f"esnli/{file.path}", file.sha256) for file in files)
    return local, Web(_ADDRESS, files)


_TRAIN, _TRAIN_WEB = _csv(
    File("esnli_train_1.csv", "7311c7bc16ad9f6a9adcd116a62ef991e1803dc0d71e253ce66b975c2aba8ee5"),
    File("esnli_train_2.csv", "c8827fa2ba1ef5891f077d6fafbfc2fdb6cab1271968b74257e08d3b2b3cbacc"))
_DEV, _DEV_WEB = _csv(
    File("esnli_dev.csv", "d7a656d196eea18fd827d6f5486b00f5d4cf469dbf13a252cc211495a186bcb4"))
_TEST, _TEST_WEB = _csv(
    File("esnli_test.csv", "9269aa8075dbfed0fa8a5012eb2ac9c18a92be139671f05df897f69092592927"))


class ESNLI(builder.Builder):
    """Premise and hypothesis, the label, and explanations: one in train, three in validation and test.

    From the authors' CSV files, whose SHA-256s are those that TFDS records for them, or JSONL with our
    names of the columns. Explanations that a row does not have are empty. Rows that annotators did not
    agree on (label "-") are left out here, so that the first N rows are N rows that can be used.
    """

    name = "esnli"
    VERSION = tfds.core.Version("1.0.0")
    HOMEPAGE = "https://github.com/OanaMariaCamburu/e-SNLI"
    CITATION = (
        "Camburu et al., e-SNLI: Natural Language Inference with Natural Language Explanations, "
        "NeurIPS 2018")
    LICENSE = "MIT; the text of SNLI CC-BY-SA 4.0"
    FEATURES = {
        name: tfds.features.ClassLabel(names=LABELS) if name == "label" else tfds.features.Text()
        for name in _OURS}
    SPLITS = {
        "train": Split(549_367, (_TRAIN, (File("esnli/train.jsonl.gz"),)), _TRAIN_WEB),
        "validation": Split(
            9_842,
            ((File(
                "esnli/valid.jsonl.gz",
                "2909717a3ce6d1bf8e540930e3a6da8c3f87090db8f8a586d941dda5293a3ab2"),),
             _DEV),
            _DEV_WEB),
        "test": Split(
            9_824,
            ((File(
                "esnli/test.jsonl.gz",
                "319856a4915f23add9e8b09fcdcd5e52d1a405fc8daf9bd4869985fb6468afa0"),),
             _TEST),
            _TEST_WEB),
    }

    def parse(self, record: formats.Record) -> dict[str, Any]:
        """See `Builder.parse`."""
        if "gold_label" in record.values:
            record = formats.Record(record.where, {
                ours: record.values[theirs] for ours, theirs in _OURS.items() if theirs in record.values})
        named = isinstance(record.values.get("label"), str)
        label = checks.field(record, "label", str if named else int)
        if label in _UNDECIDED:
            raise checks.Unlabelled(f"{record.where}: has no label that annotators agreed on.")
        if label not in LABELS and label not in range(len(LABELS)):
            raise errors.UserError(
                f"{record.where}: label is {label!r:.40}, expected one of {', '.join(LABELS)} or 0, 1, 2; "
                "correct the row.")
        row = {name: checks.text(record, name) for name in ("premise", "hypothesis", "explanation_1")}
        more = {name: checks.field(record, name, str) if name in record.values else ""
                for name in ("explanation_2", "explanation_3")}
        return {**row, **more, "label": LABELS.index(label) if named else label}

    def identity(self, record: formats.Record, row: Mapping[str, Any]) -> tuple[str, Any]:
        """The authors' files give each pair an identity; elsewhere no row is the same as another."""
        if "pairID" in record.values:
            return "pairID", record.values["pairID"]
        return "row", tuple(row.values())
