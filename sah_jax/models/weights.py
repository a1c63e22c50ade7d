"""Weights from a checkpoint to the devices, tensor by tensor, and their digest.

A leaf of the scanned layers gathers one tensor per layer. Each device that this process feeds gets
one buffer a leaf, of its shard's size, filled layer by layer; on the CPU that buffer becomes the
array itself. So host memory holds the shards and about one tensor.

Each process of a job hashes every tensor itself: what one of them did not look at could differ there.
"""

import concurrent.futures
import hashlib
from collections.abc import Callable, Mapping

import jax
import numpy as np
from flax import traverse_util
from jax.experimental import multihost_utils

from sah_jax import errors
from sah_jax.models import config as config_lib
from sah_jax.models import hf_names, quantize, stores

TIED_HEAD = "lm_head.weight"
_EMBEDDING = "model.embed_tokens.weight"
_ROWS = 512  # compared or hashed at a time
_BLOCK = 256  # a transposed copy goes by blocks of so many rows and columns, which the cache holds
_ALIGNMENT = 64  # bytes; XLA's CPU client takes over buffers that are aligned so

_VOCABULARY_AXES = {"embed": 0, "head": 1}

Report = Callable[[int, int], None]
"""Called with (bytes read, bytes in all)."""


def load(
    tensors: Mapping[str, stores.Tensor],
    spec: config_lib.ModelConfig,
    abstract: dict,
    dtype: str | None = None,
    shardings: dict | None = None,
    quantization: str = "",
    report: Report | None = None,
) -> tuple[dict, str]:
    """Reads a checkpoint into sharded parameters and computes its digest on the way.

    Host memory above what the arrays themselves take stays below twice the largest tensor.

    Args:
      tensors: the checkpoint, see `stores.open_folder`.
      spec: its architecture.
      abstract: the `params` tree as `jax.ShapeDtypeStruct`s; gives names and shapes. More rows of
        the vocabulary than the architecture has are filled with zeros.
      dtype: what the values are converted to; None keeps each leaf's.
      shardings: for each leaf (of the quantised tree, if it is) a `jax.sharding.Sharding`; without
        them all is on the default device.
      quantization: how the projections are to be quantised, see `quantize`; "" for not at all.
      report: told of the progress.

    Returns:
      The `params` tree, and the digest that `digest` returns.

    Raises:
      UserError: a tensor is missing, surplus, misshapen, not floating point or not readable, a
        tied head is stored again and differs from the embedding, or a dtype is to be kept and the
        tensors of a leaf differ in it.
    """
    check(tensors, spec, abstract)
    flat = {leaf: jax.ShapeDtypeStruct(want.shape, dtype or _stored_dtype(leaf, tensors, spec))
            for leaf, want in traverse_util.flatten_dict(abstract, sep="/").items()}
    flat_shardings = traverse_util.flatten_dict(shardings, sep="/") if shardings is not None else {}
    hashes, leaves = _Hashes(tensors, spec, report), {}
    for leaf, want in flat.items():
        if quantization and leaf.endswith("/kernel"):
            leaves |= _read_quantised(leaf, want, flat_shardings, quantization, spec, hashes)
        else:
            leaves[leaf] = _read_leaf(leaf, want, flat_shardings.get(leaf), spec, hashes)
    return traverse_util.unflatten_dict(leaves, sep="/"), hashes.digest()


def digest(
    tensors: Mapping[str, stores.Tensor], spec: config_lib.ModelConfig, report: Report | None = None
) -> str:
    """Returns the content digest of a checkpoint's weights, in hexadecimal.

    It is the SHA-256 of a line for each tensor, sorted by name: name, dtype and shape as stored,
    and the SHA-256 of the values in the hub's orientation (row-major, little-endian). It does not
    depend on how the tensors are spread over files, and leaves out a tied head that is stored again.
    """
    hashes = _Hashes(tensors, spec, report)
    for name in hashes.names:
        hashes.read(name)
    return hashes.digest()


def check(tensors: Mapping[str, stores.Tensor], spec: config_lib.ModelConfig, abstract: dict) -> None:
    """Raises UserError unless the tensors are those of the architecture, in names, shapes and types."""
    surplus = dict(tensors)
    for leaf, want in traverse_util.flatten_dict(abstract, sep="/").items():
        names, transpose = hf_names.tensor_names(leaf, spec)
        shape = want.shape if leaf in hf_names.OUTER else want.shape[1:]
        if leaf in _VOCABULARY_AXES:
            shape = tuple(spec.vocab_size if axis == _VOCABULARY_AXES[leaf] else size
                          for axis, size in enumerate(shape))
        for name in names:
            _check_tensor(name, surplus.pop(name, None), shape[::-1] if transpose else shape, tensors)
    if spec.tied_embedding and TIED_HEAD in surplus:
        # Some exporters store the tied head again; it must then be the same matrix.
        _check_tensor(TIED_HEAD, surplus.pop(TIED_HEAD), (spec.vocab_size, spec.width), tensors)
        _check_tied(tensors)
    if surplus:
        raise errors.UserError(
            f"{surplus[min(surplus)].where}: tensor {min(surplus)!r} is not part of this architecture; "
            "check that config.json belongs to these weights.")


