"""Options in a task's name: one grammar, one spelling, and mistakes named."""

import pytest

from sah_jax import errors
from sah_jax.tasks import registry


@pytest.mark.parametrize("name, spelled", [
    ("gsm8k", "gsm8k"),
    ("gsm8k:reference", "gsm8k:reference"),
    ("gsm8k:reference,train=gsm8k", "gsm8k:train=gsm8k,reference"),
    ("gsm8k:train=metamathqa", "gsm8k"),
    ("flores:train=dev", "flores:train=dev"),
    ("ifeval:punkt,reference", "ifeval:punkt,reference"),
    ("nano_math", "nano_math"),
])
def test_a_task_spells_its_name_one_way(name, spelled):
    task = registry.get_task(name)
    assert task.name == spelled
    assert type(registry.get_task(spelled)) is type(task) and registry.get_task(spelled).name == spelled


def test_options_are_what_was_said():
    task = registry.get_task("gsm8k:train=gsm8k,reference")
    assert (task.train, task.reference) == ("gsm8k", True)
    assert (registry.get_task("gsm8k").train, registry.get_task("gsm8k").reference) == ("metamathqa", False)


@pytest.mark.parametrize("name, message", [
    ("gsm8k:strict", "'strict' of task gsm8k, expected one of train=metamathqa|gsm8k, reference"),
    ("gsm8k:train=gsm9k", "'gsm9k' as option train of task gsm8k, expected one of metamathqa, gsm8k"),
    ("gsm8k:train", "'train' of task gsm8k, expected train=metamathqa|gsm8k once"),
    ("gsm8k:reference=1", "expected reference once"),
    ("gsm8k:reference,reference", "expected reference once"),
    ("gsm8k:reference,", "'' of task gsm8k"),
    ("nano_math:reference", "expected one of none"),
    ("gsm9k:reference", "'gsm9k:reference', expected one of esnli, flores, gsm8k, ifeval, nano_follow, "),
])
def test_mistakes_are_named(name, message):
    with pytest.raises(errors.UserError) as caught:
        registry.get_task(name)
    assert message in str(caught.value)


def test_files_of_ones_own_are_run_only_where_the_variable_names_them(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text("class Mine:\n    kind = name = 'mine'\n")
    with pytest.raises(errors.UserError, match="set SAH_TASKS to the Python file"):
        registry.get_task("mine")
    monkeypatch.setenv(registry.FILES, str(path))
    assert registry.get_task("mine").name == "mine" and registry.get_task("gsm8k").name == "gsm8k"
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.setenv(registry.FILES, f"{path}:{tmp_path / 'broken.py'}")
    with pytest.raises(errors.UserError, match="broken.py: cannot be run .ZeroDivisionError"):
        registry.get_task("mine")
