"""A data set is in data_dir whole or not at all, and one origin is never taken for another."""

import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest
from dataset_files import GSM8K, gsm8k, write

from sah_jax import errors
from sah_jax.tasks import datasets
from sah_jax.tasks.datasets import builder, preparing, sources
from sah_jax.tasks.datasets import gsm8k as gsm8k_lib


@pytest.fixture(autouse=True)
def _no_defaults(monkeypatch):
    for name in (preparing.DATA_DIR, preparing.MANUAL_DIR):
        monkeypatch.delenv(name, raising=False)


def _left(data_dir: pathlib.Path) -> set[str]:
    """What data_dir holds, without locks and the empty folders of data sets."""
    return {str(path.relative_to(data_dir)) for path in data_dir.glob("*/**/*") if path.name != ".lock"}


def test_a_data_set_is_prepared_once(tmp_path):
    said = []
    first = datasets.prepare("gsm8k", tmp_path / "data", gsm8k(tmp_path / "files"), said.append)
    assert [line.split(": ")[0] for line in said] == ["train", "test"]
    assert "train.jsonl, not the published file of 7,473 rows" in said[0]
    assert datasets.prepare("gsm8k", tmp_path / "data", tmp_path / "files", said.append) == first
    assert len(said) == 2 and first.is_relative_to(tmp_path / "data" / "sah_gsm8k")


def test_what_is_prepared_is_read_where_nothing_can_be_written(tmp_path):
    first = datasets.prepare("gsm8k", tmp_path / "data", gsm8k(tmp_path / "files"))
    (tmp_path / "data" / "sah_gsm8k" / ".lock").unlink()
    assert datasets.prepare("gsm8k", tmp_path / "data") == first
    assert not (tmp_path / "data" / "sah_gsm8k" / ".lock").exists()


def test_nothing_is_printed_or_logged(tmp_path, capfd, caplog):
    datasets.prepare("gsm8k", tmp_path / "data", gsm8k(tmp_path / "files"))
    assert list(datasets.rows("gsm8k", "test", data_dir=tmp_path / "data"))
    captured = capfd.readouterr()
    assert captured.out == captured.err == "" and not caplog.records


def test_other_files_are_another_data_set(tmp_path):
    one, two = gsm8k(tmp_path / "one"), gsm8k(tmp_path / "two", test=GSM8K[4:])
    where = {"data_dir": tmp_path / "data"}
    assert len(datasets.rows("gsm8k", "test", manual_dir=one, **where)) == 2
    # Without its files, the one that there is; once there are two, which one has to be said.
    assert len(datasets.rows("gsm8k", "test", **where)) == 2
    assert len(datasets.rows("gsm8k", "test", manual_dir=two, **where)) == 1
    assert len(datasets.rows("gsm8k", "test", manual_dir=one, **where)) == 2
    with pytest.raises(errors.UserError, match="holds 2 data sets made from different files"):
        datasets.rows("gsm8k", "test", **where)


def test_the_environment_says_what_is_not_given(tmp_path, monkeypatch):
    monkeypatch.setenv(preparing.DATA_DIR, str(tmp_path / "data"))
    monkeypatch.setenv(preparing.MANUAL_DIR, str(gsm8k(tmp_path / "files")))
    assert datasets.prepare("gsm8k").is_relative_to(tmp_path / "data")


def test_an_unknown_name_is_refused_with_the_names():
    with pytest.raises(errors.UserError, match="got data set 'gsm', expected one of esnli, .*nllb"):
        datasets.prepare("gsm")


def _upstream(monkeypatch, tmp_path, train=GSM8K[:3], rows=(3, 2)):
    """Has the published source be these files; returns the calls of it."""
    calls = []

    def fetch(self, folder):
        calls.append(self.files[0].name)
        split = "train" if "train" in calls[-1] else "test"
        return (gsm8k(tmp_path / "hub", train=train) / "gsm8k" / f"{split}.jsonl",)

    monkeypatch.setattr("sah_jax.tasks.datasets.upstream.Hub.fetch", fetch)
    monkeypatch.setattr(gsm8k_lib.Gsm8k, "SPLITS", {
        name: sources.Split(number, split.local, split.upstream)
        for (name, split), number in zip(gsm8k_lib.Gsm8k.SPLITS.items(), rows, strict=True)})
    return calls


def test_the_published_source_is_fetched_where_no_files_are_given(tmp_path, monkeypatch):
    calls = _upstream(monkeypatch, tmp_path)
    rows = datasets.rows("gsm8k", "train", data_dir=tmp_path / "data")
    assert rows.name == "gsm8k/upstream/1.0.0/train" and list(rows) == GSM8K[:3]
    assert calls == ["train-00000-of-00001.parquet", "test-00000-of-00001.parquet"]
    # It is what is meant where nothing is said, whatever else there is.
    datasets.rows("gsm8k", "test", data_dir=tmp_path / "data", manual_dir=gsm8k(tmp_path / "files"))
    assert datasets.rows("gsm8k", "test", data_dir=tmp_path / "data").name.startswith("gsm8k/upstream")
    assert len(calls) == 2


def test_a_published_source_with_rows_missing_is_refused(tmp_path, monkeypatch):
    _upstream(monkeypatch, tmp_path, train=GSM8K[:2])
    with pytest.raises(errors.UserError, match=r"train\.jsonl: has 2 rows, expected 3 as published"):
        datasets.prepare("gsm8k", tmp_path / "data")
    assert _left(tmp_path / "data") == set()


