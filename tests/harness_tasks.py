"""Small tasks in lm-evaluation-harness's format, with their data, in a folder."""

import json
import pathlib
import random

_COMMON = """
task: {name}
dataset_path: json
dataset_kwargs:
  data_files: {{train: {folder}/train.jsonl, test: {folder}/test.jsonl}}
training_split: train
test_split: test
"""

_TASKS = {
    # Two filters, of which the second finds what the first does not.
    "sums": """
output_type: generate_until
doc_to_text: "What is {{a}} + {{b}}?\\n="
doc_to_target: "{{a + b}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 12, do_sample: false}
filter_list:
  - name: strict
    filter: [{function: regex, regex_pattern: "^ (\\\\d+)"}, {function: take_first}]
  - name: any
    filter: [{function: regex, regex_pattern: "(\\\\d+)"}, {function: take_first}]
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
""",
    # Choices of different lengths, so that one is chosen by all its nats or by those of a character.
    "choice": """
output_type: multiple_choice
description: "Sums.\\n"
doc_to_text: "{{a}} + {{b}} ="
doc_to_choice: "{{[(a + b + 1)|string, (a + b)|string, (a + b)|string + ' or so, I think']}}"
doc_to_target: 1
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
""",
    # The choice stands in the prompt, as in winogrande.
    "blank": """
output_type: multiple_choice
doc_to_text: 1
doc_to_choice: "{{[a|string + ' is more than ' + b|string, b|string + ' is more than ' + a|string]}}"
doc_to_target: "by far."
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    # Worse is first, and the better one is of the whole corpus.
    "corpus": """
output_type: generate_until
doc_to_text: "{{a}} and {{b}}, turned round:"
doc_to_target: "{{b}} and {{a}} and then {{b}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8}
metric_list:
  - {metric: ter, aggregation: ter, higher_is_better: false}
  - {metric: bleu, aggregation: bleu, higher_is_better: true}
""",
}


def write(folder: pathlib.Path, **also: str) -> pathlib.Path:
    """Writes the tasks, and others (name to the rest of its YAML); returns the folder."""
    rng = random.Random(0)
    for split, num in (("train", 90), ("test", 12)):
        pairs = [(rng.randrange(10), rng.randrange(10, 90)) for _ in range(num)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps({"a": a, "b": b}) + "\n" for a, b in pairs))
    for name, text in {**_TASKS, **also}.items():
        # Where a key is said twice, the last one holds.
        (folder / f"{name}.yaml").write_text(_COMMON.format(name=name, folder=folder) + text)
    return folder
