"""Where arrays live on a mesh of devices: axes, rules from leaf paths to specs, and their errors.

The axes:
  data    copies of the weights, each with its part of the batch
  fsdp    weights split, gathered when they are used (ZeRO stage 3); the batch is split over it too
  tensor  matrix products split (Megatron)

A rule is a regular expression that matches the end of a leaf's path ("attention/q/kernel"), so
the same rules serve the weights, what is fitted, and an optimizer's moments of either. Scalars
are on every device. Shape suffixes as in `sah_jax.models.decoder`.
"""

import functools
import itertools
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sah_jax import errors

AXES = ("data", "fsdp", "tensor")
BATCH = ("data", "fsdp")
"""The axes that rows of a batch are split over."""


class Rule(NamedTuple):
    """A regular expression for the end of a leaf's path, and how such a leaf is split."""

    pattern: str
    spec: P


_INTO = r"(attention/[qkv]|ffn/(gate|up))"  # projections out of the model's width
_OUT_OF = r"(attention/o|ffn/down)"  # and back into it

WEIGHTS = (
    Rule(r"embed", P("tensor", "fsdp")),
    Rule(r"head", P("fsdp", "tensor")),
    Rule(rf"{_INTO}/(kernel|codes)", P(None, "fsdp", "tensor")),
    Rule(rf"{_OUT_OF}/(kernel|codes)", P(None, "tensor", "fsdp")),
    # The scales of quantised kernels have few rows.
    Rule(rf"{_INTO}/scales", P(None, None, ("tensor", "fsdp"))),
    Rule(rf"{_OUT_OF}/scales", P(None, None, "fsdp")),
    Rule(r"bias", P()),
    Rule(r"(\w+_)?norm/scale", P()),
)
"""The base weights, layers stacked on axis 0."""

PROGRAM = (
    # The side that meets the residual stream lies as its kernel does. The other side takes both
    # axes: left to `tensor` alone, half of each pair would be on every device of an FSDP mesh.
    Rule(rf"{_INTO}/a", P(None, "fsdp", None)),
    Rule(rf"{_INTO}/b", P(None, None, ("tensor", "fsdp"))),
    Rule(rf"{_OUT_OF}/a", P(None, ("tensor", "fsdp"), None)),
    Rule(rf"{_OUT_OF}/b", P(None, None, "fsdp")),
    Rule(r"attention/prefix_[kv]", P(None, None, "tensor", None)),
    # Numbers that are few: a vector, embeddings of slots, coefficients.
    Rule(r"vector|soft_prompt|(.*/)?coefficients", P()),
    Rule(r"(attention/[qkvo]|ffn/(gate|up|down))/e", P()),
)
"""What is fitted, and the decoder's `program` collection: pairs, prefixes [J, S, K, H], few numbers."""

DATA = (
    Rule(r"attention/[kv]", P(None, BATCH, "tensor", None, None)),
    Rule(r"(tokens|weights|positions)_BL", P(BATCH, None)),
)
"""The KV cache (keys [J, B, K, H, T], values [J, B, K, T, H]) and batches."""

SMALL = frozenset({"exponent", "spread", "steps", "logits", "rank_logits"})
"""In a leaf's path: what is fitted beside an array, a number for each of its layers. On every device."""

RULES = WEIGHTS + PROGRAM + DATA


