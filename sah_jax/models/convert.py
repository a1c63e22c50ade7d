"""Conversion of a base model to an Orbax checkpoint, which loads faster and shard by shard.

The folder holds config.json and tokenizer.json as they were, `params/` (Orbax: OCDBT, one chunk a
layer or less, so that a device's part is read without the rest) and sah.json:
  source        what finds the original again
  dtype         what the weights are stored in
  num_params    how many numbers they are
  source_digest, base_digest
                the digests of the original and of what is here; equal where no value was converted
  parity        how far logits are from those of transformers, see `sah_jax.models.parity`
"""

import json
import os
import pathlib
import shutil
import time
from collections.abc import Callable
from typing import Any

import jax

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import parity, sources, stores, weights

_CHUNK_BYTES = 64 << 20
_SECONDS = 2  # between two lines of progress
_COPIED = ("config.json", "tokenizer.json")

Say = Callable[[str], None]


def convert(
    model: str,
    out: pathlib.Path,
    *,
    dtype: str | None = None,
    revision: str | None = None,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Writes a base model as a folder that `load_base` reads; all of it or nothing.

    The host holds the weights once. An `out` that holds the same model in the same dtype is left
    as it is.

    Args:
      model: what it is called, see `sah_jax.models.sources`.
      out: the folder to write.
      dtype: one of `base.DTYPES`; None keeps what is stored.
      revision: of a model on the hub.
      say: gets a line of progress now and then.

    Returns:
      The record in sah.json.

    Raises:
      UserError: the model cannot be read, `out` holds something else, or it cannot be written.
    """
    if dtype is not None and dtype not in base_lib.DTYPES:
        raise errors.UserError(
            f"dtype is {dtype!r}, expected one of {', '.join(base_lib.DTYPES)}; change it.")
    found = sources.find(model, revision)
    if out.exists():
        return _same(found, out, dtype, say)
    base = base_lib.read_base(found, dtype, report=_progress("read", say))
    part = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        part.mkdir(parents=True)
        for name in _COPIED:
            shutil.copyfile(found.folder / name, part / name)
        say("writing")
        _write_params(part / stores.ORBAX_FOLDER, base.params)
        record = _record(base, part, say) | {"parity": parity.compare(base, found, say)}
        (part / base_lib.RECORD_FILE).write_text(json.dumps(record, indent=1) + "\n")
        os.rename(part, out)
    except OSError as error:
        raise errors.UserError(
            f"{out}: cannot be written ({error.strerror or error}); make room or choose another folder."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return record


def _same(found: sources.Source, out: pathlib.Path, dtype: str | None, say: Say) -> dict[str, Any]:
    """Returns the record of an existing folder if it is what would be written; else raises UserError."""
    try:
        record = json.loads((out / base_lib.RECORD_FILE).read_text())
        # Nothing was converted where the digests are equal.
        as_wanted = record["source_digest"] == record["base_digest"] if dtype is None else (
            record["dtype"] == dtype)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.UserError(
            f"{out}: exists and is not a folder that sah convert wrote; choose another folder.") from error
    if not as_wanted or record["source_digest"] != base_lib.digest_of(found, _progress("compared", say)):
        raise errors.UserError(
            f"{out}: exists and holds {record.get('source')} in {record.get('dtype')}, which is another "
            "model or another dtype; remove it or choose another folder.")
    say(f"{out} holds the same model already")
    return record


def _progress(what: str, say: Say) -> weights.Report:
    """Returns a report that says a line every few seconds."""
    told = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _SECONDS:
            told = time.monotonic()
            say(f"{what} {done / 1e9:.1f} of {total / 1e9:.1f} GB")

    return report


def _write_params(folder: pathlib.Path, params: dict) -> None:
    import orbax.checkpoint

    def options(path, leaf: jax.Array) -> orbax.checkpoint.SaveArgs:
        by_layer = path[0].key == "layers"
        return orbax.checkpoint.SaveArgs(chunk_byte_size=_CHUNK_BYTES, shard_axes=(0,) if by_layer else ())

    handler = orbax.checkpoint.PyTreeCheckpointHandler(use_ocdbt=True, use_zarr3=False)
    with orbax.checkpoint.Checkpointer(handler) as checkpointer:
        checkpointer.save(folder.resolve(), args=orbax.checkpoint.args.PyTreeSave(
            params, save_args=jax.tree_util.tree_map_with_path(options, params)))


def _record(base: base_lib.BaseModel, part: pathlib.Path, say: Say) -> dict[str, Any]:
    """Reads the new folder back and says what it holds."""
    written = weights.digest(
        base_lib.open_tensors(part, base.spec), base.spec, _progress("read back", say))
    in_memory = weights.digest(stores.of_params(base.params, base.spec), base.spec)
    if written != in_memory:
        raise errors.UserError(
            f"{part}: does not read back as it was written; check the disk and convert again.")
    dtypes = sorted({leaf.dtype.name for leaf in jax.tree.leaves(base.params)})
    return {
        "source": base.source, "dtype": "+".join(dtypes),
        "num_params": base.spec.num_params, "source_digest": base.digest,
        "base_digest": base_lib.content_digest(base.spec, written, base.tokenizer)}
