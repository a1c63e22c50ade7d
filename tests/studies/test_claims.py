"""Claims: of several processes exactly one has a point, and what a dead one had is free."""

import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from sah_jax import errors
from sah_jax.studies import claims

ROOT = pathlib.Path(__file__).parents[2]

HOLDER = """
import sys, time
from sah_jax.studies import claims
import pathlib
held = claims.Claims(pathlib.Path(sys.argv[1]), float(sys.argv[2]))
print(held.take(sys.argv[3:]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def make(tmp_path):
    """Makes claims of this process; other objects stand for other processes only where they say so."""
    made = []

    def make(lease_s=60.0):
        made.append(claims.Claims(tmp_path, lease_s))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def hold(tmp_path):
    """Starts a process that takes points and holds them."""
    started = []

    def hold(*names, lease_s=60.0):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), str(lease_s), *names], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        return process, process.stdout.readline().strip() == "True"

    yield hold
    for process in started:
        process.kill()
        process.wait()


def test_what_one_process_holds_no_other_takes(make, hold, tmp_path):
    own = make()
    assert own.take(["a", "b"])
    process, taken = hold("b", "c")
    # All of a group or none of it.
    assert not taken and sorted(claims.look(tmp_path)) == ["a", "b"]
    own.release(["b"])
    process, taken = hold("b", "c")
    assert taken and own.holds("a") and not own.holds("b")
    assert not own.take(["c", "d"]) and sorted(claims.look(tmp_path)) == ["a", "b", "c"]


def test_what_a_killed_process_held_is_free_at_once(make, hold, tmp_path):
    own = make()
    process, taken = hold("a")
    assert taken and not own.take(["a"])
    process.kill()
    process.wait()
    assert not claims.look(tmp_path) and own.take(["a"])


def test_another_process_of_the_same_number_is_another(make, tmp_path):
    own = make()
    assert own.take(["a"])
    path = tmp_path / claims.FOLDER / "a"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"started": "1"}))
    assert not own.holds("a") and make().take(["a"])


def test_a_claim_of_another_host_lasts_a_lease(make, tmp_path):
    own = make(lease_s=2.0)
    assert own.take(["a"])
    path = tmp_path / claims.FOLDER / "a"
    elsewhere = json.loads(path.read_text()) | {"host": "elsewhere"}
    own.release(["a"])
    path.write_text(json.dumps(elsewhere))
    assert not own.take(["a"])
    os.utime(path, (time.time() - 3, time.time() - 3))
    assert own.take(["a"]) and own.holds("a")


def test_a_live_process_keeps_its_claims_beyond_a_lease(make, tmp_path):
    own = make(lease_s=0.6)
    assert own.take(["a"])
    time.sleep(1.5)
    # As another host would see it.
    age = time.time() - (tmp_path / claims.FOLDER / "a").stat().st_mtime
    assert age < 0.6


def test_a_half_written_claim_is_nobodys(make, tmp_path):
    own = make()
    (tmp_path / claims.FOLDER / "a").write_text('{"host": "el')
    assert own.take(["a"])


def test_of_many_that_come_at_once_one_takes_a_point(make, tmp_path):
    everyone = [make() for _ in range(8)]
    for number, one in enumerate(everyone):
        # Each as a process of its own.
        one._own = claims.Claim("elsewhere", number, "0", "", 60.0)
    taken, start = [], threading.Barrier(len(everyone))

    def run(number):
        start.wait()
        for name in map(str, range(20)):
            if everyone[number].take([name]):
                taken.append(name)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(everyone))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken, key=int) == list(map(str, range(20)))


def test_workers_are_counted_while_they_live_and_are_no_points(make, hold, tmp_path):
    own = make()
    assert own.workers() == 0
    own.join()
    process, joined = hold(f"{claims._WORKER}other")
    assert joined and own.workers() == 2 and not claims.look(tmp_path)
    process.kill()
    process.wait()
    assert own.workers() == 1
    own.close()
    assert make().workers() == 0


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / claims.FOLDER).write_text("a file")
    with pytest.raises(errors.UserError, match="claims: cannot be used"):
        claims.Claims(tmp_path)
