"""The points of a study: models x tasks x families x settings x seeds."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sah_jax import errors, hosts, version
from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import quantize, sharding, sources
from sah_jax.programs import base as family_lib
from sah_jax.programs import registry
from sah_jax.studies import rows as rows_lib
from sah_jax.tasks import base as task_lib
from sah_jax.tasks import registry as task_registry


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """What a config file says; see `configs/demo.py`.

    Attributes:
      models: what `sah_jax.models.sources` describes: folders, shipped names, hub ids.
      dtype: what the models are computed in.
      tasks: task names with their options, see `sah_jax.tasks.options`.
      families: for each family, the settings to run.
      seeds: each setting is run with each seed.
      num_selection, num_test: how many items of a split are scored.
      selection: the split that frontier points are chosen on.
      check: whether a file ends in 32 bits by which a reader without its sidecar tells that it
        was altered, or is read under another model or numerics profile.
      mesh: the mesh that models are split over, such as "data=2,fsdp=4"; "" for one device. A config
        may also say it as a dictionary.
      decode_mesh: what they are split over while texts are generated, such as "tensor=8"; "" for the
        mesh, on which each device then has whole weights but for `tensor`.
      remat: what layers compute again in a backward pass, see `decoder.REMAT_POLICIES`.
      quantization: how the base weights are quantised, one of `quantize.SCHEMES`; "" for not at all.
      checkpoint_every: steps of a fit between checkpoints; 0 for none.
      fit_tokens: the most tokens of one training step, over all the points that it fits at once: points
        that differ in what changes no shape are fitted together, as many as fit in. 0 for each alone.
    """

    models: tuple[str, ...]
    dtype: str
    tasks: tuple[str, ...]
    families: dict[str, tuple[dict[str, Any], ...]]
    seeds: tuple[int, ...]
    num_selection: int
    num_test: int
    selection: str
    check: bool
    mesh: str = ""
    decode_mesh: str = ""
    remat: str = "none"
    quantization: str = ""
    checkpoint_every: int = 0
    fit_tokens: int = 16384


def parse_config(given: Mapping[str, Any]) -> StudyConfig:
    """Checks a config and every setting in it, before anything runs.

    Raises:
      UserError: a key is missing, unknown or holds what it should not.
    """
    fields = dataclasses.fields(StudyConfig)
    names = [field.name for field in fields]
    required = {field.name for field in fields if field.default is dataclasses.MISSING}
    defaults = {field.name: field.default for field in fields if field.name not in required}
    if wrong := sorted((required - set(given)) | (set(given) - set(names))):
        raise errors.UserError(
            f"config key {wrong[0]!r} is {'unknown' if wrong[0] in given else 'missing'}; "
            f"a study has the keys {', '.join(names)}.")
    given = {**defaults, **given}
    for key, kind in (("models", str), ("tasks", str), ("seeds", int)):
        values = given[key]
        if not isinstance(values, (list, tuple)) or not values or any(type(v) is not kind for v in values):
            raise errors.UserError(
                f"config key {key!r} is {values!r}, expected a tuple of at least one {kind.__name__}.")
    if given["dtype"] not in base_lib.DTYPES:
        raise errors.UserError(
            f"config key 'dtype' is {given['dtype']!r}, expected one of {', '.join(base_lib.DTYPES)}.")
    for model in given["models"]:
        sources.find(model, weights=False)
    mesh, decode_mesh = _mesh_texts(given["mesh"], given["decode_mesh"])
    if given["remat"] not in decoder_lib.REMAT_POLICIES:
        raise errors.UserError(
            f"config key 'remat' is {given['remat']!r}, expected one of "
            f"{', '.join(decoder_lib.REMAT_POLICIES)}.")
    if given["quantization"]:
        quantize.check_scheme(given["quantization"])
    every = given["checkpoint_every"]
    if type(every) is not int or every < 0:
        raise errors.UserError(
            f"config key 'checkpoint_every' is {every!r}, expected a number of steps, or 0 for none.")
    if type(given["fit_tokens"]) is not int or given["fit_tokens"] < 0:
        raise errors.UserError(
            f"config key 'fit_tokens' is {given['fit_tokens']!r}, expected a number of tokens, or 0.")
    for key in ("num_selection", "num_test"):
        if not isinstance(given[key], int) or given[key] < 2:
            raise errors.UserError(
                f"config key {key!r} is {given[key]!r}, expected an integer of at least 2.")
    if given["selection"] not in rows_lib.SELECTION_SPLITS:
        raise errors.UserError(
            f"config key 'selection' is {given['selection']!r}, expected one of "
            f"{', '.join(rows_lib.SELECTION_SPLITS)}.")
    if not isinstance(given["check"], bool):
        raise errors.UserError(f"config key 'check' is {given['check']!r}, expected True or False.")
    try:
        families = {name: tuple(dict(setting) for setting in settings)
                    for name, settings in dict(given["families"]).items()}
    except (TypeError, ValueError) as error:
        raise errors.UserError(
            f"config key 'families' is {given['families']!r}, expected a tuple of settings for each family."
        ) from error
    for name, settings in families.items():
        for setting in settings:
            family_lib.parse_setting(registry.get_family(name), setting)
    # However its options are spelled, a task has one name.
    tasks = tuple(dict.fromkeys(task_registry.get_task(task).name for task in given["tasks"]))
    return StudyConfig(
        models=tuple(given["models"]), dtype=given["dtype"], tasks=tasks,
        families=families, seeds=tuple(given["seeds"]), num_selection=given["num_selection"],
        num_test=given["num_test"], selection=given["selection"], check=given["check"], mesh=mesh,
        decode_mesh=decode_mesh, remat=given["remat"], quantization=given["quantization"],
        checkpoint_every=every, fit_tokens=given["fit_tokens"])


def _mesh_texts(mesh: Any, decode_mesh: Any) -> tuple[str, str]:
    """Returns a config's meshes as `sharding.mesh_text` says them, checked against the devices there are."""
    texts = []
    for key, given in (("mesh", mesh), ("decode_mesh", decode_mesh)):
        try:
            sizes = given if isinstance(given, str) else ",".join(f"{a}={n}" for a, n in dict(given).items())
        except (TypeError, ValueError) as error:
            raise errors.UserError(
                f"config key {key!r} is {given!r}, expected sizes of {', '.join(sharding.AXES)}.") from error
        texts.append(sizes)
    made = sharding.parse_mesh(texts[0])
    decoding = sharding.parse_decode_mesh(texts[1], made)
    return sharding.mesh_text(made), sharding.mesh_text(decoding) if texts[1] else ""


