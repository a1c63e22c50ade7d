"""The search replayed on finished rows: how short a third of a cell's settings gets.

    python benchmarks/search.py path/to/final-results-clean.jsonl

Nothing is trained: asked for a setting, the search is told what a run of it came to. For each main cell of
the paper's released rows, and for the first seed of docs/programs.jsonl, it prints, at 50, 75 and 90 % of the
cell's best selection score, the shortest length found over the shortest there is; scripts are not counted.
"""

import json
import math
import pathlib
import sys
from collections.abc import Sequence

from sah_jax.complexity import frontier, reported, search
from sah_jax.studies import rows as rows_lib

MODELS = ("smollm3-stage1", "olmo3-7b-step1414k", "olmo3-32b-step656k")


OURS = pathlib.Path(__file__).parents[1] / "docs" / "programs.jsonl"


def replay(rows: Sequence[frontier.Row]) -> tuple[int, int, list[float]]:
    """Returns how many settings there are, how many were asked for, and the ratios of lengths."""
    settings = {}
    for row in rows:
        setting = {name: value for name, value in row.strategy_hparams.items() if name != "bits"}
        key = json.dumps([row.experiment_name, setting], sort_keys=True)
        settings.setdefault(key, (search.Candidate(row.experiment_name, setting), row))
    candidates = [candidate for candidate, _ in settings.values()]
    row_of = {id(candidate): row for candidate, row in settings.values()}
    found, made = search.Search(candidates), []
    while len(made) < len(candidates) // 3:
        asked = found.ask()
        if not asked:
            break
        made.append(row_of[id(asked[0])])
        found.tell(asked[0], made[-1].bits, made[-1].selection_performance)
    best = max(row.selection_performance for row in row_of.values())

    def shortest(some, score):
        return min((max(row.bits, 1) for row in some if row.selection_performance >= score), default=math.inf)

    return len(candidates), len(made), [
        shortest(made, share * best) / shortest(row_of.values(), share * best) for share in search.SHARES]


def main() -> None:
    within = total = 0
    for (model, task), rows in frontier.group_cells(reported.read_rows(sys.argv[1])).items():
        if model in MODELS:
            settings, runs, ratios = replay(rows)
            print(f"{model:20} {task:12} {_told(settings, runs, ratios)}")
            within, total = within + sum(one <= 1.1 for one in ratios), total + len(ratios)
    print(f"{within} of {total} within 10 %")
    own = [row for row in rows_lib.read_rows(OURS) if row.seed == 0]
    print(f"{own[0].model_name:20} {own[0].dataset_name:12} {_told(*replay(own))}")


def _told(settings: int, runs: int, ratios: Sequence[float]) -> str:
    return f"{runs:3} of {settings:3}  {'  '.join(f'{one:.3f}' for one in ratios)}"


if __name__ == "__main__":
    main()
