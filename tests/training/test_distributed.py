"""Two processes on one machine train as one does, each reading its own rows."""

import json
import os
import pathlib
import subprocess
import sys

import free_port
import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from sah_jax.models import sharding
from sah_jax.training import distributed, examples
from sah_jax.training import step as step_lib

TESTS = pathlib.Path(__file__).parents[1]

CHILD = """
import sah_jax
import json, sys
from sah_jax import errors, hosts
from sah_jax.training import distributed
hosts.initialize()
import jax, numpy as np, sharded_model
from sah_jax.models import sharding

class Source:
    read = set()
    def __len__(self): return 5 * sharded_model.ROWS + 3
    def __getitem__(self, number):
        self.read.add(number)
        batch, row = divmod(number, sharded_model.ROWS)
        return jax.tree.map(lambda x: x[row], sharded_model.batch(batch))

mesh = sharding.make_mesh(2, 4, 1)
batches_of = lambda places: distributed.batches(Source(), sharded_model.ROWS, places)
_, losses = sharded_model.fitted(mesh, batches_of, 5)
number = jax.process_index()
place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(("data", "fsdp")))
spread = sharding.place(np.arange(16.0), place)
moved = sharding.place(spread, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("fsdp")))

def complain():
    raise errors.UserError(f"process {number} complains")

try:
    hosts.from_first(complain)
except errors.UserError as error:
    complaint = str(error)
def same(call):
    try:
        return hosts.same_on_all(call)
    except errors.UserError as error:
        return str(error)

def complain_second():
    if number == 1:
        raise errors.UserError("no such folder")

agreed = [same(lambda: ["a"]), same(lambda: number * "long "), same(complain_second)]
print(json.dumps({"agreed": agreed, "losses": losses, "read": sorted(Source.read),
                  "devices": jax.device_count(),
                  "first": [hosts.is_first(), hosts.from_first(lambda: [number, "é"])],
                  "complaint": complaint, "whole": spread.is_fully_addressable,
                  "fetched": [x.tolist() for x in hosts.fetch([spread, moved, np.float32(number)])]}))
"""


def _start(devices, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices),
             "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}", **environment})


def _finish(process):
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def job():
    """What two processes of four devices found, and what one of eight did."""
    address = free_port.address()
    both = [_start(4, SAH_COORDINATOR=address, SAH_NUM_PROCESSES="2", SAH_PROCESS_ID=str(index))
            for index in range(2)]
    return [_finish(process) for process in both], _finish(_start(8))


def test_two_processes_train_as_one_does(job):
    found, alone = job
    assert [one["devices"] for one in (*found, alone)] == [8, 8, 8]
    assert found[0]["losses"] == found[1]["losses"]
    np.testing.assert_allclose(found[0]["losses"], alone["losses"], rtol=0, atol=4e-6)
    assert len(set(alone["losses"])) == 5


def test_each_process_reads_its_rows(job):
    found, alone = job
    rows = [number % 8 for number in found[0]["read"]], [number % 8 for number in found[1]["read"]]
    assert set(rows[0]) == {0, 1, 2, 3} and set(rows[1]) == {4, 5, 6, 7}
    assert sorted(found[0]["read"] + found[1]["read"]) == alone["read"] == list(range(40))


def test_all_processes_get_what_the_first_has(job):
    found, alone = job
    first, second, single = (one["first"] for one in (*found, alone))
    assert first == single == [True, [0, "é"]] and second == [False, [0, "é"]]
    assert {one["complaint"] for one in (*found, alone)} == {"process 0 complains"}


def test_what_is_to_be_the_same_on_all_hosts_is_compared(job):
    found, _ = job
    assert found[0]["agreed"] == found[1]["agreed"]
    same, differs, fails = found[0]["agreed"]
    assert same is None and "process 1 of 2 has long , process 0 , expected the same" in differs
    assert fails == "process 1 of 2: no such folder"


def test_arrays_over_all_processes_are_fetched_whole(job):
    found, alone = job
    assert [one["whole"] for one in (*found, alone)] == [False, False, True]
    for number, one in enumerate(found):
        assert one["fetched"] == [list(range(16)), list(range(16)), number]


def _places():
    mesh = sharding.make_mesh(devices=jax.devices()[:1])
    place = jax.sharding.NamedSharding(mesh, P(sharding.BATCH, None))
    return step_lib.Batch(place, place)


@pytest.mark.parametrize("first", [0, 2, 3])
def test_batches_are_the_rows_in_order_from_any_of_them(first):
    source = [step_lib.Batch(np.full(3, n, np.int32), np.full(3, n / 2, np.float32)) for n in range(13)]
    got = list(distributed.batches(source, 4, _places(), first))
    assert [batch.tokens_BL[:, 0].tolist() for batch in got] == [
        list(range(n, n + 4)) for n in (0, 4, 8)][first:]
    assert all(batch.weights_BL.dtype == np.float32 for batch in got)


def test_rows_are_those_of_the_batches(tiny_examples):
    base, some = tiny_examples
    orders, shape = [[2, 0, 1], [1, 2, 0]], (2, 9)
    rows = examples.Rows(base, some, *shape, orders)
    whole = list(examples.batches(base, some, *shape, orders))
    assert len(rows) == 2 * len(whole) == 8
    for number in range(len(rows)):
        for got, batch in zip(rows[number], whole[number // 2], strict=True):
            np.testing.assert_array_equal(got, batch[number % 2])


@pytest.fixture
def tiny_examples(nano):
    return nano, [examples.TokenExample((5, 6, 7), (8,)), examples.TokenExample((9,), (10, 11)),
                  examples.TokenExample((12, 13), (14, 15, 16))]
