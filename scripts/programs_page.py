#!/usr/bin/env python3
"""Runs the study of all families and the ablations, and writes what docs/programs.md shows of them.

    scripts/programs_page.py out/programs            (over an hour on two cores; goes on where it was stopped)
    scripts/programs_page.py out/programs --norun    (of what is there)
"""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sah_jax.reports import markdown, repeats  # noqa: E402
from sah_jax.studies import rows as rows_lib  # noqa: E402

DOCS = ROOT / "docs"
PAGE = DOCS / "programs.md"
MOST_FIELDS = 4
ABLATIONS = ("rank", "modules", "layers", "quantiser", "rate", "order")
STUDIES = {"families": ROOT / "configs" / "programs.py"} | {
    name: ROOT / "configs" / "ablations" / f"{name}.py" for name in ABLATIONS}


def main() -> None:
    """Runs what is missing, and writes page, rows and figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workdir", type=pathlib.Path)
    parser.add_argument("--norun", action="store_true", help="write the page of what is there")
    given = parser.parse_args()
    found = {}
    for name, config in STUDIES.items():
        workdir = given.workdir / name
        if not given.norun:
            # Verified all together, in one fresh process: each alone would compile everything again.
            for command in (["study", f"--config={config}", f"--workdir={workdir}", "--phase=make"],
                            ["verify", str(workdir)]):
                subprocess.run([sys.executable, "-m", "sah_jax", *command], check=True)
        found[name] = rows_lib.read_rows(workdir / rows_lib.RESULTS_NAME)
        if wrong := [row.point for row in found[name] if not row.verified]:
            raise SystemExit(f"{workdir}: {wrong[0]} is not verified; run the study again.")
    lanes = given.workdir / "lanes.json"
    if not given.norun and not lanes.is_file():
        subprocess.run([sys.executable, ROOT / "benchmarks" / "lanes.py", f"--json={lanes}"], check=True)
    if lanes.is_file():
        markdown.fill(PAGE, "lanes", _lanes(json.loads(lanes.read_text())))
    # Ablations share points with each other.
    rows = {row.point: row for rows in found.values() for row in rows}
    rows_lib.write_rows(DOCS / "programs.jsonl", list(rows.values()))
    cells = repeats.group(found["families"])
    markdown.fill(PAGE, "families", repeats.table(cells))
    markdown.fill(PAGE, "equal scores", repeats.equal_scores(cells))
    markdown.fill(PAGE, "ledgers", _ledgers(given.workdir / "families", cells))
    for name in ABLATIONS:
        markdown.fill(PAGE, name, repeats.table(repeats.group(found[name]), short=True))
    repeats.draw_families(cells).savefig(DOCS / "programs_frontier.png", dpi=100)
    repeats.draw_ablations({name: repeats.group(found[name]) for name in ("rank", "layers")}).savefig(
        DOCS / "programs_ablations.png", dpi=100)


def _ledgers(workdir: pathlib.Path, cells: list[repeats.Cell]) -> str:
    """Returns where the bits of each setting's first program went, the largest fields first."""
    lines = []
    for cell in sorted(cells, key=lambda cell: cell.mean("bits")):
        row = cell.rows[0]
        entries = json.loads((workdir / row.program).with_suffix(".json").read_text())["ledger"]
        entries.sort(key=lambda entry: -entry["bits"])
        told = [f"{entry['field']} {entry['bits']:,}" for entry in entries[:MOST_FIELDS]]
        rest = sum(entry["bits"] for entry in entries[MOST_FIELDS:])
        lines.append([cell.label, f"{row.bits:,}", ", ".join(told + [f"others {rest:,}"] * (rest > 0))])
    return markdown.table(["program of the first seed", "bits", "of them"], lines)


def _lanes(figures: list[dict]) -> str:
    """Returns the figures of benchmarks/lanes.py as a table."""
    lines = []
    for one in figures:
        alone = one["peer_name"] == "one by one"
        lines.append([one["name"], one["unit"], f"{one['ours']:,.4g}", f"{one['peer']:,.4g}" if alone else "",
                      f"{one['ratio']:.2f}" if alone and one["ratio"] else ""])
    return markdown.table(["", "unit", "16 together", "one by one", "ratio"], lines)


if __name__ == "__main__":
    main()
