"""Reading prepared data sets: rows by number, orders from a seed, and a stream for each host, with Grain."""

import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from sah_jax import errors
from sah_jax.tasks.datasets import preparing, sources


class _Numbered(Sequence):
    """A sequence of what `_at` returns for a number from 0."""

    def _at(self, number: int) -> Any:
        raise NotImplementedError

    def __getitem__(self, number):
        if isinstance(number, slice):
            return [self._at(one) for one in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"row {number} of {len(self)}")
        return self._at(int(number) % len(self))


class Rows(_Numbered):
    """The rows of a split by number, in their source's order, as plain Python values.

    Attributes:
      name: data set, origin, version and split, such as gsm8k/upstream/1.0.0/test, and a word where it
        was made from other files than the published ones.
      digest: SHA-256 over those of the files that the split was made from; in hex.
      left_out: how many rows of the files were not taken, see `checks`.
      num_bytes: size of the rows, encoded.
    """

    def __init__(self, folder: pathlib.Path, split: str):
        prepared = _open(folder)
        found = prepared.info.splits
        if split not in found:
            raise errors.UserError(
                f"{folder}: has no split {split!r}, expected one of {', '.join(sorted(found))}; change the "
                "split, or give a manual_dir that has its file.")
        self._folder, self._split = folder, split
        with preparing.quiet():
            self._source = prepared.as_data_source(split=split)
        self.num_bytes = int(found[split].num_bytes)
        origin = json.loads((folder / "metadata.json").read_text())
        name, made_from, version = folder.parts[-3:]
        name = name.removeprefix("sah_")
        digests = [file["sha256"] for file in origin["files"][split]]
        published = sources.are_published(made_from, digests, preparing.builder_class(name).SPLITS)
        own = "" if published else " (not the published files)"
        self.name = f"{name}/{made_from}/{version}/{split}{own}"
        self.digest = hashlib.sha256("".join(digests).encode()).hexdigest()
        self.left_out = origin["left_out"][split]

    def __reduce__(self):
        return Rows, (self._folder, self._split)

    def __len__(self) -> int:
        return len(self._source)

    def _at(self, number: int) -> dict[str, Any]:
        return _plain(self._source[number])


def _plain(value: Any) -> Any:
    # Without TensorFlow, TFDS reads whole numbers and lists as Python's own, and texts as bytes.
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def rows(
    name: str, split: str, *, data_dir: str | os.PathLike | None = None,
    manual_dir: str | os.PathLike | None = None,
) -> Rows:
    """Returns the rows of a split; the data set is prepared first if data_dir does not hold it.

    Args:
      name: one of `names()`.
      split: of the data set.
      data_dir: see `prepare`.
      manual_dir: see `prepare`.

    Raises:
      UserError: it cannot be prepared, or has no such split.
    """
    return Rows(preparing.prepare(name, data_dir, manual_dir), split)


def splits(folder: pathlib.Path) -> dict[str, Rows]:
    """Returns the rows of each split of a folder that `prepare` returned."""
    return {split: Rows(folder, split) for split in _open(folder).info.splits}


def _open(folder: pathlib.Path):
    import tensorflow_datasets as tfds

    with preparing.quiet():
        return tfds.builder_from_directory(str(folder))


class _Reordered(_Numbered):
    def __init__(self, items: Sequence, order: Sequence[int]):
        self._items, self._order = items, order

    def __len__(self) -> int:
        return len(self._items)

    def _at(self, number: int) -> Any:
        return self._items[self._order[number]]


def _order(source, seed: int):
    # Grain's own seeds are 32 bits, and epoch e of seed s is its epoch 0 of seed s + e.
    words = hashlib.sha256(f"sah_jax rows {seed}".encode()).digest()
    return source.shuffle(seed=int.from_bytes(words[:4], "little"))


def shuffled(items: Sequence, seed: int) -> Sequence:
    """Returns rows in an order that depends on the seed and their number alone.

    The order is a permutation, made number by number: nothing is read until it is asked for.
    """
    import grain

    return _Reordered(items, _order(grain.MapDataset.range(len(items)), seed))


def loader(items: Sequence, seed: int, shard: int = 0, num_shards: int = 1, epochs: int | None = None):
    """Returns one host's stream of rows, a `grain.DatasetIterator`.

    Each epoch has an order of its own; the first is that of `shuffled`. All hosts' streams, dealt in
    turn, are the same rows in the same order for any number of hosts, and nothing is dropped.
    `get_state` of the iterator says (in small, plain values) where it is, and `set_state` goes on there.

    Args:
      items: the rows.
      seed: of the orders.
      shard: this host's number, from 0.
      num_shards: number of hosts.
      epochs: how often all rows are gone through; without end if None.

    Raises:
      UserError: there is no such shard, or there are no rows.
    """
    import grain

    if not 0 <= shard < num_shards:
        raise errors.UserError(
            f"got shard {shard} of {num_shards}, expected one from 0 to {num_shards - 1}; change it.")
    if not len(items):
        raise errors.UserError("got no rows to read, expected at least one; give another split.")
    stream = _order(grain.MapDataset.source(items), seed).repeat(epochs)
    return iter(stream[shard::num_shards].to_iter_dataset())
