"""Base models and data sets on the Hugging Face hub, through `huggingface_hub` and its cache.

The cache is where HF_HOME says. With HF_HUB_OFFLINE=1, or without a network, what the cache has is
used.
"""

import pathlib

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub import errors as hub_errors

from sah_jax import errors
from sah_jax.models import stores

_SMALL_FILES = ("config.json", "tokenizer.json")


def snapshot(repo: str, revision: str | None, weights: bool) -> pathlib.Path:
    """Returns the cache's folder of a model at a revision; its name is the commit's hash.

    Downloads config.json and tokenizer.json and, with `weights`, the safetensors files that make
    up the model, and nothing else.

    Args:
      repo: ORG/NAME.
      revision: a branch, tag or commit; None for the main branch.
      weights: whether the weights are wanted.

    Raises:
      UserError: there is no such model or revision, it may not be read, or it is neither in the
        cache nor can the hub be reached.
    """
    wanted = _SMALL_FILES + ((stores.INDEX_FILE,) if weights else ())
    folder = download(repo, revision, wanted)
    if not weights:
        return folder
    shards = (stores.WEIGHTS_FILE,)
    if (folder / stores.INDEX_FILE).is_file():
        shards = tuple(sorted(set(stores.shard_names(folder / stores.INDEX_FILE).values())))
    # Of the commit that was found, should the branch move meanwhile.
    return download(repo, folder.name, wanted + shards)


def download(
    repo: str, revision: str | None, files: tuple[str, ...], kind: str = "model"
) -> pathlib.Path:
    """Returns the cache's folder of a repository at a revision, with those of the files that it has.

    Args:
      repo: ORG/NAME.
      revision: a branch, tag or commit; None for the main branch.
      files: paths in the repository.
      kind: model or dataset.

    Raises:
      UserError: as `snapshot`.
    """
    at = f"{repo} at revision {revision}" if revision else repo
    try:
        return pathlib.Path(huggingface_hub.snapshot_download(
            repo, repo_type=kind, revision=revision, allow_patterns=list(files)))
    except hub_errors.GatedRepoError as error:
        page = repo if kind == "model" else f"{kind}s/{repo}"
        raise errors.UserError(
            f"{repo}: is gated on the hub, and this account may not read it; accept its terms at "
            f"https://huggingface.co/{page} and log in with hf auth login.") from error
    except hub_errors.RepositoryNotFoundError as error:
        raise errors.UserError(
            f"{repo}: is neither a folder here nor a {kind} on the hub that this account may read; "
            "correct the name, or log in with hf auth login if it is private.") from error
    except hub_errors.RevisionNotFoundError as error:
        raise errors.UserError(
            f"{repo}: has no revision {revision!r} on the hub; give a branch, tag or commit of it."
        ) from error
    except hub_errors.LocalEntryNotFoundError as error:
        raise errors.UserError(
            f"{at}: is not or not wholly in the cache {constants.HF_HUB_CACHE}, and the hub "
            "cannot be reached; connect (and unset HF_HUB_OFFLINE), or copy the cache from a machine "
            "that has it.") from error
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise errors.UserError(f"{at}: cannot be downloaded ({said}); try again.") from error
