"""IFEval: prompts with instructions that a program can verify, and answers to train on."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from sah_jax import errors
from sah_jax.tasks import instructions
from sah_jax.tasks.datasets import builder, checks, formats
from sah_jax.tasks.datasets.sources import Split
from sah_jax.tasks.datasets.upstream import File, Hub


class IFEval(builder.Builder):
    """The test prompts: a key, the instructions in them, and each instruction's arguments as JSON text.

    The hub's file has the same size as Google's but differs from it in its bytes; its SHA-256 is the
    one that others publish for this revision, and we could not download it ourselves.
    """

    name = "ifeval"
    VERSION = tfds.core.Version("1.0.0")
    HOMEPAGE = "https://huggingface.co/datasets/google/IFEval"
    CITATION = (
        "Zhou et al., Instruction-Following Evaluation for Large Language Models, 2023, arXiv:2311.07911")
    LICENSE = "CC-BY 4.0"
    FEATURES = {
        "key": tfds.features.Scalar(np.int64),
        "prompt": tfds.features.Text(),
        "instruction_id_list": tfds.features.Sequence(tfds.features.Text()),
        "kwargs": tfds.features.Text(doc="JSON: a list of objects, one an instruction."),
    }
    SPLITS = {
        "test": Split(
            541,
            ((File(
                "ifeval/input_data.jsonl",
                "67ffeee0fcb87c317c5b08a2de85557b4a7e96ada6178aa645b4954fe4b53d49"),),
             (File("ifeval/ifeval_input_data.jsonl"),)),
            Hub("google/IFEval", "966cd89545d6b6acfd7638bc708b98261ca58e84", (File(
                "ifeval_input_data.jsonl",
                "6a85310ca8ce15eff755aa08a3a4ff931c7e273e7515ebb3c492ea85fd8288f2"),))),
    }

    def parse(self, record: formats.Record) -> dict[str, Any]:
        """See `Builder.parse`."""
        return {
            "key": checks.field(record, "key", int), "prompt": checks.text(record, "prompt"),
            **_instructions(record)}

    def identity(self, record: formats.Record, row: Mapping[str, Any]) -> tuple[str, Any]:
        """A key is given once."""
        return "key", row["key"]


def _instructions(record: formats.Record) -> dict[str, Any]:
    """Returns the instructions of a stored row and their arguments."""
    names = checks.field(record, "instruction_id_list", list)
    arguments = checks.field(record, "kwargs", list)
    if problem := instructions.problem(names, arguments):
        raise errors.UserError(f"{record.where}: {problem}; correct the row.")
    return {"instruction_id_list": names, "kwargs": json.dumps(arguments, ensure_ascii=False)}


class IFEvalTrain(builder.Builder):
    """Training conversations of two turns, user and assistant, as the rejection sampler writes them.

    Where a row says which instructions are in it, as a row of the test does, it can be held out and
    scored by them.

    Published nowhere: the reference's file is not released. A turn is a text, or an object with its
    text in "content".
    """

    name = "ifeval_train"
    VERSION = tfds.core.Version("1.0.0")
    HOMEPAGE = "https://huggingface.co/datasets/allenai/RLVR-IFeval"
    CITATION = (
        "Lambert et al., Tulu 3: Pushing Frontiers in Open Language Model Post-Training, 2024, "
        "arXiv:2411.15124")
    LICENSE = "that of the prompts (ODC-BY 1.0 for RLVR-IFeval) and of the model that answered"
    FEATURES = {
        "conversations": tfds.features.Sequence(tfds.features.Text(), length=2),
        **{name: IFEval.FEATURES[name] for name in ("instruction_id_list", "kwargs")},
    }
    SPLITS = {
        "train": Split(0, (
            (File("ifeval/ifeval_train.jsonl"),),
            (File("ifeval/correct_ifeval_examples_extended_32_clean.jsonl"),))),
    }

    def parse(self, record: formats.Record) -> dict[str, Any]:
        """See `Builder.parse`."""
        turns = [turn.get("content") if isinstance(turn, dict) else turn
                 for turn in checks.field(record, "conversations", list)]
        if len(turns) != 2 or not all(isinstance(turn, str) for turn in turns):
            raise errors.UserError(
                f"{record.where}: got {len(turns)} turns in conversations, expected two texts, of user and "
                "assistant; correct the row.")
        named = formats.Record(record.where, dict(zip(("the user's turn", "the answer"), turns, strict=True)))
        told = {"instruction_id_list": [], "kwargs": "[]"}
        if "instruction_id_list" in record.values:
            told = _instructions(record)
        return {"conversations": [checks.text(named, name) for name in named.values], **told}

    def identity(self, record: formats.Record, row: Mapping[str, Any]) -> tuple[str, Any]:
        """Exact repeats are left out by the sampler."""
        return "conversation", tuple(row["conversations"])