@dataclasses.dataclass(frozen=True)
class Point:
    """One program to make."""

    task: str
    family: str
    setting: dict[str, Any]
    seed: int

    def label(self) -> str:
        """Returns a short description for people."""
        told = ", ".join(f"{key}={value}" for key, value in self.setting.items())
        return f"{self.family}({told})" + (f" seed {self.seed}" if self.seed else "")

    def matches(self, only: str, model: str) -> bool:
        """Whether the point, of a model of this name, is one of those that `--only` makes."""
        return only in f"{model} {self.task} {self.label()}"

    def name(self, config: StudyConfig, model: str, base_digest: str) -> str:
        """Returns the point's name: readable, and different where anything that matters is."""
        content = [
            version.__version__, base_digest, config.dtype, config.mesh, config.decode_mesh, config.remat,
            self.task_digest(config), self.family, self.setting, self.seed, config.num_selection,
            config.num_test, config.selection, config.check]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        # A folder's name; the digest tells tasks apart that are spelled alike in it.
        task = re.sub(r"[^\w.-]+", "-", self.task)
        return f"{model}.{task}.{self.family}.{digest[:10]}"

    def task_digest(self, config: StudyConfig) -> str:
        """Returns the digest of the task with all data that the point hangs on."""
        trained = ("train",) if registry.get_family(self.family).reads_examples else ()
        return task_lib.digest(task_registry.get_task(self.task), ("test", config.selection, *trained))


def points(config: StudyConfig) -> Iterator[Point]:
    """Yields the points of one model, cheap families first as the config lists them."""
    for task in config.tasks:
        for family, settings in config.families.items():
            for setting in settings:
                for seed in config.seeds:
                    yield Point(task, family, setting, seed)


def groups(config: StudyConfig) -> Iterator[list[Point]]:
    """Yields the points of one model in groups that are fitted together, which hang on the config alone."""
    alike: dict[Any, list[Point]] = {}
    for number, point in enumerate(points(config)):
        family = registry.get_family(point.family)
        setting, key = family_lib.parse_setting(family, point.setting), number
        if hasattr(family, "fit_together") and not family.alone and _lanes(config, setting) > 1:
            # The longest fit of a group decides how many steps all its lanes take: not twice what one needs.
            length = (setting.epochs * setting.num_examples).bit_length()
            key = (point.task, point.family, family.together(setting), length)
        alike.setdefault(key, []).append(point)
    for group in alike.values():
        setting = family_lib.parse_setting(registry.get_family(group[0].family), group[0].setting)
        size = _lanes(config, setting) if len(group) > 1 else 1
        for first in range(0, len(group), size):
            yield group[first : first + size]


def _lanes(config: StudyConfig, setting: Any) -> int:
    """Returns how many points of a setting's shapes one step fits."""
    if hosts.in_job():
        return 1
    return config.fit_tokens // (setting.batch_size * setting.max_tokens)
