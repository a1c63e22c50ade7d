"""The frozen base model: architecture, tokenizer and weights of one folder, with their digest."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tokenizers
from flax import traverse_util

from sah_jax import errors, numerics
from sah_jax.models import config as config_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import hf, hf_config, sharding

DTYPES = ("float32", "bfloat16")

SHIPPED = pathlib.Path(__file__).parent / "nano"
"""The folder of the base models that come with the package."""


@dataclasses.dataclass(frozen=True, eq=False)
class BaseModel:
    """A base model, as read; nothing writes to it.

    Attributes:
      name: the folder's name.
      source: what `load_base` finds it by: the folder's full path, or a shipped model's name.
      spec: the architecture.
      decoder: the Flax module, computing in `dtype`.
      tokenizer: text to tokens and back; see `encode`.
      params: the weights in `dtype`.
      digest: SHA-256 of architecture, weights as stored and tokenizer, in hexadecimal.
    """

    name: str
    source: str
    spec: config_lib.ModelConfig
    decoder: decoder_lib.Decoder
    tokenizer: tokenizers.Tokenizer
    params: dict
    digest: str

    @property
    def dtype(self) -> str:
        """What activations and matmuls are computed in."""
        return jnp.dtype(self.decoder.dtype).name

    def profile(self) -> dict[str, Any]:
        """Returns the numerics profile that this model is computed under."""
        return numerics.profile(
            self.dtype, sharding.mesh_text(self.decoder.mesh), self.decoder.remat)

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

    def decode(self, tokens: Sequence[int]) -> str:
        """Returns the text of tokens; special tokens are left out."""
        return self.tokenizer.decode(list(tokens))


def find(folder: str | pathlib.Path) -> pathlib.Path:
    """Returns the full path of a model folder, given its path or a shipped model's name.

    Raises:
      UserError: there is no such folder.
    """
    path = pathlib.Path(folder)
    if not path.exists() and (SHIPPED / folder).is_dir():
        path = SHIPPED / folder
    if not path.is_dir():
        raise errors.UserError(
            f"{path}: is not a folder; expected a Hugging Face model folder or one of the shipped "
            f"models {', '.join(sorted(p.name for p in SHIPPED.iterdir() if p.is_dir()))}.")
    return path.resolve()


def load_base(
    folder: str | pathlib.Path, dtype: str = "float32", mesh: jax.sharding.Mesh | None = None,
    remat: str = "none",
) -> BaseModel:
    """Reads a Hugging Face model folder, or a shipped model by its name (such as "nano").

    Args:
      folder: the folder, or the name.
      dtype: what the model is computed in.
      mesh: what it is split over; None for one device.
      remat: see `decoder.Decoder`.

    Raises:
      UserError: the folder or one of its files is missing, damaged or not supported.
    """
    if dtype not in DTYPES:
        raise errors.UserError(f"dtype is {dtype!r}, expected one of {', '.join(DTYPES)}; change it.")
    if remat not in decoder_lib.REMAT_POLICIES:
        raise errors.UserError(
            f"remat is {remat!r}, expected one of {', '.join(decoder_lib.REMAT_POLICIES)}; change it.")
    path = find(folder)
    spec = hf_config.read(path)
    tokenizer = _read_tokenizer(path / "tokenizer.json", spec)
    decoder = decoder_lib.Decoder(
        spec, jnp.dtype(dtype), remat, sharding.padded_rows(spec.vocab_size, mesh), mesh)
    stored = hf.load_params(path, spec, decoder_lib.abstract_params(decoder_lib.Decoder(spec)))
    params = decoder_lib.pad_vocabulary(decoder, jax.tree.map(lambda leaf: leaf.astype(dtype), stored))
    if mesh is not None:
        params = sharding.place(params, sharding.shardings(params, mesh))
    source = path.name if path.parent == SHIPPED.resolve() else str(path)
    return BaseModel(
        path.name, source, spec, decoder, tokenizer, params, _digest(spec, stored, tokenizer))


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


def _digest(spec: config_lib.ModelConfig, stored: dict, tokenizer: tokenizers.Tokenizer) -> str:
    digest = hashlib.sha256(repr(dataclasses.astuple(spec)).encode())
    digest.update(tree_digest(stored).encode())
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
