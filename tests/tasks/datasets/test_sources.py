"""What a data set is made from is found by name and known by its bytes."""

import pathlib

import pytest
from dataset_files import write

from sah_jax import errors
from sah_jax.tasks.datasets import sources
from sah_jax.tasks.datasets.upstream import File, Web

SPLITS = {
    "train": sources.Split(0, ((File("x/one.tsv", "ab"), File("x/two.tsv")), (File("y/all.tsv"),))),
    "test": sources.Split(3, ((File("x/test.tsv", "cd"),),), Web("https://example.org", ()))}


@pytest.mark.parametrize("below", ["x", "."])
def test_files_are_found_in_their_folder_or_its_own(tmp_path, below):
    test = write(tmp_path / below / "test.tsv", "1\n")
    assert sources.find(tmp_path, SPLITS).files == {"test": (test,)}
    assert sources.find(test.parent, SPLITS).files == {"test": (test,)}


def test_the_first_whole_alternative_is_taken(tmp_path):
    last = write(tmp_path / "y" / "all.tsv", "1\n")
    one = write(tmp_path / "x" / "one.tsv", "2\n")
    assert sources.find(tmp_path, SPLITS).files == {"train": (last,)}
    two = write(tmp_path / "x" / "two.tsv", "3\n")
    assert sources.find(tmp_path, SPLITS).files == {"train": (one, two)}


def test_the_name_changes_with_the_bytes_and_the_split_alone(tmp_path):
    names = []
    for folder, file, text in (("a", "x/test.tsv", "1"), ("b", "test.tsv", "1"), ("c", "x/test.tsv", "2"),
                               ("d", "y/all.tsv", "1")):
        write(tmp_path / folder / file, text)
        names.append(sources.find(tmp_path / folder, SPLITS).name)
    assert names[0] == names[1] and len(set(names)) == 3
    write(tmp_path / "a/x/test.tsv", "3")
    assert sources.find(tmp_path / "a", SPLITS).name not in names


def test_the_user_is_told_what_is_looked_for(tmp_path):
    with pytest.raises(errors.UserError, match="manual_dir is .*gone, expected a folder"):
        sources.find(tmp_path / "gone", SPLITS)
    with pytest.raises(errors.UserError, match=(
            "holds none of the data set's files, expected at least one of x/one.tsv with x/two.tsv; "
            "x/test.tsv; y/all.tsv; put one there, or leave manual_dir out")):
        sources.find(tmp_path, SPLITS)
    with pytest.raises(errors.UserError, match="put one there.$"):
        sources.find(tmp_path, {"train": SPLITS["train"]})
    write(tmp_path / "x" / "one.tsv", "1")
    with pytest.raises(errors.UserError, match=r"x/two\.tsv: is missing, expected it beside one\.tsv"):
        sources.find(tmp_path, SPLITS)


def test_known_files_are_those_whose_digest_is_recorded():
    assert sources.known(SPLITS) == {"ab", "cd"}


def test_a_path_with_a_home_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "mine" / "test.tsv", "1")
    assert sources.find(pathlib.Path("~/mine"), SPLITS).files