def test_defects_are_errors_in_files_of_the_user_and_left_out_of_published_ones(tmp_path, monkeypatch):
    broken = [GSM8K[0], {"question": "Why?", "answer": " "}, GSM8K[2]]
    with pytest.raises(errors.UserError, match=r"train\.jsonl:2: answer is empty, expected a text"):
        datasets.prepare("gsm8k", tmp_path / "data", gsm8k(tmp_path / "files", train=broken))
    assert _left(tmp_path / "data") == set()
    _upstream(monkeypatch, tmp_path, train=[*broken, broken[0]], rows=(4, 2))
    said = []
    folder = datasets.prepare("gsm8k", tmp_path / "data", report=said.append)
    rows = datasets.splits(folder)["train"]
    assert list(rows) == [GSM8K[0], GSM8K[2]] and rows.left_out == 2
    assert any("train: left 2 rows out, the first: " in line and "jsonl:2: answer" in line for line in said)


def test_malformed_rows_are_errors_in_published_files_too(tmp_path, monkeypatch):
    _upstream(monkeypatch, tmp_path, train=[GSM8K[0], {"question": "Why?"}])
    with pytest.raises(errors.UserError, match=r"train\.jsonl:2: has no field 'answer' \(got question\)"):
        datasets.prepare("gsm8k", tmp_path / "data")
    assert _left(tmp_path / "data") == set()


@pytest.mark.parametrize("test, sentence", [
    ([GSM8K[3], GSM8K[3]], r"test\.jsonl:2: has the same question \(What is 3 \+ 1\?\) as .*test\.jsonl:1"),
    ([], r"test\.jsonl: holds no rows"),
    ([[1]], r"test\.jsonl:1: got a JSON list"),
])
def test_a_failure_in_a_later_split_leaves_nothing(tmp_path, test, sentence):
    with pytest.raises(errors.UserError, match=sentence):
        datasets.prepare("gsm8k", tmp_path / "data", gsm8k(tmp_path / "files", test=test))
    assert _left(tmp_path / "data") == set()


def test_an_interrupt_leaves_nothing(tmp_path):
    def interrupt(line):
        if line.startswith("test"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets.prepare("gsm8k", tmp_path / "data", gsm8k(tmp_path / "files"), interrupt)
    assert _left(tmp_path / "data") == set()


KILLED = """
import os, signal, sys
from sah_jax.tasks import datasets
def kill(line):
    if line.startswith("test"):
        os.kill(os.getpid(), signal.SIGKILL)
datasets.prepare("gsm8k", sys.argv[1], sys.argv[2], kill)
"""


def test_what_a_killed_process_left_is_no_data_set_and_is_removed(tmp_path):
    files, data = gsm8k(tmp_path / "files"), tmp_path / "data"
    done = subprocess.run([sys.executable, "-c", KILLED, data, files], check=False)
    assert done.returncode == -signal.SIGKILL
    half = _left(data)
    assert any("array_record" in name for name in half) and all("incomplete." in name or name.count("/") == 1
                                                                for name in half)
    folder = datasets.prepare("gsm8k", data, files)
    assert len(datasets.splits(folder)["train"]) == 3
    assert not any("incomplete" in name for name in _left(data))


def test_processes_that_prepare_at_once_wait_for_the_first(tmp_path):
    files, said, folders = gsm8k(tmp_path / "files"), [], []
    threads = [threading.Thread(target=lambda: folders.append(
        datasets.prepare("gsm8k", tmp_path / "data", files, said.append))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 4 and len(set(folders)) == 1
    assert len(said) == 2


def test_a_data_dir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(errors.UserError, match="data/sah_gsm8k: cannot be written .*give another data_dir"):
        datasets.prepare("gsm8k", tmp_path / "data", gsm8k(tmp_path / "files"))


WITHOUT_TENSORFLOW = """
import importlib.util, logging, sys
assert importlib.util.find_spec("tensorflow")
import sah_jax, sah_jax.cli
from sah_jax.tasks import datasets
heavy = {"tensorflow_datasets", "grain", "pyarrow", "filelock", "array_record"} & set(sys.modules)
if heavy:
    sys.exit(f"{heavy} were imported too early")
rows = datasets.rows("gsm8k", "train", data_dir=sys.argv[1], manual_dir=sys.argv[2])
if logging.root.handlers:
    sys.exit("now every library logs to stderr")
stream = datasets.loader(rows, 0)
print(next(stream)["question"], len(list(datasets.shuffled(rows, 1))))
"""


def test_tensorflow_is_never_imported_and_tfds_only_when_it_is_needed(tmp_path):
    write(tmp_path / "path" / "tensorflow" / "__init__.py", "raise SystemExit('tensorflow was imported')")
    path = os.pathsep.join([str(tmp_path / "path"), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, tmp_path / "data", gsm8k(tmp_path / "files")],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith("What is") and done.stdout.endswith(" 3\n")


def test_every_data_set_is_a_described_tfds_builder():
    for name in datasets.names():
        found = preparing.builder_class(name)
        assert issubclass(found, builder.Builder) and found.name == f"sah_{name}"
        assert found.HOMEPAGE.startswith("https://") and found.CITATION and found.LICENSE
