"""Every picture of docs/paper, and of the page, is made by `scripts/docs_pictures.py` and shown by a text."""

import importlib.util
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("docs_pictures", ROOT / "scripts" / "docs_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_makes_every_picture_that_is_there(script):
    assert {path.stem for path in DOCS.glob("paper/*.png")} == set(script.PAPER)
    assert {path.stem for path in DOCS.glob("report_*.png")} == set(script.PAGE)


def test_every_picture_is_shown_and_its_command_is_told(script):
    paper, studies = ((DOCS / name).read_text() for name in ("paper/README.md", "studies.md"))
    assert set(re.findall(r"\((\w+)\.png\)", paper)) == set(script.PAPER)
    assert set(script.PAGE) <= set(re.findall(r"\((\w+)\.png\)", studies))
    assert all("scripts/docs_pictures.py" in text for text in (paper, studies))