def make_mesh(
    data: int = 1, fsdp: int = -1, tensor: int = 1, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """Returns a mesh with the axes `AXES`.

    Args:
      data, fsdp, tensor: how many devices along each axis; one of them may be -1, what is left.
      devices: the devices, also described ones; all of this job's if None.

    Raises:
      UserError: the axes do not multiply to the number of devices.
    """
    devices = jax.devices() if devices is None else list(devices)
    sizes = dict(zip(AXES, (data, fsdp, tensor), strict=True))
    told = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
    open_axes = [axis for axis, size in sizes.items() if size == -1]
    fixed = math.prod(size for size in sizes.values() if size != -1)
    if len(open_axes) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
        raise errors.UserError(
            f"the mesh is {told}, expected sizes of at least 1 of which at most one is -1; change it.")
    if len(devices) % fixed or (not open_axes and fixed != len(devices)):
        raise errors.UserError(
            f"the mesh {told} is of {fixed} devices{' or a multiple' if open_axes else ''}, there are "
            f"{len(devices)}; change an axis, or set one to -1 for what is left.")
    sizes |= {axis: len(devices) // fixed for axis in open_axes}
    return Mesh(mesh_utils.create_device_mesh(tuple(sizes.values()), devices), AXES)


def parse_mesh(text: str) -> Mesh | None:
    """Returns the mesh that a text such as "data=2,fsdp=4" describes; None for "", one device.

    Raises:
      UserError: it describes none, or one of other devices than there are.
    """
    return make_mesh(**parse_sizes(text)) if text else None


def parse_sizes(text: str) -> dict[str, int]:
    """Returns the sizes of the axes that a text such as "data=2,fsdp=4" names.

    Raises:
      UserError: it names no axes and sizes.
    """
    sizes = dict(part.strip().partition("=")[::2] for part in text.split(","))
    if not sizes.keys() <= set(AXES) or not all(re.fullmatch(r"-?\d{1,6}", size) for size in sizes.values()):
        raise errors.UserError(
            f"the mesh is {text!r}, expected sizes of {', '.join(AXES)}, such as data=2,fsdp=4; correct it.")
    return {axis: int(size) for axis, size in sizes.items()}


def mesh_text(mesh: Mesh | None) -> str:
    """Returns what `parse_mesh` makes this mesh of."""
    return "" if mesh is None else ",".join(f"{axis}={size}" for axis, size in mesh.shape.items())


def check_codelength(mesh: Mesh | None) -> None:
    """Raises a `UserError` on a mesh under which no codelength is reported.

    Splitting matrix products adds their terms in another order, which moves logits, most in bfloat16.
    """
    if mesh is not None and mesh.shape["tensor"] > 1:
        raise errors.UserError(
            f"the mesh is {mesh_text(mesh)}, expected tensor=1 where tokens are coded; use data and fsdp.")


def parse_decode_mesh(text: str, mesh: Mesh | None) -> Mesh | None:
    """Returns the mesh that texts are generated on: the devices of `mesh` with other axes.

    Args:
      text: such as "data=2,tensor=4"; "" for the model's own mesh.
      mesh: what the model is split over.

    Raises:
      UserError: it describes no mesh of these devices, or there is no mesh to begin with.
    """
    if not text:
        return mesh
    if mesh is None:
        raise errors.UserError(
            f"the decode mesh is {text!r} and there is no mesh, expected one of the same devices; set the "
            "mesh too, or no decode mesh.")
    # Neighbours stay neighbours, and jitted functions take arrays of both.
    devices = mesh.devices.reshape(-1)
    sizes = make_mesh(**parse_sizes(text), devices=devices).devices.shape
    return Mesh(devices.reshape(sizes), AXES)


def for_decoding(variables: Any, mesh: Mesh | None) -> Any:
    """Returns variables placed on a mesh by `decode_rules`: whole on each device but for `tensor`."""
    if mesh is None:
        return variables
    return place(variables, shardings(variables, mesh, decode_rules()))


def decode_rules(rules: Sequence[Rule] = RULES) -> tuple[Rule, ...]:
    """Returns rules for decoding: the weights split over `tensor` alone.

    Weights that are split over `fsdp` would be gathered again for every token.
    """
    def without_fsdp(part):
        axes = tuple(axis for axis in _axes(part) if axis != "fsdp")
        return (axes[0] if len(axes) == 1 else axes) if axes else None

    return tuple(rule if rule in DATA else Rule(rule.pattern, P(*map(without_fsdp, rule.spec)))
                 for rule in rules)


def partition_specs(tree: Any, mesh: Mesh, rules: Sequence[Rule] = RULES, strict: bool = False) -> Any:
    """Returns the tree with a `PartitionSpec` for each leaf.

    Args:
      tree: arrays or `jax.ShapeDtypeStruct`s.
      mesh: what they are to be split over; see `make_mesh`.
      rules: where leaves belong.
      strict: whether a rule that matches no leaf is an error.

    Raises:
      UserError: a leaf matches no rule, or two that differ; a rule does not suit a leaf's number of
        dimensions, or is unused; or a dimension does not divide by the axes it is split over.
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(tree)
    named = [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]
    specs = [_spec(name, leaf, rules) for name, leaf in named]
    if strict:
        for rule in rules:
            if not any(_matches(rule, name) for name, _ in named):
                raise errors.UserError(
                    f"the sharding rule {rule.pattern!r} matches no leaf, expected each to match one; "
                    f"correct or remove it (leaves are {named[0][0]!r}, ...).")
    split = [(name, leaf.shape, spec) for (name, leaf), spec in zip(named, specs, strict=True)]
    if wrong := _indivisible(split, mesh.shape):
        raise errors.UserError(f"{wrong}; {_suggestion(wrong, split, mesh.shape)}.")
    return jax.tree.unflatten(treedef, specs)


def shardings(tree: Any, mesh: Mesh, rules: Sequence[Rule] = RULES, strict: bool = False) -> Any:
    """Returns the tree with a `NamedSharding` for each leaf; see `partition_specs`."""
    specs = partition_specs(tree, mesh, rules, strict)
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda x: isinstance(x, P))


def padded_rows(vocab_size: int, *meshes: Mesh | None) -> int:
    """Returns how many embedding rows meshes want: the vocabulary, or the next multiple of each `tensor`."""
    parts = math.lcm(*(1 if mesh is None else mesh.shape["tensor"] for mesh in meshes))
    return -(-vocab_size // parts) * parts


def place(tree: Any, places: Any) -> Any:
    """Puts arrays where a tree of shardings says.

    On several hosts each gives the same whole arrays, and keeps its own devices' parts; or arrays
    that are spread over all of them, which then move to another sharding over the same devices.
    """
    def put(leaf, sharding):
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return leaf if leaf.sharding == sharding else _mover(sharding)(leaf)
        if sharding.is_fully_addressable:
            return jax.device_put(leaf, sharding)
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(put, tree, places)


@functools.lru_cache(maxsize=64)
def _mover(sharding: jax.sharding.Sharding) -> Callable[[jax.Array], jax.Array]:
    return jax.jit(lambda leaf: leaf, out_shardings=sharding)


def row_parts(mesh: Mesh | None) -> int:
    """Returns how many parts the mesh splits the rows of a batch into."""
    return 1 if mesh is None else math.prod(mesh.shape[axis] for axis in BATCH)


def batch_parts(rows: int, mesh: Mesh | None) -> int:
    """Returns how many parts the rows of a batch are split into: 1 if they do not divide."""
    parts = row_parts(mesh)
    return 1 if rows % parts else parts


def split_rows(x: jax.Array, mesh: Mesh | None) -> jax.Array:
    """Returns x with its axis 0, the rows of a batch, split over the mesh if they divide."""
    if batch_parts(len(x), mesh) == 1:
        return x
    return jax.lax.with_sharding_constraint(x, NamedSharding(mesh, P(BATCH)))


def gathered(leaf: jax.Array, path: str, mesh: Mesh | None) -> jax.Array:
    """Returns one layer's part of a leaf with all that `fsdp` splits on every device.

    Args:
      leaf: without the axis J of layers.
      path: the leaf's path, which the rules know.
      mesh: what it is split over; None for one device.
    """
    if mesh is None:
        return leaf
    spec = _spec(path, jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), decode_rules())
    return jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, P(*spec[1:])))


class Row(NamedTuple):
    """Where one leaf lives."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    spec: P
    bytes_per_device: int


def describe(tree: Any, mesh: Mesh, rules: Sequence[Rule] = RULES) -> Any:
    """Returns the tree as `jax.ShapeDtypeStruct`s that have shardings.

    Raises:
      UserError: see `partition_specs`.
    """
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
        tree, shardings(tree, mesh, rules))


def table(tree: Any) -> list[Row]:
    """Returns a row for each leaf of a tree that lies on a mesh or is described so, in its order."""
    rows = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        size = math.prod(leaf.sharding.shard_shape(leaf.shape)) * np.dtype(leaf.dtype).itemsize
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        rows.append(Row(name, leaf.shape, np.dtype(leaf.dtype).name, leaf.sharding.spec, size))
    return rows


def _matches(rule: Rule, name: str) -> bool:
    return re.fullmatch(rf"(.*/)?({rule.pattern})", name) is not None


def _axes(part: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Returns the axes that one dimension is split over."""
    return () if part is None else (part,) if isinstance(part, str) else tuple(part)


def _spec(name: str, leaf: Any, rules: Sequence[Rule]) -> P:
    if not leaf.shape or SMALL & set(name.split("/")):
        return P()
    found = [rule for rule in rules if _matches(rule, name)]
    if not found:
        raise errors.UserError(
            f"{name} of shape {leaf.shape} matches no sharding rule, expected one; add a rule for it.")
    for rule in found[1:]:
        if rule.spec != found[0].spec:
            raise errors.UserError(
                f"{name} matches the sharding rules {found[0].pattern!r} and {rule.pattern!r}, whose specs "
                f"{found[0].spec} and {rule.spec} differ; make one of them more particular.")
    if len(found[0].spec) > len(leaf.shape):
        raise errors.UserError(
            f"{name} has shape {leaf.shape}, the sharding rule {found[0].pattern!r} is for "
            f"{len(found[0].spec)} dimensions; add a rule for it.")
    return found[0].spec


_Split = list[tuple[str, tuple[int, ...], P]]


def _indivisible(split: _Split, sizes: dict[str, int]) -> str:
    """Says which leaf's dimension does not divide by its axes; '' if all do."""
    for name, shape, spec in split:
        for number, (size, part) in enumerate(zip(shape, spec, strict=False)):
            parts = math.prod(sizes[axis] for axis in _axes(part))
            if size % parts:
                told = " x ".join(f"{axis}={sizes[axis]}" for axis in _axes(part) if sizes[axis] > 1)
                return (f"{name} has shape {shape}, whose dimension {number} of {size} does not divide by "
                        f"{told}")
    return ""


def _suggestion(wrong: str, split: _Split, sizes: dict[str, int]) -> str:
    """Says what to change: the nearest mesh of as many devices that fits, or the vocabulary."""
    count, near = math.prod(sizes.values()), []
    divisors = [size for size in range(1, count + 1) if count % size == 0]
    for data, fsdp in itertools.product(divisors, divisors):
        if count % (data * fsdp):
            continue
        other = dict(zip(AXES, (data, fsdp, count // (data * fsdp)), strict=True))
        if not _indivisible(split, other):
            near.append((sum(abs(math.log2(other[axis] / sizes[axis])) for axis in AXES), other))
    told = "no mesh of so many devices fits; use fewer"
    if near:
        best = min(near, key=lambda pair: pair[0])[1]
        told = "take the mesh " + ", ".join(f"{axis}={size}" for axis, size in best.items())
    if re.match(r"(.*/)?(embed|head) has", wrong):
        told += ", or pad the vocabulary (Decoder.vocab_rows, see padded_rows)"
    return told