def _stored_dtype(leaf: str, tensors: Mapping[str, stores.Tensor], spec: config_lib.ModelConfig) -> np.dtype:
    names, _ = hf_names.tensor_names(leaf, spec)
    dtypes = {tensors[name].dtype: name for name in names}
    if len(dtypes) > 1:
        (first, name), (other, other_name) = sorted(dtypes.items())[:2]
        raise errors.UserError(
            f"{tensors[name].where}: {name!r} is {first} and {other_name!r} is {other}, expected one "
            "dtype for all layers; name the dtype to convert to.")
    return stores.FLOAT_DTYPES[dtypes.popitem()[0]]


def _check_tensor(name: str, tensor: stores.Tensor | None, shape: tuple[int, ...], tensors: Mapping) -> None:
    if tensor is None:
        where = next((other.where for other in tensors.values()), "the checkpoint")
        raise errors.UserError(
            f"{where}: tensor {name!r} is missing; check that config.json belongs to these weights.")
    if tensor.dtype not in stores.FLOAT_DTYPES:
        raise errors.UserError(
            f"{tensor.where}: tensor {name!r} has dtype {tensor.dtype}, expected one of "
            f"{', '.join(stores.FLOAT_DTYPES)}; convert the checkpoint.")
    if tensor.shape != tuple(shape):
        raise errors.UserError(
            f"{tensor.where}: tensor {name!r} has shape {tensor.shape}, config.json wants "
            f"{tuple(shape)}; check that config.json belongs to these weights.")


def _check_tied(tensors: Mapping[str, stores.Tensor]) -> None:
    head, embedding = tensors[TIED_HEAD], tensors[_EMBEDDING]
    for start in range(0, head.shape[0], _ROWS):
        rows = (slice(start, min(start + _ROWS, head.shape[0])), head.whole[1])
        if not np.array_equal(head.read(rows), embedding.read(rows)):
            raise errors.UserError(
                f"{head.where}: {TIED_HEAD} differs from the embedding it is tied to; "
                "set tie_word_embeddings to false in config.json.")


class _Hashes:
    """Reads whole tensors and hashes them."""

    def __init__(self, tensors, spec: config_lib.ModelConfig, report: Report | None):
        self.names = sorted(name for name in tensors if not (spec.tied_embedding and name == TIED_HEAD))
        self._tensors, self._report = tensors, report
        self._number = {name: number for number, name in enumerate(self.names)}
        self._sums_T32 = np.zeros((len(self.names), 32), np.uint8)
        self._sizes = {name: stores.FLOAT_DTYPES[tensors[name].dtype].itemsize * int(
            np.prod(tensors[name].shape)) for name in self.names}
        self._done = 0
        # Hashing leaves Python free: it goes on while the tensor is copied to where it is wanted.
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)

    def read(self, name: str, use: Callable | None = None) -> None:
        """Hashes a tensor, and calls `use` with a function of an index."""
        tensor = self._tensors[name]
        values = tensor.read(tensor.whole)
        hashed = self._pool.submit(_sha256, values)
        if use is not None:
            use(lambda index: values[index])
        self._sums_T32[self._number[name]] = np.frombuffer(hashed.result(), np.uint8)
        self._done += self._sizes[name]
        if self._report is not None:
            self._report(self._done, sum(self._sizes.values()))

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns a tensor's shape as it is stored."""
        return self._tensors[name].shape

    def digest(self) -> str:
        """Returns the digest once all tensors were read; all processes must call it.

        Raises:
          UserError: a tensor is not the same on all processes.
        """
        self._pool.shutdown()
        if jax.process_count() > 1:
            sums_PT32 = np.asarray(multihost_utils.process_allgather(self._sums_T32))
            differs_T = (sums_PT32 != sums_PT32[:1]).any(axis=(0, 2))
            if differs_T.any():
                name = self.names[int(np.argmax(differs_T))]
                raise errors.UserError(
                    f"{self._tensors[name].where}: {name!r} is not the same on all hosts, expected one "
                    "model; copy the same files to each.")
        lines = hashlib.sha256()
        for name in self.names:
            tensor, values = self._tensors[name], self._sums_T32[self._number[name]].tobytes().hex()
            lines.update(f"{name} {tensor.dtype} {list(tensor.shape)} {values}\n".encode())
        return lines.hexdigest()


