"""What tells a task with its data from others of its name."""

import dataset_files
import pytest

from sah_jax import errors
from sah_jax.tasks import base, registry
from sah_jax.tasks.datasets import preparing

TOML = """train = "train.jsonl"
test = "test.jsonl"
prompt = "{q}"
answer = "{a}"
gold = "{a}"
extract = '.+'
max_new_tokens = 4
"""
PYTHON = """
from dataclasses import dataclass
from typing import ClassVar

from sah_jax.tasks.tabular import TabularTask


@dataclass(frozen=True)
class Mine(TabularTask):
    kind: ClassVar[str] = "mine"

    def rows(self, split):
        return [(split, 1), (split, 2)]

    def example(self, row, split):
        return None

    def score(self, examples, responses):
        return None
"""


def _digests(name):
    task = registry.get_task(name)
    registry._tasks_of.cache_clear()
    return [base.digest(task, splits) for splits in (("test",), ("train",), ("test", "selection"))]


def test_a_declared_task_is_its_file_and_its_items(tmp_path):
    files = {"task.toml": TOML, "train.jsonl": '{"q": "a", "a": "b"}\n',
             "test.jsonl": '{"q": "c", "a": "d"}\n'}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    path = str(tmp_path / "task.toml")
    test, train, both = _digests(path)
    assert len({test, train, both}) == 3 and _digests(path) == [test, train, both]
    (tmp_path / "train.jsonl").write_text('{"q": "a", "a": "e"}\n')
    assert [one == other for one, other in zip(_digests(path), (test, train, both), strict=True)] == [
        True, False, False]
    (tmp_path / "train.jsonl").write_text(files["train.jsonl"])
    (tmp_path / "task.toml").write_text(TOML.replace("'.+'", "'.'"))
    assert not set(_digests(path)) & {test, train, both}


def test_a_task_of_ones_own_in_python_is_its_file_too(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text(PYTHON)
    monkeypatch.setenv(registry.FILES, str(path))
    before = _digests("mine")
    assert set(registry.get_task("mine").data(("test",))) == {"test", "mine.py"}
    path.write_text(PYTHON.replace("return None", "return []"))
    assert not set(_digests("mine")) & set(before)


def test_stored_rows_are_their_files_and_say_whether_those_are_the_published_ones(tmp_path, monkeypatch):
    monkeypatch.setenv(preparing.DATA_DIR, str(tmp_path / "data"))
    monkeypatch.setenv(preparing.MANUAL_DIR, str(dataset_files.gsm8k(tmp_path / "one")))
    task = registry.get_task("gsm8k:train=gsm8k")
    (name,) = task.data(("test",))
    assert name.startswith("gsm8k/files_") and name.endswith("/test (not the published files)")
    before = _digests("gsm8k:train=gsm8k")
    changed = dataset_files.gsm8k(tmp_path / "two", train=dataset_files.GSM8K[1:3])
    monkeypatch.setenv(preparing.MANUAL_DIR, str(changed))
    assert not set(_digests("gsm8k:train=gsm8k")[1:]) & set(before[1:])


def test_generated_tasks_are_what_they_generate(monkeypatch):
    before = _digests("nano_translate")
    assert before == _digests("nano_translate") != _digests("nano_math")
    task = type(registry.get_task("nano_translate"))
    draw = task.draw
    monkeypatch.setattr(task, "draw", lambda *given: draw(*given) and draw(*given))
    assert not set(before) & set(_digests("nano_translate"))


def test_a_split_without_a_source_has_no_digest(tmp_path):
    (tmp_path / "task.toml").write_text(TOML)
    with pytest.raises(errors.UserError, match="test.jsonl"):
        _digests(str(tmp_path / "task.toml"))
