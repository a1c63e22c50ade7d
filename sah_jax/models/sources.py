"""Where a base model is: what a user calls it, and what finds the same one again.

A model is called by one of
  a folder           with config.json, tokenizer.json and weights
  a shipped name     such as "nano"
  ORG/NAME           a model on the hub; ORG/NAME@REVISION for a branch, tag or commit
and each may end in `#step0-seedN`: the same architecture and tokenizer before any training, its
weights drawn from seed N (see `sah_jax.models.init`). Weights need not be there then.
"""

import dataclasses
import pathlib
import re

from sah_jax import errors

SHIPPED = pathlib.Path(__file__).parent / "nano"
"""The folder of the base models that come with the package."""

_HUB_ID = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./+-]+))?")
_STEP0 = re.compile(r"step0-seed(?P<seed>\d{1,9})")


@dataclasses.dataclass(frozen=True)
class Source:
    """A base model that was found.

    Attributes:
      folder: where its files are.
      name: for tables and file names.
      source: finds the same model again, from any working directory: a full path, a shipped
        model's name, or ORG/NAME@COMMIT.
      seed: of its random weights; None if it has weights of its own.
    """

    folder: pathlib.Path
    name: str
    source: str
    seed: int | None = None


def find(model: str | pathlib.Path, revision: str | None = None, weights: bool = True) -> Source:
    """Finds a base model; downloads what is not here of a model on the hub.

    Args:
      model: what it is called, see this module's description.
      revision: the same as @REVISION.
      weights: whether weights are wanted; a download is small without them.

    Raises:
      UserError: there is no such folder or model, or it cannot be downloaded.
    """
    text, _, variant = str(model).partition("#")
    if not variant:
        return _find(text, revision, weights)
    match = _STEP0.fullmatch(variant)
    if match is None:
        raise errors.UserError(
            f"{model}: ends in '#{variant}', expected #step0-seedN with a whole number N; correct it.")
    found = _find(text, revision, weights=False)
    seed = int(match["seed"])
    ending = f"step0-seed{seed}"
    return dataclasses.replace(
        found, name=f"{found.name}-{ending}", source=f"{found.source}#{ending}", seed=seed)


def _find(model: str, revision: str | None, weights: bool) -> Source:
    path = pathlib.Path(model)
    if not path.exists() and (SHIPPED / model).is_dir():
        path = SHIPPED / model
    match = _HUB_ID.fullmatch(model)
    if match and not path.exists():
        return _find_on_hub(match["repo"], match["revision"], revision, weights)
    if not path.is_dir():
        raise errors.UserError(
            f"{path}: is not a folder; expected a Hugging Face model folder, a hub id ORG/NAME or one of "
            f"the shipped models {', '.join(sorted(p.name for p in SHIPPED.iterdir() if p.is_dir()))}.")
    if revision is not None:
        raise errors.UserError(
            f"{path}: is a folder, which has no revision {revision!r}; give a hub id or no revision.")
    path = path.resolve()
    return Source(path, path.name, path.name if path.parent == SHIPPED.resolve() else str(path))


def _find_on_hub(repo: str, stated: str | None, revision: str | None, weights: bool) -> Source:
    from sah_jax.models import hub

    if stated and revision:
        raise errors.UserError(
            f"{repo}: has the revisions {stated!r} and {revision!r}, expected one; remove the other.")
    revision = stated or revision
    folder = hub.snapshot(repo, revision, weights)
    name = repo.split("/")[1]
    if revision:
        short = revision[:7] if re.fullmatch("[0-9a-f]{40}", revision) else revision.replace("/", "-")
        name = f"{name}@{short}"
    return Source(folder, name, f"{repo}@{folder.name}")
