"""The tensors of a checkpoint, on disk or in memory, found at once and read one at a time.

Three layouts are read: `model.safetensors`; `model.safetensors.index.json` with its shards; and
the folder that `sah convert` writes, an Orbax checkpoint of our `params`. All three look the
same from here: tensors by their Hugging Face names, in the orientation the hub stores them in.

An Orbax checkpoint is read through TensorStore, the library that Orbax itself reads with, because
the digest wants each tensor once, whole and in the hub's orientation, while it goes to the devices.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from flax import traverse_util
from jax.experimental import multihost_utils

from sah_jax import errors
from sah_jax.models import config as config_lib
from sah_jax.models import hf_names

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
ORBAX_FOLDER = "params"

FLOAT_DTYPES = {
    "BF16": np.dtype(jnp.bfloat16), "F16": np.dtype(np.float16), "F32": np.dtype(np.float32)}
"""The dtypes that are read, by their names in safetensors."""

Index = tuple[slice, ...]


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor as it is stored.

    Attributes:
      shape: in the hub's orientation: a matrix is [out, in].
      dtype: its name in safetensors; perhaps none of `FLOAT_DTYPES`.
      where: the file, for messages.
      read: returns a part of it; one slice with whole bounds for each axis. Raises UserError.
      together: whether all processes must read it at once, as it is spread over their devices.
    """

    shape: tuple[int, ...]
    dtype: str
    where: str
    read: Callable[[Index], np.ndarray]
    together: bool = False

    @property
    def whole(self) -> Index:
        """The index of all of it."""
        return tuple(slice(0, size) for size in self.shape)


def open_folder(
    folder: pathlib.Path, spec: config_lib.ModelConfig, leaves: Iterable[str]
) -> dict[str, Tensor]:
    """Returns the tensors of a model folder by their Hugging Face names; reads no values.

    Args:
      folder: a Hugging Face model folder, or one that `sah convert` wrote.
      spec: its architecture.
      leaves: the paths in `params` that an Orbax checkpoint must have, such as "embed".

    Raises:
      UserError: there are no weights or two sets of them, a file is missing or damaged, or the
        index does not say what is in the shards.
    """
    found = [name for name in (WEIGHTS_FILE, INDEX_FILE, ORBAX_FOLDER) if (folder / name).exists()]
    if not found:
        raise errors.UserError(
            f"{folder / WEIGHTS_FILE}: is missing; expected a Hugging Face model folder with "
            f"{WEIGHTS_FILE}, with shards and {INDEX_FILE}, or a folder that sah convert wrote.")
    if len(found) > 1:
        raise errors.UserError(
            f"{folder}: has both {found[0]} and {found[1]}, expected one of them; remove the one that is "
            "not the model.")
    if found == [ORBAX_FOLDER]:
        return _open_orbax(folder / ORBAX_FOLDER, spec, leaves)
    return _open_shards(folder) if found == [INDEX_FILE] else _open_file(folder / WEIGHTS_FILE)


def shard_names(index: pathlib.Path) -> dict[str, str]:
    """Returns which file each tensor is in, from a `model.safetensors.index.json`.

    Raises:
      UserError: the file is not such an index.
    """
    try:
        shard_of = json.loads(index.read_text())["weight_map"]
        if not shard_of or any(
                pathlib.PurePath(shard).name != shard or not shard.endswith(".safetensors")
                for shard in shard_of.values()):
            raise ValueError("weight_map does not name files of this folder")
        return dict(shard_of)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.UserError(
            f"{index}: is not an index of safetensors files ({error}); download it again.") from error


def _open_shards(folder: pathlib.Path) -> dict[str, Tensor]:
    index = folder / INDEX_FILE
    shard_of, tensors = shard_names(index), {}
    for shard in sorted(set(shard_of.values())):
        for name, tensor in _open_file(folder / shard).items():
            if shard_of.get(name) != shard:
                says = f"places in {shard_of[name]}" if name in shard_of else "does not list"
                raise errors.UserError(
                    f"{folder / shard}: has the tensor {name!r}, which {INDEX_FILE} {says}; "
                    "download index and shards again.")
            tensors[name] = tensor
    if missing := sorted(shard_of.keys() - tensors.keys()):
        raise errors.UserError(
            f"{index}: places the tensor {missing[0]!r} in {shard_of[missing[0]]}, which does not have it; "
            "download index and shards again.")
    return tensors


