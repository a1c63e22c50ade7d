"""docs/new_task.md, followed to the letter: its files are written and its commands run."""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def test_the_page_can_be_followed(tmp_path):
    page = (ROOT / "docs" / "new_task.md").read_text()
    assert len(page.splitlines()) < 100
    (tmp_path / "bin").mkdir()
    sah = tmp_path / "bin" / "sah"
    sah.write_text(f'#!/bin/sh\nexec {sys.executable} -m sah_jax "$@"\n')
    sah.chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{sah.parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    said, before = [], ""
    for before, language, block in re.findall(r"(.*?)```(\w+)\n(.*?)```", page, re.DOTALL):
        if language == "bash":
            said.append(subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, env=environment, check=True,
                capture_output=True, text=True).stdout)
        else:
            # A block is the file that was named last before it.
            name = re.findall(r"`(\w+\.(?:jsonl|toml|py))`", before)[-1]
            (tmp_path / name).write_text(block)
    strict, lenient = said
    assert "capitals.toml: 2 test items scored" in strict and "exact_match" in strict
    assert "0.5000 ± 0.5000  over 2" in strict and "0.5000 ± 0.5000  over 2" in lenient
    assert "capitals:lenient: 2" in lenient
