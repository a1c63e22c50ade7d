"""Several hosts as one job: joining it, and each host reading its rows of every batch with Grain.

All hosts run the same program over one mesh of all devices. The rows of a batch and their order
do not depend on the number of hosts, so neither do the losses.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from sah_jax import errors

ENVIRONMENT = ("SAH_COORDINATOR", "SAH_NUM_PROCESSES", "SAH_PROCESS_ID")
"""Where `initialize` looks for what it is not given."""

_THREADS = 4
_BATCHES_AHEAD = 4


def initialize(
    coordinator: str = "", num_processes: int | None = None, process_id: int | None = None
) -> bool:
    """Joins a job of several processes; must run before JAX starts.

    What is not given is taken from `ENVIRONMENT`. A coordinator of "auto" leaves everything to JAX,
    which knows TPU pods, Slurm and MPI. With no coordinator, this process is the whole job.

    Returns whether there is a job that was joined.

    Args:
      coordinator: host:port of the first process, or "auto".
      num_processes: of the job.
      process_id: this one's, from 0.

    Raises:
      UserError: a part is missing, or the job cannot be joined.
    """
    given = [os.environ.get(name, "") for name in ENVIRONMENT]
    coordinator = coordinator or given[0]
    if not coordinator:
        return False
    try:
        if coordinator == "auto":
            jax.distributed.initialize()
            return True
        counts = [given if given is not None else int(text)
                  for given, text in zip((num_processes, process_id), given[1:], strict=True)]
        # What the CPU backend has for collectives between processes.
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(coordinator, *counts)
        return True
    except (ValueError, RuntimeError) as error:
        raise errors.UserError(
            f"the job at {coordinator!r} cannot be joined ({' '.join(str(error).split())}), expected a "
            f"coordinator, a number of processes and this one's id; give them, or set "
            f"{', '.join(ENVIRONMENT)}.") from error


def check_one_host() -> None:
    """Raises a `UserError` in a job of several processes: studies do not run there yet."""
    if jax.process_count() > 1:
        raise errors.UserError(
            f"this is process {jax.process_index()} of a job of {jax.process_count()}, expected one host: "
            "training steps run over several, studies do not yet; take a slice of one host, such as v5e:2x4.")


def host_rows(sharding: jax.sharding.NamedSharding, rows: int) -> slice:
    """Returns which rows of a batch this host's devices hold.

    Raises:
      UserError: they are no run of rows.
    """
    held = {(index[0].start or 0, rows if index[0].stop is None else index[0].stop)
            for index in sharding.addressable_devices_indices_map((rows, 1)).values()}
    first, last = min(start for start, _ in held), max(stop for _, stop in held)
    size = last - first
    if sum(stop - start for start, stop in held) != size or first % size or rows % size:
        raise errors.UserError(
            f"this host holds the rows {sorted(held)} of {rows}, expected one even run of them; put the axis "
            "that rows are split over first.")
    return slice(first, last)


def batches(source: Sequence[Any], rows: int, places: Any, first: int = 0) -> Iterator[Any]:
    """Yields batches spread over all hosts; each host reads its own rows alone.

    Args:
      source: by number, the rows of all batches in turn: trees of numpy arrays. A remainder of fewer
        than `rows` is left out.
      rows: of a batch.
      places: a tree of shardings for a batch.
      first: the number of the first batch to yield, to go on where a fit was stopped.
    """
    # Only here: the import takes seconds, and a single host needs none of it.
    import grain

    own = host_rows(jax.tree.leaves(places)[0], rows)
    size = own.stop - own.start
    whole = len(source) // rows
    # Pieces of a batch in global order, of which this host has every so manyth.
    pieces = grain.MapDataset.source(source).batch(size, drop_remainder=True)
    mine = pieces[: whole * (rows // size)][own.start // size :: rows // size][first:]
    options = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_BATCHES_AHEAD)
    for local in mine.to_iter_dataset(options):
        yield jax.tree.map(
            lambda part, place: jax.make_array_from_process_local_data(
                place, np.asarray(part), (rows, *part.shape[1:])), local, places)
