"""What there is to do of a study and what is done, without doing any of it: what `sah study --list` shows.

Nothing is compiled, no weights are read and none are downloaded; of a model on the hub that is not here, the
small files that say its architecture are.
"""

import dataclasses
import functools
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import rich.console

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import config as config_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import hf_config, quantize, sharding, sources
from sah_jax.planning import topologies
from sah_jax.programs import base as family_lib
from sah_jax.programs import registry
from sah_jax.studies import claims, estimates, grid
from sah_jax.studies import results as results_lib
from sah_jax.studies import rows as rows_lib
from sah_jax.tasks import registry as task_registry

DONE, PENDING, MISSING = STATES = ("done", "pending", "missing")
"""Verified; made, and waiting for its verdict; neither."""

DEFAULT_CHIP = "v5p"


@dataclasses.dataclass(frozen=True)
class Model:
    """A base model of a study.

    Attributes:
      model: what the config calls it.
      name: what rows call it; "" where it is not found.
      spec: its architecture; None where that is not known.
      device_bytes: what its weights take of each device; 0 where that is not known.
      here: whether its weights can be read without a download.
      problem: why it is not found, or is known in part only; "" if nothing is wrong.
    """

    model: str
    name: str = ""
    spec: config_lib.ModelConfig | None = None
    device_bytes: int = 0
    here: bool = False
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A point; `cost` is an estimate, None where the model's architecture is not known."""

    model: Model
    point: grid.Point
    state: str
    cost: estimates.Cost | None


@dataclasses.dataclass(frozen=True)
class Group:
    """Points that are alike: of one model, task and family, or all of a study.

    Attributes:
      entries: the points, at least one.
      claimed: how many of them processes work on now.
      failed: how many could not be made or were refuted, the last time they were tried.
    """

    entries: tuple[Entry, ...]
    claimed: int = 0
    failed: int = 0

    @property
    def model(self) -> Model:
        """The model of the first point."""
        return self.entries[0].model

    @property
    def point(self) -> grid.Point:
        """The first point."""
        return self.entries[0].point

    def count(self, state: str) -> int:
        """Returns how many points are in one of `STATES`."""
        return sum(entry.state == state for entry in self.entries)

    def cost(self, states: Sequence[str] = STATES) -> estimates.Cost | None:
        """Returns what the points in some states cost; None where that is not known."""
        costs = [entry.cost for entry in self.entries if entry.state in states]
        return None if None in costs else sum(costs, estimates.Cost())

    def with_(self, other: "Group") -> "Group":
        """Returns both together."""
        return Group(
            self.entries + other.entries, self.claimed + other.claimed, self.failed + other.failed)


@dataclasses.dataclass(frozen=True)
class Listing:
    """A study as it stands.

    Attributes:
      models: in the config's order.
      groups: its points, model by model.
      devices: how many its mesh is of; None where that hangs on the machine.
      chip_name: what hours are estimated for.
      notes: what could not be told, and why.
    """

    models: tuple[Model, ...]
    groups: tuple[Group, ...]
    devices: int | None
    chip_name: str
    notes: tuple[str, ...] = ()

    @property
    def chip(self) -> topologies.Chip:
        """The chip that hours are estimated for."""
        return topologies.CHIPS[self.chip_name]

    @property
    def whole(self) -> Group:
        """All points."""
        return functools.reduce(Group.with_, self.groups)


def parse(given: Mapping[str, Any]) -> grid.StudyConfig:
    """Checks a config as `grid.parse_config` does, but for whether its models and devices are there.

    Raises:
      UserError: something else is wrong.
    """
    models, meshes = given.get("models"), {key: given.get(key, "") for key in ("mesh", "decode_mesh")}
    named = isinstance(models, (list, tuple)) and models and all(isinstance(model, str) for model in models)
    # In place of models and devices that need not be here, some that are.
    config = grid.parse_config({
        **given, **dict.fromkeys(meshes, ""), **({"models": ("nano",)} if named else {})})
    return dataclasses.replace(
        config, models=tuple(models), **{key: _mesh_text(key, mesh) for key, mesh in meshes.items()})


def _mesh_text(key: str, given: Any) -> str:
    """Returns a mesh as `sharding.mesh_text` says it where that hangs on no devices, else as it is given."""
    if not isinstance(given, str):
        if not isinstance(given, Mapping):
            raise errors.UserError(
                f"config key {key!r} is {given!r}, expected sizes of {', '.join(sharding.AXES)}; correct it.")
        given = ",".join(f"{axis}={size}" for axis, size in given.items())
    sizes = _sizes(given)
    return given if -1 in sizes.values() else ",".join(f"{axis}={size}" for axis, size in sizes.items())


def _sizes(mesh: str) -> dict[str, int]:
    """Returns the size of each axis, -1 for what is left; of "", nothing."""
    given = sharding.parse_sizes(mesh) if mesh else {}
    return {axis: given.get(axis, -1 if axis == "fsdp" else 1) for axis in sharding.AXES} if mesh else {}


