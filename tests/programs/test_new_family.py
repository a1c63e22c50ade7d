"""docs/new_family.md, followed to the letter on a copy of the package."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).parents[2]


def test_the_page_can_be_followed(tmp_path):
    page = (ROOT / "docs" / "new_family.md").read_text()
    shutil.copytree(ROOT / "sah_jax", tmp_path / "sah_jax", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "configs").mkdir()
    for before, language, block in re.findall(r"(.*?)```(\w+)\n(.*?)```", page, re.DOTALL):
        if language == "python":
            # A block is the file that was named last before it.
            name = re.findall(r"`([\w/]+\.py)`", before)[-1]
            (tmp_path / name).write_text(block)
        elif language == "registry":
            module, line = block.split(".")[0], block.strip()
            path = tmp_path / re.findall(r"`([\w/]+\.py)`", before)[-1]
            text = path.read_text().replace("import (\n", f"import (\n    {module},\n", 1)
            listed = re.search(r"_FAMILIES: .*?= \((.*?)\)\n\n", text, re.DOTALL)
            path.write_text(f"{text[: listed.end(1)]},\n    {line}{text[listed.end(1) :]}")
        else:
            command = block.strip().removeprefix("sah ").split()
    family = (tmp_path / "sah_jax" / "programs" / "ia3.py").read_text().splitlines()
    assert len(family) < 40
    done = subprocess.run(
        [sys.executable, "-m", "sah_jax", *command, "--noreport"], cwd=tmp_path, capture_output=True,
        text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}, check=False)
    assert done.returncode == 0, done.stderr
    results = (tmp_path / "out" / "ia3" / "results.jsonl").read_text()
    rows = [json.loads(line) for line in results.splitlines()]
    assert len(rows) == 2 and all(row["verified"] and row["portable"] for row in rows)
    assert {row["experiment_name"] for row in rows} == {"ia3"}
    assert all((tmp_path / "out" / "ia3" / row["program"]).stat().st_size * 8 == row["bits"] for row in rows)
