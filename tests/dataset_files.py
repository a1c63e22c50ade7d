"""Tiny files in the shapes of the data sets' sources, and the rows that they hold."""

import gzip
import json
import pathlib
from collections.abc import Sequence

GSM8K = [{"question": f"What is {number} + 1?", "answer": f"It is {number + 1}.\n#### {number + 1}"}
         for number in range(5)]
PAIRS = [
    {"en": "The cat that was here is gone.", "fr": "Le chat qui était là est parti."},
    {"en": "She has been to the sea.\u2028Twice.", "fr": "Elle est allée à la mer.\u2028Deux fois."},
    {"en": "Go.", "fr": "Va !"}]
NUM_WORDS = "length_constraints:number_words"
IFEVAL = {"key": 1000, "prompt": "Use no commas.", "instruction_id_list": ["punctuation:no_comma", NUM_WORDS],
          "kwargs": [{}, {"num_words": 300, "relation": None}]}
ESNLI = {"premise": "A dog runs.", "hypothesis": "An animal moves.", "label": 0,
         "explanation_1": "A dog is an animal.", "explanation_2": "Running is moving.",
         "explanation_3": "It does."}
CSV_HEADER = "pairID,gold_label,Sentence1,Sentence2,Explanation_1\n"


def write(path: pathlib.Path, text: str | bytes) -> pathlib.Path:
    """Writes a file, compressed where it is called .gz; returns its path."""
    data = text.encode() if isinstance(text, str) else text
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def jsonl(path: pathlib.Path, rows: Sequence) -> pathlib.Path:
    """Writes rows as JSON lines."""
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def lines(path: pathlib.Path, texts: Sequence[str]) -> pathlib.Path:
    """Writes one text a line."""
    return write(path, "".join(f"{text}\n" for text in texts))


def gsm8k(root: pathlib.Path, test: Sequence = GSM8K[3:], train: Sequence = GSM8K[:3]) -> pathlib.Path:
    """Writes the two files of GSM8K; returns the folder to give as manual_dir."""
    jsonl(root / "gsm8k" / "train.jsonl", train)
    jsonl(root / "gsm8k" / "test.jsonl", test)
    return root


def flores(root: pathlib.Path, english: Sequence[str], french: Sequence[str]) -> pathlib.Path:
    """Writes a dev split; returns the folder to give as manual_dir."""
    lines(root / "eng_Latn.dev", english)
    lines(root / "fra_Latn.dev", french)
    return root