def list_points(
    config: grid.StudyConfig, workdir: pathlib.Path | None = None, chip: str = DEFAULT_CHIP, only: str = ""
) -> Listing:
    """Lists the points of a study.

    A point is done or pending where the workdir has a row of its name whose program is there. The name holds
    the digest of a base model, taken from the row: weights are not read to see whether they are the same.

    Args:
      config: the study, from `parse` or `grid.parse_config`.
      workdir: the study's folder, which need not be there.
      chip: one of `topologies.CHIPS`, for estimated hours.
      only: list the points alone that `runner.run` would make of it, and their models; those that are claimed
        or failed are counted by task and family all the same.

    Raises:
      UserError: a file of rows is damaged, there is no such chip, or no such point.
    """
    if chip not in topologies.CHIPS:
        raise errors.UserError(f"the chip is {chip!r}, expected one of {', '.join(topologies.CHIPS)}.")
    found = _Found.read(config, workdir)
    models = tuple(find_model(model, config) for model in config.models)
    groups = []
    for model in models:
        alike: dict[Any, list[grid.Point]] = {}
        for point in grid.points(config):
            if point.matches(only, model.name or model.model):
                alike.setdefault((point.task, point.family), []).append(point)
        groups += [found.group(model, points) for points in alike.values()]
    if not groups:
        raise errors.UserError(f"no model, task and setting of a point holds {only!r}; correct --only.")
    sizes = _sizes(config.mesh)
    devices = None if -1 in sizes.values() else math.prod(sizes.values())
    models = tuple(model for model in models if any(group.model == model for group in groups))
    return Listing(models, tuple(groups), devices, chip, tuple(dict.fromkeys(found.notes)))


def find_model(model: str, config: grid.StudyConfig) -> Model:
    """Returns what is known of a model without its weights."""
    try:
        source = sources.find(model, weights=False)
        spec = hf_config.read(source.folder)
    except errors.UserError as error:
        return Model(model, problem=str(error))
    found = Model(model, source.name, spec, _device_bytes(spec, config), here=True)
    if source.seed is not None:
        return found
    try:
        base_lib.open_tensors(source.folder, spec)
    except errors.UserError as error:
        return dataclasses.replace(found, here=False, problem=str(error))
    return found


def _device_bytes(spec: config_lib.ModelConfig, config: grid.StudyConfig) -> int:
    """Returns what the weights take of each device; of a mesh that hangs on the machine, at the most."""
    dtype = jnp.dtype(config.dtype)
    stored = decoder_lib.abstract_params(decoder_lib.Decoder(spec))
    leaves = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), stored)
    if config.quantization:
        leaves = quantize.abstract(leaves, config.quantization)
    sizes = _sizes(config.mesh)
    parts = max(sizes.get("fsdp", 1), 1) * max(sizes.get("tensor", 1), 1)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(leaves)) // parts


def _cost(config: grid.StudyConfig, model: Model, point: grid.Point) -> estimates.Cost | None:
    if model.spec is None:
        return None
    setting = family_lib.parse_setting(registry.get_family(point.family), point.setting)
    task = task_registry.get_task(point.task)
    return estimates.of_setting(setting, model.spec, task, config.num_selection + config.num_test)


@dataclasses.dataclass
class _Found:
    """What a workdir holds of a study.

    Attributes:
      rows: with their states, by what their points are.
      claimed, failed: names of points.
      notes: collects what could not be told.
    """

    config: grid.StudyConfig
    rows: dict[Any, list[tuple[str, rows_lib.Row]]] = dataclasses.field(default_factory=dict)
    claimed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    notes: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def read(cls, config: grid.StudyConfig, workdir: pathlib.Path | None) -> "_Found":
        if workdir is None:
            return cls(config)
        found = cls(
            config, claimed=tuple(claims.look(workdir)), failed=tuple(results_lib.read(workdir).failed))
        known = results_lib.Results(workdir, rich.console.Console(quiet=True))
        for state, rows in ((DONE, known.rows), (PENDING, known.pending)):
            for row in rows:
                point = grid.Point(row.dataset_name, row.experiment_name, row.strategy_hparams, row.seed)
                found.rows.setdefault(_key(row.model_name, point), []).append((state, row))
        return found

    def group(self, model: Model, points: Sequence[grid.Point]) -> Group:
        """Returns the points of one model, task and family as they stand."""
        entries = tuple(
            Entry(model, point, self._state(model, point), _cost(self.config, model, point))
            for point in points)
        begins = ""
        if model.name and (self.claimed or self.failed):
            # Names end in a digest, of the base model too.
            begins = self._name(points[0], model.name, "").rpartition(".")[0]
        count = lambda names: sum(name.rpartition(".")[0] == begins for name in names) if begins else 0
        return Group(entries, count(self.claimed), count(self.failed))

    def _state(self, model: Model, point: grid.Point) -> str:
        for state, row in self.rows.get(_key(model.name, point), ()):
            # Also dtype, mesh, data and numbers of items are in the name.
            if self._name(point, row.model_name, row.base_digest) == row.point:
                return state
        return MISSING

    def _name(self, point: grid.Point, model: str, base_digest: str) -> str:
        try:
            return point.name(self.config, model, base_digest)
        except errors.UserError as error:  # the task's data are not here
            self.notes.append(f"{point.task}: {error}")
            return ""


def _key(model: str, point: grid.Point) -> tuple:
    return model, point.task, point.family, json.dumps(point.setting, sort_keys=True), point.seed
