"""Models of the hub come from its cache as they lie there; what fails is one sentence."""

import os
import pathlib
import shutil
import subprocess
import sys

import huggingface_hub
import pytest
from checkpoints import shard
from huggingface_hub import constants
from huggingface_hub import errors as hub_errors

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import hub, stores

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(tiny_folder, tmp_path, monkeypatch) -> pathlib.Path:
    """The snapshot of a sharded org/tiny in a cache as huggingface_hub lays it out, without a network."""
    shard(tiny_folder, 2)
    repo = tmp_path / "home" / "hub" / "models--org--tiny"
    snapshot = repo / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    for number, path in enumerate(sorted(tiny_folder.iterdir())):
        shutil.copyfile(path, repo / "blobs" / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return snapshot


def test_a_cached_model_loads_offline_and_names_its_commit(cached, tiny_base):
    base = base_lib.load_base("org/tiny")
    assert (base.digest, base.name) == (tiny_base.digest, "tiny")
    assert base.source == f"org/tiny@{COMMIT}"
    for revision in ("main", COMMIT):
        assert base_lib.load_base("org/tiny", revision=revision).source == base.source
    drawn = base_lib.load_base("org/tiny@main#step0-seed1")
    assert drawn.source == f"org/tiny@{COMMIT}#step0-seed1" and drawn.digest != base.digest


def test_a_fresh_process_finds_the_model_where_hf_home_says(cached, tiny_base):
    environment = {**os.environ, "HF_HOME": str(cached.parents[3]), "HF_HUB_OFFLINE": "1"}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", "from sah_jax.models import base; print(base.load_base('org/tiny').digest)"],
        env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == tiny_base.digest, done.stderr


@pytest.mark.parametrize("model", ["org/other", "org/tiny@other", f"org/tiny@{COMMIT[::-1]}"])
def test_what_is_not_cached_is_said_offline(cached, model):
    with pytest.raises(errors.UserError, match="is not or not wholly in the cache .*, and the hub cannot be"):
        base_lib.load_base(model)


def test_a_shard_that_was_not_downloaded_is_named(cached):
    name = "model-00002-of-00002.safetensors"
    (cached / name).unlink()
    with pytest.raises(errors.UserError, match=f"{name}: is missing"):
        base_lib.load_base("org/tiny")


@pytest.mark.parametrize("sharded", [True, False])
def test_exactly_the_needed_files_are_asked_for(cached, monkeypatch, sharded):
    if not sharded:
        (cached / stores.INDEX_FILE).unlink()
    asked = []

    def download(repo, revision, allow_patterns, repo_type):
        assert repo_type == "model"
        asked.append((revision, set(allow_patterns)))
        return str(cached)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    small = {"config.json", "tokenizer.json"}
    hub.snapshot("org/tiny", "main", weights=False)
    assert asked == [("main", small)]
    hub.snapshot("org/tiny", "main", weights=True)
    weights = {stores.WEIGHTS_FILE}
    if sharded:
        weights = {f"model-0000{number}-of-00002.safetensors" for number in (1, 2)}
    small.add(stores.INDEX_FILE)
    assert asked[1:] == [("main", small), (COMMIT, small | weights)]


def _http(kind):
    import httpx2

    request = httpx2.Request("GET", "https://huggingface.co/api/models/org/tiny")
    return kind("said\nno", response=httpx2.Response(403, request=request))


@pytest.mark.parametrize("error, sentence", [
    (lambda: _http(hub_errors.GatedRepoError), "org/tiny: is gated on the hub"),
    (lambda: _http(hub_errors.RepositoryNotFoundError), "org/tiny: is neither a folder here nor a model"),
    (lambda: _http(hub_errors.RevisionNotFoundError), "org/tiny: has no revision 'v1' on the hub"),
    (lambda: hub_errors.LocalEntryNotFoundError("no"), "org/tiny at revision v1: is not or not wholly in"),
    (lambda: _http(hub_errors.HfHubHTTPError), r"org/tiny at revision v1: cannot be downloaded \(said no\)"),
    (lambda: OSError(28, "No space left on device"), "cannot be downloaded .*No space left"),
])
def test_failures_are_one_sentence(monkeypatch, error, sentence):
    def download(*args, **kwargs):
        raise error()

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(errors.UserError, match=sentence) as caught:
        base_lib.load_base("org/tiny@v1")
    assert "\n" not in str(caught.value)
