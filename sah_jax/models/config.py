"""The architecture of a decoder, read strictly from a Hugging Face `config.json`."""

import dataclasses
import json
import pathlib
from typing import Any

from sah_jax import errors

# Keys of config.json that do not change what a forward pass computes.
_INERT_KEYS = frozenset({
    "_name_or_path", "architectures", "attention_dropout", "bos_token_id", "dtype",
    "initializer_range", "model_type", "pad_token_id", "pretraining_tp", "torch_dtype",
    "transformers_version", "use_cache",
})

_REQUIRED_KEYS = {
    "vocab_size": "vocab_size",
    "hidden_size": "width",
    "intermediate_size": "ffn",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "max_position_embeddings": "max_positions",
    "rms_norm_eps": "norm_eps",
}

# Keys with the one value that this decoder implements.
_FIXED_KEYS = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What distinguishes one decoder from another.

    The letters are those of the shape suffixes: V vocabulary, D width, F ffn, J layers,
    N query heads, K key/value heads, H head dimension.
    """

    vocab_size: int  # V
    width: int  # D
    ffn: int  # F
    layers: int  # J
    heads: int  # N
    kv_heads: int  # K
    head_dim: int  # H
    max_positions: int
    norm_eps: float
    rope_theta: float
    tied_embedding: bool
    start_token: int  # what every sequence begins with: BOS, or EOS where there is no BOS
    end_tokens: tuple[int, ...]  # the first one ends what we write

    def to_hf(self) -> dict[str, Any]:
        """Returns the `config.json` of this architecture (`model_type` llama)."""
        hf = {hf_key: getattr(self, field) for hf_key, field in _REQUIRED_KEYS.items()}
        return hf | _FIXED_KEYS | {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tied_embedding,
            "bos_token_id": self.start_token,
            "eos_token_id": list(self.end_tokens) if len(self.end_tokens) > 1 else self.end_tokens[0],
            "torch_dtype": "bfloat16",
        }


def read_config(folder: pathlib.Path) -> ModelConfig:
    """Reads `folder/config.json`.

    Raises:
      UserError: the file is missing or unreadable, names another `model_type`, lacks a key
        that the maths needs, or holds a key this decoder does not know.
    """
    path = folder / "config.json"
    try:
        hf = json.loads(path.read_text())
    except OSError as error:
        raise errors.UserError(
            f"{path}: cannot be read ({error.strerror}); expected a Hugging Face model folder "
            "with config.json, tokenizer.json and model.safetensors.") from error
    except ValueError as error:
        raise errors.UserError(f"{path}: is not JSON ({error}); download the model again.") from error
    return parse_config(hf, str(path))


def parse_config(hf: dict[str, Any], where: str = "config") -> ModelConfig:
    """Turns the dictionary of a `config.json` into a `ModelConfig`; strict, see `read_config`."""
    if not isinstance(hf, dict) or hf.get("model_type") != "llama":
        got = hf.get("model_type") if isinstance(hf, dict) else type(hf).__name__
        raise errors.UserError(
            f"{where}: model_type is {got!r}, expected 'llama'; choose a llama model folder.")
    known = (_INERT_KEYS | _REQUIRED_KEYS.keys() | _FIXED_KEYS.keys() |
             {"num_key_value_heads", "head_dim", "rope_theta", "rope_scaling", "rope_parameters",
              "tie_word_embeddings", "eos_token_id"})
    if unknown := sorted(hf.keys() - known):
        raise errors.UserError(
            f"{where}: unknown key {unknown[0]!r} may change the maths; "
            "remove it if it does not, else use a supported model.")
    if missing := sorted((_REQUIRED_KEYS.keys() | {"eos_token_id"}) - hf.keys()):
        raise errors.UserError(f"{where}: key {missing[0]!r} is missing; add it to the file.")
    for key, value in _FIXED_KEYS.items():
        if key in hf and hf[key] != value:
            raise errors.UserError(
                f"{where}: {key} is {hf[key]!r}, this decoder implements {value!r} only.")
    fields = {field: hf[hf_key] for hf_key, field in _REQUIRED_KEYS.items()}
    _check_sizes(fields, where)
    kv_heads = hf.get("num_key_value_heads") or fields["heads"]
    head_dim = hf.get("head_dim") or fields["width"] // fields["heads"]
    _check_sizes({"num_key_value_heads": kv_heads, "head_dim": head_dim}, where)
    if fields["heads"] % kv_heads or head_dim % 2:
        raise errors.UserError(
            f"{where}: {fields['heads']} heads over {kv_heads} key/value heads of "
            f"dimension {head_dim} do not divide evenly; correct the file.")
    start_token, end_tokens = _special_tokens(hf, where)
    return ModelConfig(
        **fields, kv_heads=kv_heads, head_dim=head_dim, rope_theta=_rope_theta(hf, where),
        tied_embedding=bool(hf.get("tie_word_embeddings", False)),
        start_token=start_token, end_tokens=end_tokens)


def _check_sizes(fields: dict[str, Any], where: str) -> None:
    for name, value in fields.items():
        whole = name != "norm_eps"
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value <= 0:
            raise errors.UserError(
                f"{where}: {name} is {value!r}, expected a positive "
                f"{'integer' if whole else 'number'}; correct the file.")


def _special_tokens(hf: dict[str, Any], where: str) -> tuple[int, tuple[int, ...]]:
    """Returns the start token and the end tokens."""
    end = hf["eos_token_id"]
    end_tokens = tuple(end) if isinstance(end, list) else (end,)
    start = hf.get("bos_token_id")
    tokens = (*end_tokens, *(() if start is None else (start,)))
    for token in tokens:
        whole = isinstance(token, int) and not isinstance(token, bool)
        if not whole or not 0 <= token < hf["vocab_size"]:
            raise errors.UserError(
                f"{where}: special token {token!r} lies outside the vocabulary of "
                f"{hf['vocab_size']}; correct bos_token_id or eos_token_id.")
    if not end_tokens:
        raise errors.UserError(f"{where}: eos_token_id is {end!r}, expected a token; correct the file.")
    return (end_tokens[0] if start is None else start), end_tokens


def _rope_theta(hf: dict[str, Any], where: str) -> float:
    """The rotary base, from the old schema (`rope_theta`) or the new (`rope_parameters`)."""
    rope = {"rope_theta": hf.get("rope_theta")} | (hf.get("rope_parameters") or {})
    scaling = dict(hf.get("rope_scaling") or {})
    kinds = [rope.pop("rope_type", "default"), scaling.pop("rope_type", scaling.pop("type", "default"))]
    theta = rope.pop("rope_theta")
    if any(kind != "default" for kind in kinds) or rope or scaling:
        raise errors.UserError(
            f"{where}: rope scaling {kinds} {rope | scaling} is not implemented; "
            "choose a model with plain rotary embeddings.")
    if not isinstance(theta, (int, float)) or theta <= 0:
        raise errors.UserError(
            f"{where}: rope_theta is {theta!r}, expected a positive number; add it to the file.")
    return float(theta)
