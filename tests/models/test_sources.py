"""A model is found by what it is called, and found again by its source."""

import pytest

from sah_jax import errors
from sah_jax.models import hub, sources

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """What is asked of the hub, which has everything at one commit."""
    calls = []

    def snapshot(repo, revision, weights):
        calls.append((repo, revision, weights))
        (tmp_path / COMMIT).mkdir(exist_ok=True)
        return tmp_path / COMMIT

    monkeypatch.setattr(hub, "snapshot", snapshot)
    return calls


@pytest.mark.parametrize("model, revision, question, name", [
    ("org/name", None, ("org/name", None, True), "name"),
    ("org/name@stage1-step0", None, ("org/name", "stage1-step0", True), "name@stage1-step0"),
    ("org/name", "refs/pr/6", ("org/name", "refs/pr/6", True), "name@refs-pr-6"),
    (f"org/na.me-3B@{COMMIT}", None, ("org/na.me-3B", COMMIT, True), "na.me-3B@0123456"),
    ("org/name#step0-seed6", None, ("org/name", None, False), "name-step0-seed6"),
    ("org/name@v1#step0-seed6", None, ("org/name", "v1", False), "name@v1-step0-seed6"),
])
def test_hub_ids_are_found_at_their_commit(asked, model, revision, question, name):
    found = sources.find(model, revision)
    assert asked == [question]
    ending = "#step0-seed6" if "#" in model else ""
    assert found.source == f"{question[0]}@{COMMIT}{ending}" and found.name == name
    assert found.seed == (6 if ending else None)
    sources.find(found.source)
    assert asked[1] == (question[0], COMMIT, question[2])


def test_a_folder_goes_before_a_hub_id(asked, tmp_path, monkeypatch):
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    found = sources.find("org/name")
    assert (found.folder, found.source) == (tmp_path / "org" / "name", str(tmp_path / "org" / "name"))
    assert not asked


@pytest.mark.parametrize("model", ["name", "../org/name", "/org/name", "a/b/c", "org/name@", "org/", "-a/b"])
def test_what_is_no_hub_id_is_no_question(asked, model):
    with pytest.raises(errors.UserError, match="is not a folder; expected .* a hub id ORG/NAME"):
        sources.find(model)
    assert not asked


def test_a_revision_is_said_once_and_of_hub_ids_only(asked, tmp_path):
    with pytest.raises(errors.UserError, match="org/name: has the revisions 'a' and 'b'"):
        sources.find("org/name@a", "b")
    for folder in (tmp_path, "nano"):
        with pytest.raises(errors.UserError, match="is a folder, which has no revision 'main'"):
            sources.find(folder, "main")
    assert not asked