def _sha256(values: np.ndarray) -> bytes:
    """Returns the SHA-256 of an array's values in row-major order, without a copy of all of it."""
    found = hashlib.sha256()
    for start in range(0, len(values), _ROWS):
        rows = np.ascontiguousarray(values[start : start + _ROWS])
        found.update(rows.view(np.uint8).data)
    return found.digest()


class _Target:
    """One leaf in the making: a buffer for each part that a device of this process wants."""

    def __init__(self, want: jax.ShapeDtypeStruct, sharding: jax.sharding.Sharding | None, stacked: bool):
        self._want, self._sharding, self._stacked = want, sharding, stacked
        indices = {None: tuple(slice(None) for _ in want.shape)}
        if sharding is not None:
            indices = sharding.addressable_devices_indices_map(want.shape)
        self._boxes = {
            device: tuple(one.indices(size)[:2] for one, size in zip(index, want.shape, strict=True))
            for device, index in indices.items()}
        # Devices that hold the same part share a buffer.
        self._buffers = {box: _aligned_empty([stop - start for start, stop in box], want.dtype)
                         for box in self._boxes.values()}

    def fill(self, layer: int, shape: tuple[int, ...], part: Callable) -> None:
        """Takes a tensor, of a shape that may fall short of the leaf's, from a function of an index."""
        for box, buffer in self._buffers.items():
            if self._stacked and not box[0][0] <= layer < box[0][1]:
                continue
            target = buffer[layer - box[0][0]] if self._stacked else buffer
            index = tuple(slice(min(start, size), min(stop, size)) for (start, stop), size in zip(
                box[1:] if self._stacked else box, shape, strict=True))
            there = tuple(slice(0, one.stop - one.start) for one in index)
            if target[there].shape != target.shape:
                target[...] = 0
            if target[there].size:
                copy(part(index), target[there])

    def array(self) -> jax.Array:
        """Returns the leaf, once all tensors are in."""
        arrays = [jax.device_put(self._buffers[box], device) for device, box in self._boxes.items()]
        if self._sharding is None:
            return jax.block_until_ready(arrays[0])
        # Waited for, so that the buffers of one leaf are gone before those of the next are made.
        return jax.block_until_ready(
            jax.make_array_from_single_device_arrays(self._want.shape, self._sharding, arrays))


def _read_leaf(
    leaf: str, want: jax.ShapeDtypeStruct, sharding: jax.sharding.Sharding | None,
    spec: config_lib.ModelConfig, hashes: "_Hashes",
) -> jax.Array:
    names, transpose = hf_names.tensor_names(leaf, spec)
    target = _Target(want, sharding, leaf not in hf_names.OUTER)
    for layer, name in enumerate(names):
        shape = hashes.shape(name)[::-1] if transpose else hashes.shape(name)
        hashes.read(name, lambda part, layer=layer, shape=shape: target.fill(
            layer, shape, (lambda index: part(index[::-1]).T) if transpose else part))
    return target.array()


def _read_quantised(
    leaf: str, want: jax.ShapeDtypeStruct, shardings: Mapping[str, jax.sharding.Sharding], scheme: str,
    spec: config_lib.ModelConfig, hashes: "_Hashes",
) -> dict[str, jax.Array]:
    """Returns the codes and scales of a kernel; each matrix is quantised whole."""
    names, _ = hf_names.tensor_names(leaf, spec)
    prefix = leaf.removesuffix("kernel")
    wanted = quantize.abstract({"kernel": want}, scheme)
    targets = {prefix + name: _Target(one, shardings.get(prefix + name), True)
               for name, one in wanted.items()}

    def take(layer: int, part: Callable) -> None:
        quantised = quantize.quantize(part((slice(None), slice(None))).T, scheme)
        for name, values in quantised.items():
            targets[prefix + name].fill(layer, values.shape, lambda index, values=values: values[index])

    for layer, name in enumerate(names):
        hashes.read(name, lambda part, layer=layer: take(layer, part))
    return {name: target.array() for name, target in targets.items()}


def _aligned_empty(shape: list[int], dtype: np.dtype) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def copy(source: np.ndarray, target: np.ndarray) -> None:
    """Copies a vector or matrix, converting its dtype; the source may be a transposed view."""
    if source.ndim < 2:
        target[...] = source
        return
    for row in range(0, source.shape[0], _BLOCK):
        for column in range(0, source.shape[1], _BLOCK):
            block = (slice(row, row + _BLOCK), slice(column, column + _BLOCK))
            target[block] = source[block]
