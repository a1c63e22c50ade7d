"""Batches of a job of several hosts: each host reads its rows of every batch, with Grain.

The rows of a batch and their order do not depend on the number of hosts, so neither do the losses.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from sah_jax import errors

_THREADS = 4
_BATCHES_AHEAD = 4


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
