"""The frozen base model: architecture, tokenizer and weights of one folder, with their digest."""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tokenizers
from flax import traverse_util

from sah_jax import errors, numerics
from sah_jax.models import config as config_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import hf_config, init, quantize, sharding, sources, stores, weights

DTYPES = ("float32", "bfloat16")

SHIPPED = sources.SHIPPED

RECORD_FILE = "sah.json"
"""What `sah convert` writes beside an Orbax checkpoint, see `sah_jax.models.convert`."""


@dataclasses.dataclass(frozen=True, eq=False)
class BaseModel:
    """A base model, as read; nothing writes to it.

    Attributes:
      name: for tables and file names.
      source: what `load_base` finds the same model by, see `sources.Source`.
      spec: the architecture.
      decoder: the Flax module, computing in `dtype`.
      tokenizer: text to tokens and back; see `encode`.
      params: the weights in `dtype`.
      digest: SHA-256 of architecture, weights as stored and tokenizer, in hexadecimal. It does not
        depend on `dtype`, sharding, or the files that the weights are stored in.
      quantization: how the projections were quantised, "" if not; the digest covers it.
      decode_mesh: what the weights are split over while texts are generated, see
        `sharding.parse_decode_mesh`; None for one device.
    """

    name: str
    source: str
    spec: config_lib.ModelConfig
    decoder: decoder_lib.Decoder
    tokenizer: tokenizers.Tokenizer
    params: dict
    digest: str
    quantization: str = ""
    decode_mesh: jax.sharding.Mesh | None = None

    @property
    def dtype(self) -> str:
        """What activations and matmuls are computed in."""
        return jnp.dtype(self.decoder.dtype).name

    def profile(self) -> dict[str, Any]:
        """Returns the numerics profile that this model is computed under."""
        mesh, decode_mesh = map(sharding.mesh_text, (self.decoder.mesh, self.decode_mesh))
        return numerics.profile(
            self.dtype, mesh, self.decoder.remat, self.quantization,
            decode_mesh if decode_mesh != mesh else "")

    def encode(self, text: str) -> list[int]:
        """Returns the tokens of a text, without start and end tokens.

        Raises:
          UserError: the text spells out an end token, which would end it early.
        """
        tokens = self.tokenizer.encode(text, add_special_tokens=False).ids
        if ended := set(tokens) & set(self.spec.end_tokens):
            raise errors.UserError(
                f"the text {text[:40]!r} holds the end token {self.tokenizer.id_to_token(min(ended))!r}, "
                "expected plain text; remove it.")
        return tokens

    def ends(self, stop: Sequence[str]) -> tuple[int, ...]:
        """Returns the tokens that end a generation: the end tokens, and special tokens among stop strings.

        `decode` leaves special tokens out, so a stop string that is one (`<|im_start|>`) never stands in
        a text; where the tokenizer does not have it, it is text like any other.
        """
        special = self.tokenizer.get_added_tokens_decoder().items()
        found = {number for number, token in special if token.special and token.content in stop}
        return *self.spec.end_tokens, *sorted(found - set(self.spec.end_tokens))

    def decode(self, tokens: Sequence[int]) -> str:
        """Returns the text of tokens; special tokens are left out."""
        return self.tokenizer.decode(list(tokens))


def load_base(
    model: str | pathlib.Path,
    dtype: str = "float32",
    mesh: jax.sharding.Mesh | None = None,
    remat: str = "none",
    *,
    revision: str | None = None,
    quantization: str = "",
    params_sharding: Callable[[dict], dict] | None = None,
    decode_mesh: jax.sharding.Mesh | None = None,
) -> BaseModel:
    """Reads a base model: a folder, a shipped model, one on the hub, or any of them at step 0.

    Args:
      model: what it is called, see `sah_jax.models.sources`.
      dtype: what weights are held and activations computed in, one of `DTYPES`.
      mesh: what it is split over, each tensor read straight to where it is wanted; None for one device.
      remat: see `decoder.Decoder`.
      revision: of a model on the hub: a branch, tag or commit.
      quantization: one of `quantize.SCHEMES`, or "" for none.
      params_sharding: from the `params` tree of `jax.ShapeDtypeStruct`s to a tree of
        `jax.sharding.Sharding`s, where the rules for the mesh do not suit.
      decode_mesh: what it is split over while texts are generated; `mesh` if None.

    Raises:
      UserError: the model is not found, or one of its files is missing, damaged or not supported.
    """
    if dtype not in DTYPES:
        raise errors.UserError(f"dtype is {dtype!r}, expected one of {', '.join(DTYPES)}; change it.")
    if remat not in decoder_lib.REMAT_POLICIES:
        raise errors.UserError(
            f"remat is {remat!r}, expected one of {', '.join(decoder_lib.REMAT_POLICIES)}; change it.")
    if quantization:
        quantize.check_scheme(quantization)
    return read_base(
        sources.find(model, revision), dtype, mesh, remat, quantization, params_sharding,
        decode_mesh=decode_mesh)


def load_computed(model: str | pathlib.Path, how: Mapping[str, str]) -> BaseModel:
    """Reads a base model that is to be computed as a config or a numerics profile says.

    Args:
      model: as in `load_base`.
      how: holds a value for `dtype`, and perhaps for others of `numerics.COMPUTED`.

    Raises:
      UserError: see `load_base` and `sharding.parse_mesh`.
    """
    mesh = sharding.parse_mesh(how.get("mesh", ""))
    return load_base(
        model, how["dtype"], mesh, how.get("remat", "none"), quantization=how.get("quantization", ""),
        decode_mesh=sharding.parse_decode_mesh(how.get("decode_mesh", ""), mesh))