def _open_file(path: pathlib.Path) -> dict[str, Tensor]:
    try:
        # Not mapped: pages of a mapped file would stay in memory until it is closed.
        file = safetensors.safe_open(path, framework="numpy", backend="pread")
        views = {name: file.get_slice(name) for name in file.keys()}
    except FileNotFoundError as error:
        raise errors.UserError(
            f"{path}: is missing; expected all files of the checkpoint; download it again.") from error
    except (OSError, safetensors.SafetensorError) as error:
        raise _unreadable(path, error) from error

    def reader(name: str, view) -> Callable[[Index], np.ndarray]:
        def read(index: Index) -> np.ndarray:
            try:
                # Handed over, not kept: a view remembers nothing that it read.
                return view[index] if index else file.get_tensor(name)
            except (OSError, safetensors.SafetensorError) as error:
                raise _unreadable(path, error) from error
        return read

    return {
        name: Tensor(tuple(view.get_shape()), view.get_dtype(), str(path), reader(name, view))
        for name, view in views.items()}


def _open_orbax(
    folder: pathlib.Path, spec: config_lib.ModelConfig, leaves: Iterable[str]
) -> dict[str, Tensor]:
    import tensorstore

    kvstore = {"driver": "ocdbt", "base": {"driver": "file", "path": str(folder.resolve())}}
    header = "/.zarray"
    try:
        keys = tensorstore.KvStore.open(kvstore).result().list().result()
        stored = {key.decode().removesuffix(header) for key in keys if key.decode().endswith(header)}
        arrays = {leaf: tensorstore.open(
            {"driver": "zarr", "kvstore": {**kvstore, "path": leaf + "/"}}, open=True, read=True).result()
            for leaf in sorted(stored)}
    except (OSError, ValueError) as error:
        raise _unreadable(folder, error) from error
    ours = {leaf.replace("/", "."): leaf for leaf in leaves}
    if differing := sorted(stored ^ ours.keys()):
        raise errors.UserError(
            f"{folder}: {differing[0]!r} is {'surplus' if differing[0] in stored else 'missing'}; "
            "check that config.json belongs to these weights, or convert the model again.")
    return {
        name: tensor for key, array in arrays.items()
        for name, tensor in _of_leaf(
            ours[key], tuple(array.shape), array.dtype.name, spec, str(folder), _orbax_reader(array, folder)
        ).items()}


def _orbax_reader(array, folder: pathlib.Path) -> Callable:
    def read(index: tuple) -> np.ndarray:
        try:
            return array[index].read().result()
        except (OSError, ValueError) as error:
            raise _unreadable(folder, error) from error
    return read


def of_params(params: dict, spec: config_lib.ModelConfig, dtype: str | None = None) -> dict[str, Tensor]:
    """Returns the checkpoint tensors of a `params` tree on devices, in a NumPy dtype or in its own."""
    tensors = {}
    for leaf, array in traverse_util.flatten_dict(params, sep="/").items():
        kind = np.dtype(dtype or array.dtype)

        together = isinstance(array, jax.Array) and not array.is_fully_addressable

        def read(index: tuple, array=array, kind=kind, together=together) -> np.ndarray:
            part = array[index]
            if together:
                part = multihost_utils.process_allgather(part, tiled=True)
            return np.asarray(part).astype(kind, copy=False)

        tensors |= _of_leaf(leaf, array.shape, kind.name, spec, "the parameters", read, together)
    return tensors


def _unreadable(path: pathlib.Path, error: Exception) -> errors.UserError:
    said = " ".join(str(error).split())
    return errors.UserError(f"{path}: cannot be read ({said}); download or convert it again.")


def _of_leaf(
    leaf: str, shape: tuple[int, ...], dtype: str, spec: config_lib.ModelConfig, where: str, read: Callable,
    together: bool = False,
) -> dict[str, Tensor]:
    """Returns the checkpoint tensors that one of our leaves holds.

    Args:
      leaf: its path in `params`, such as "layers/attention/q/kernel".
      shape: the leaf's.
      dtype: NumPy's name of the dtype of its tensors.
      spec: the architecture.
      where: for messages.
      read: (index of the leaf: for a leaf of the layers the layer first, then slices) -> array.
      together: as in `Tensor`.
    """
    names, transpose = hf_names.tensor_names(leaf, spec)
    stacked = leaf not in hf_names.OUTER
    called = {value.name: name for name, value in FLOAT_DTYPES.items()}.get(dtype, dtype)

    def reader(prefix: tuple) -> Callable[[Index], np.ndarray]:
        if transpose:
            return lambda index: read((*prefix, *index[::-1])).T
        return lambda index: read((*prefix, *index))

    if stacked and (not shape or shape[0] != spec.layers):
        raise errors.UserError(
            f"{where}: {leaf} has shape {shape}, config.json has {spec.layers} layers; "
            "check that config.json belongs to these weights.")
    inner = shape[1:] if stacked else shape
    return {
        name: Tensor(inner[::-1] if transpose else inner, called, where,
                     reader((layer,) if stacked else ()), together)
        for layer, name in enumerate(names)}
