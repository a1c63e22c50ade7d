"""Claims: of several processes exactly one has a point, and what a dead one had is free."""

import dataclasses
import functools
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


WHOLE = {"host": "elsewhere", "process": 1, "started": "1", "space": "", "lease_s": 60.0}


@pytest.mark.parametrize("content", [
    '{"host": "el', "[]", "[" * 100_000, *(json.dumps(WHOLE | change) for change in (
        {"lease_s": "long"}, {"lease_s": None}, {"lease_s": float("inf")}, {"lease_s": 10**400},
        {"host": ["elsewhere"]}, {"process": "first"}, {"started": 1}, {"space": None}))])
def test_what_is_no_whole_claim_is_nobodys(make, tmp_path, content):
    own, path = make(), tmp_path / claims.FOLDER / "a"
    path.write_text(json.dumps(WHOLE))
    assert not own.take(["a"]) and list(claims.look(tmp_path)) == ["a"]
    path.write_text(content)
    assert claims.look(tmp_path) == {} and own.take(["a"]) and own.holds("a")


def test_a_folder_among_claims_is_nobodys_and_no_point(make, tmp_path):
    own = make()
    (tmp_path / claims.FOLDER / "a").mkdir()
    assert claims.look(tmp_path) == {}
    with pytest.raises(errors.UserError, match="claims: cannot be used"):
        own.take(["a"])
    assert not own.holds("a")


@pytest.fixture
def slept(make, tmp_path):
    """Claims of a process that slept beyond its lease, whose point another host has taken since."""
    own = make()
    assert own.take(["a"])
    (tmp_path / claims.FOLDER / "a").write_text(json.dumps(WHOLE))
    return own


def test_a_point_that_was_lost_while_its_process_slept_is_not_taken_back(slept, tmp_path):
    assert not slept.take(["a"]) and not slept.take(["a", "b"])
    assert list(claims.look(tmp_path)) == ["a"] and claims.look(tmp_path)["a"].host == "elsewhere"


def test_what_another_has_is_not_let_go_of(slept, tmp_path):
    slept.release(["a"])
    assert claims.look(tmp_path)["a"].host == "elsewhere"
    slept.close()
    assert claims.look(tmp_path)["a"].host == "elsewhere"


def test_what_a_process_holds_it_takes_again_with_more(make, tmp_path):
    own = make()
    assert own.take(["a"]) and own.take(["a", "b"]) and own.holds("a") and own.holds("b")


def test_a_lease_is_measured_by_the_clock_that_marks_files(make, tmp_path, monkeypatch):
    own, path = make(), tmp_path / claims.FOLDER / "a"
    path.write_text(json.dumps(WHOLE | {"lease_s": 10.0}))
    # Of a folder on another host, whose clock is an hour ahead, or behind.
    for hours in (-1, 1):
        monkeypatch.setattr(claims.time, "time", functools.partial(float, time.time() + 3600 * hours))
        path.touch()
        assert not own.take(["a"])
        monkeypatch.undo()


def test_of_another_space_of_process_numbers_nothing_is_known(make, tmp_path):
    # As of a container on this host: no process here has that number, and yet it may live.
    path, here = tmp_path / claims.FOLDER / "a", claims.Claim.own(60.0)
    own = make()
    for space, known in (("pid:[1]", False), ("", False), (here.space, True)):
        other = dataclasses.replace(here, process=2**22 + 1, space=space)
        assert other.is_dead() == known
        path.write_text(json.dumps(dataclasses.asdict(other)))
        assert own.take(["a"]) == known
        own.release(["a"])


def test_a_process_that_has_ended_and_is_not_waited_for_is_dead(make, hold, tmp_path):
    own = make()
    process, taken = hold("a")
    assert taken and not own.take(["a"])
    process.kill()
    stat = pathlib.Path(f"/proc/{process.pid}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
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