def read_base(
    found: sources.Source,
    dtype: str | None,
    mesh: jax.sharding.Mesh | None = None,
    remat: str = "none",
    quantization: str = "",
    params_sharding: Callable[[dict], dict] | None = None,
    report: weights.Report | None = None,
    decode_mesh: jax.sharding.Mesh | None = None,
) -> BaseModel:
    """Reads a base model that was found; see `load_base`.

    Args:
      found: where it is.
      dtype: as in `load_base`; None holds each leaf as it is stored and computes in float32.
      mesh, remat, quantization, params_sharding, decode_mesh: as in `load_base`.
      report: told of the progress.
    """
    spec = hf_config.read(found.folder)
    tokenizer = _read_tokenizer(found.folder / "tokenizer.json", spec)
    decoder = decoder_lib.Decoder(
        spec, jnp.dtype(dtype or "float32"), remat,
        sharding.padded_rows(spec.vocab_size, mesh, decode_mesh), mesh)
    abstract = decoder_lib.abstract_params(decoder)
    if params_sharding is None and mesh is not None:
        params_sharding = lambda tree: sharding.shardings(tree, mesh)
    if found.seed is not None:
        params = init.init_params(
            spec, found.seed, params_sharding and params_sharding(abstract), dtype or init.STORED_DTYPE,
            decoder.vocab_rows)
        stored = init.digest(params, spec)
        if quantization:
            params = quantize.quantize_tree(params, quantization)
            params = sharding.place(params, params_sharding(params)) if params_sharding else params
    else:
        tensors = open_tensors(found.folder, spec)
        wanted = quantize.abstract(abstract, quantization) if quantization else abstract
        params, stored = weights.load(
            tensors, spec, abstract, dtype, params_sharding and params_sharding(wanted), quantization, report)
        _check_record(found.folder, content_digest(spec, stored, tokenizer))
    digest = content_digest(spec, stored, tokenizer, quantization)
    return BaseModel(
        found.name, found.source, spec, decoder, tokenizer, params, digest, quantization,
        decode_mesh or mesh)


def open_tensors(folder: pathlib.Path, spec: config_lib.ModelConfig) -> dict[str, stores.Tensor]:
    """Returns the weights of a model folder; reads no values."""
    leaves = traverse_util.flatten_dict(decoder_lib.abstract_params(decoder_lib.Decoder(spec)), sep="/")
    return stores.open_folder(folder, spec, leaves)


def digest_of(found: sources.Source, report: weights.Report | None = None) -> str:
    """Returns the digest that `read_base` would give a model, without keeping its weights."""
    spec = hf_config.read(found.folder)
    tokenizer = _read_tokenizer(found.folder / "tokenizer.json", spec)
    if found.seed is not None:
        return content_digest(spec, init.digest(init.init_params(
            spec, found.seed, dtype=init.STORED_DTYPE), spec), tokenizer)
    tensors = open_tensors(found.folder, spec)
    weights.check(tensors, spec, decoder_lib.abstract_params(decoder_lib.Decoder(spec)))
    return content_digest(spec, weights.digest(tensors, spec, report), tokenizer)


def _check_record(folder: pathlib.Path, digest: str) -> None:
    """Raises UserError if the folder was converted from another model than it holds."""
    path = folder / RECORD_FILE
    if not path.is_file():
        return
    try:
        recorded = json.loads(path.read_text())["base_digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.UserError(
            f"{path}: is not a record of sah convert ({error!r}); convert the model again.") from error
    if recorded != digest:
        raise errors.UserError(
            f"{folder}: has the digest {digest[:12]}, its {RECORD_FILE} says {recorded[:12]}: "
            "a file was altered; convert the model again.")


def _read_tokenizer(path: pathlib.Path, spec: config_lib.ModelConfig) -> tokenizers.Tokenizer:
    if not path.is_file():
        raise errors.UserError(f"{path}: is missing; add the tokenizer.json of the model.")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise errors.UserError(f"{path}: cannot be read ({error}); download it again.") from error
    largest = max(tokenizer.get_vocab().values(), default=0)
    if largest >= spec.vocab_size:
        raise errors.UserError(
            f"{path}: has tokens up to id {largest}, the model {spec.vocab_size}; "
            "use the tokenizer that belongs to these weights.")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def content_digest(
    spec: config_lib.ModelConfig, weights_digest: str, tokenizer: tokenizers.Tokenizer,
    quantization: str = "",
) -> str:
    """Returns the digest of a base model from that of its weights, see `BaseModel.digest`."""
    digest = hashlib.sha256(repr(dataclasses.astuple(spec)).encode())
    digest.update(weights_digest.encode())
    digest.update(quantization.encode())
    digest.update(tokenizer.to_str().encode())
    return digest.hexdigest()


def tree_digest(tree: Any) -> str:
    """Returns the SHA-256 of a dictionary tree of arrays: names, shapes, dtypes and bytes."""
    digest = hashlib.sha256()
    for name, leaf in sorted(traverse_util.flatten_dict(tree, sep="/").items()):
        array = np.asarray(leaf)
        digest.update(f"{name} {array.shape} {array.dtype};".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@functools.cache
def cached_step(decoder: decoder_lib.Decoder) -> Callable:
    """Returns the decoder's step (variables, cache, tokens [B], position) -> (cache, logits [B, V]).

    The same decoder gives the same object, so that it can be a static argument of `jax.jit`.
    """

    def step(variables, cache, tokens_B, position):
        positions_B1 = jnp.full((tokens_B.shape[0], 1), position, jnp.int32)
        logits_B1V, state = decoder.apply(
            {**variables, "cache": cache}, tokens_B[:, None], positions_B1, mutable=["cache"])
        return state["cache"], logits_B1V[:, 0]

    return step
