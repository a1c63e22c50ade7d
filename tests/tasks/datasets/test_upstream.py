"""What is downloaded is used only if it is what was published."""

import gzip
import hashlib
import http.server
import io
import tarfile
import threading

import huggingface_hub
import pytest
from huggingface_hub import errors as hub_errors

from sah_jax import errors
from sah_jax.tasks.datasets import upstream
from sah_jax.tasks.datasets.upstream import Archive, File, Head, Hub, Web

TEXT = b"one\ntwo\nthree\n"
SHA256 = hashlib.sha256(TEXT).hexdigest()
OTHER = "0" * 64


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder and the address where it is served on this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_web_files_are_verified(served, tmp_path):
    folder, address = served
    (folder / "a.csv").write_bytes(TEXT)
    (path,) = Web(address, (File("a.csv", SHA256),)).fetch(tmp_path)
    assert path.read_bytes() == TEXT and path.parent == tmp_path
    with pytest.raises(errors.UserError, match=f"/a.csv: has the SHA-256 {SHA256}, expected {OTHER}"):
        Web(address, (File("a.csv", OTHER),)).fetch(tmp_path)
    with pytest.raises(errors.UserError, match=f"{address}/b.csv: cannot be downloaded .*404.*manual_dir"):
        Web(address, (File("b.csv", SHA256),)).fetch(tmp_path)


def _tar(members) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def test_members_of_an_archive_are_verified(served, tmp_path):
    folder, address = served
    data = _tar({"./set/dev/a.dev": TEXT, "./set/dev/b.dev": b"b"})
    (folder / "set.tar.gz").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    whole = Archive(f"{address}/set.tar.gz", digest, (File("set/dev/a.dev", SHA256), File("set/dev/b.dev")))
    assert [path.read_bytes() for path in whole.fetch(tmp_path)] == [TEXT, b"b"]
    with pytest.raises(errors.UserError, match=f"set.tar.gz: has the SHA-256 {digest}"):
        Archive(f"{address}/set.tar.gz", OTHER, whole.members).fetch(tmp_path)
    with pytest.raises(errors.UserError, match=f"a.dev: has the SHA-256 {SHA256}"):
        Archive(f"{address}/set.tar.gz", digest, (File("set/dev/a.dev", OTHER),)).fetch(tmp_path)
    with pytest.raises(errors.UserError, match="set/dev/c.dev cannot be read from it"):
        Archive(f"{address}/set.tar.gz", digest, (File("set/dev/c.dev"),)).fetch(tmp_path)


def test_the_head_of_a_large_file_is_enough(served, tmp_path):
    folder, address = served
    # Cut: what comes after the first lines is never asked for.
    (folder / "pairs.gz").write_bytes(gzip.compress(TEXT * 10_000)[:-8])
    (path,) = Head(f"{address}/pairs.gz", 2).fetch(tmp_path)
    assert path.name == "pairs.tsv" and path.read_bytes() == b"one\ntwo\n"
    with pytest.raises(errors.UserError, match="pairs.gz: cannot be downloaded .*end-of-stream"):
        Head(f"{address}/pairs.gz", 1_000_000).fetch(tmp_path)


def test_hub_files_come_from_a_commit_of_a_data_set_and_are_verified(tmp_path, monkeypatch):
    asked = []

    def download(repo, *, repo_type, revision, allow_patterns):
        asked.append((repo, repo_type, revision, allow_patterns))
        (tmp_path / "main").mkdir(exist_ok=True)
        (tmp_path / "main" / "a.json").write_bytes(TEXT)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    hub = Hub("org/set", "0123abcd", (File("main/a.json", SHA256),))
    assert hub.fetch(tmp_path) == (tmp_path / "main" / "a.json",)
    assert asked == [("org/set", "dataset", "0123abcd", ["main/a.json"])]
    with pytest.raises(errors.UserError, match="main/a.json: has the SHA-256 .* delete it and try again"):
        Hub("org/set", "0123abcd", (File("main/a.json", OTHER),)).fetch(tmp_path)
    with pytest.raises(errors.UserError, match="main/b.json: is not there"):
        Hub("org/set", "0123abcd", (File("main/b.json"),)).fetch(tmp_path)


def test_a_hub_that_cannot_be_reached_is_not_the_only_way(tmp_path, monkeypatch):
    def download(*args, **kwargs):
        raise hub_errors.LocalEntryNotFoundError("no")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(errors.UserError, match="^org/set at revision 0123abcd: .*; or give its files with"):
        Hub("org/set", "0123abcd", (File("a.json"),)).fetch(tmp_path)


def test_a_file_that_changed_is_digested_again(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"1")
    first = upstream.sha256(path)
    path.write_bytes(TEXT)
    assert first != upstream.sha256(path) == SHA256
