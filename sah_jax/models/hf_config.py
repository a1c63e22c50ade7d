"""Hugging Face `config.json`, read strictly and written.

A family is a `model_type`. What a family cannot vary is in the table; what a config may choose
is read from the config and from nowhere else: the class defaults of transformers are not what
was released. A key that is not known may change the maths, so it is an error.
"""

import dataclasses
import json
import pathlib
from typing import Any

from sah_jax import errors
from sah_jax.models import config as config_lib
from sah_jax.models import rope as rope_lib

# Keys of config.json that do not change what a forward pass computes.
_INERT_KEYS = frozenset({
    "_name_or_path", "architectures", "attention_dropout", "bos_token_id", "dtype", "model_type",
    "pad_token_id", "pretraining_tp", "torch_dtype", "transformers_version", "use_cache",
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
_FIXED_KEYS = {"hidden_act": "silu", "use_mrope": False}

_OTHER_KEYS = frozenset({
    "eos_token_id", "head_dim", "initializer_range", "num_key_value_heads", "rope_parameters",
    "rope_scaling", "rope_theta", "tie_word_embeddings"})

_ATTENTION = ("q", "k", "v", "o")
_FFN = ("gate", "up", "down")
_SLIDING, _FULL = "sliding_attention", "full_attention"


@dataclasses.dataclass(frozen=True)
class _Family:
    """What is the same in all models of a `model_type`.

    Attributes:
      architecture: the class of transformers.
      keys: what its config.json may hold beside the keys of every family.
      biases: projections that always have a bias.
      bias_keys: for keys that switch biases on, the projections.
      tied: whether the head is the embedding when the config does not say; transformers leaves
        the key out of the file where it has this value.
      norm_after, qk_norm: as in `ModelConfig`.
    """

    architecture: str
    keys: tuple[str, ...] = ()
    biases: tuple[str, ...] = ()
    bias_keys: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tied: bool = False
    norm_after: bool = False
    qk_norm: str = ""


_WINDOW_KEYS = ("layer_types", "max_window_layers", "sliding_window", "use_sliding_window")
_ATTENTION_BIAS = ("attention_bias", _ATTENTION)
_MLP_BIAS = ("mlp_bias", _FFN)

FAMILIES = {
    "llama": _Family("LlamaForCausalLM", bias_keys=(_ATTENTION_BIAS, _MLP_BIAS)),
    "smollm3": _Family(
        "SmolLM3ForCausalLM", keys=(*_WINDOW_KEYS, "no_rope_layers", "no_rope_layer_interval"),
        bias_keys=(_ATTENTION_BIAS, _MLP_BIAS), tied=True),
    "olmo2": _Family(
        "Olmo2ForCausalLM", bias_keys=(_ATTENTION_BIAS,), norm_after=True, qk_norm="width"),
    "olmo3": _Family(
        "Olmo3ForCausalLM", keys=("layer_types", "sliding_window"), bias_keys=(_ATTENTION_BIAS,),
        norm_after=True, qk_norm="width"),
    "qwen2": _Family("Qwen2ForCausalLM", keys=_WINDOW_KEYS, biases=("q", "k", "v")),
    "qwen3": _Family(
        "Qwen3ForCausalLM", keys=_WINDOW_KEYS, bias_keys=(_ATTENTION_BIAS,), qk_norm="head"),
}


def read(folder: pathlib.Path) -> config_lib.ModelConfig:
    """Reads `folder/config.json`, or the file itself where that is given.

    Raises:
      UserError: the file is missing or unreadable, or `parse` refuses it.
    """
    path = folder if folder.is_file() else folder / "config.json"
    try:
        hf = json.loads(path.read_text())
    except OSError as error:
        raise errors.UserError(
            f"{path}: cannot be read ({error.strerror}); expected a Hugging Face model folder "
            "with config.json, tokenizer.json and weights.") from error
    except ValueError as error:
        raise errors.UserError(f"{path}: is not JSON ({error}); download the model again.") from error
    return parse(hf, str(path))


def parse(hf: dict[str, Any], where: str = "config") -> config_lib.ModelConfig:
    """Turns the dictionary of a `config.json` into a `ModelConfig`.

    Raises:
      UserError: another `model_type`, a key the maths needs is missing, or a key or value that
        this decoder does not know.
    """
    if not isinstance(hf, dict) or hf.get("model_type") not in FAMILIES:
        got = hf.get("model_type") if isinstance(hf, dict) else type(hf).__name__
        raise errors.UserError(
            f"{where}: model_type is {got!r}, expected one of {', '.join(FAMILIES)}; "
            "choose a model of these families.")
    family = FAMILIES[hf["model_type"]]
    _check_keys(hf, family, where)
    fields = {field: hf[hf_key] for hf_key, field in _REQUIRED_KEYS.items()}
    fields["kv_heads"] = _default(hf, "num_key_value_heads", fields["heads"])
    fields["init_std"] = _default(hf, "initializer_range", 0.02)
    _check_sizes(fields, where)
    head_dim = _default(hf, "head_dim", fields["width"] // fields["heads"])
    _check_sizes({"head_dim": head_dim}, where)
    if fields["heads"] % fields["kv_heads"] or head_dim % 2:
        raise errors.UserError(
            f"{where}: {fields['heads']} heads over {fields['kv_heads']} key/value heads of "
            f"dimension {head_dim} do not divide evenly; correct the file.")
    start_token, end_tokens = _special_tokens(hf, where)
    rotated = _rotated_layers(hf, where)
    windowed = _windowed_layers(hf, rotated, where)
    plain, scaled = _ropes(hf, where)
    ropes = tuple(
        (plain if window else scaled) if rotate else None
        for window, rotate in zip(windowed, rotated, strict=True))
    return config_lib.ModelConfig(
        **fields, head_dim=head_dim, ropes=ropes, windows=_windows(hf, windowed, where),
        tied_embedding=_flag(hf, "tie_word_embeddings", family.tied, where),
        start_token=start_token, end_tokens=end_tokens, family=hf["model_type"],
        norm_after=family.norm_after, qk_norm=family.qk_norm, biases=_biases(hf, family, where))


def _default(hf: dict, key: str, default: Any) -> Any:
    """Returns a value; transformers writes null where a default applies."""
    return default if hf.get(key) is None else hf[key]


def _flag(hf: dict, key: str, default: bool, where: str) -> bool:
    value = _default(hf, key, default)
    if not isinstance(value, bool):
        raise errors.UserError(f"{where}: {key} is {value!r}, expected true or false; correct the file.")
    return value


def _check_keys(hf: dict, family: _Family, where: str) -> None:
    known = (_INERT_KEYS | _REQUIRED_KEYS.keys() | _FIXED_KEYS.keys() | _OTHER_KEYS
             | set(family.keys) | {key for key, _ in family.bias_keys})
    # Some exporters write false for what their family does not have.
    harmless = {key for key in ("attention_bias", "mlp_bias") if hf.get(key) is False}
    if unknown := sorted(hf.keys() - known - harmless):
        raise errors.UserError(
            f"{where}: unknown key {unknown[0]!r} may change the maths; "
            "remove it if it does not, else use a supported model.")
    if missing := sorted((_REQUIRED_KEYS.keys() | {"eos_token_id"}) - hf.keys()):
        raise errors.UserError(f"{where}: key {missing[0]!r} is missing; add it to the file.")
    for key, value in _FIXED_KEYS.items():
        if key in hf and hf[key] != value:
            raise errors.UserError(
                f"{where}: {key} is {hf[key]!r}, this decoder implements {value!r} only.")


def _check_sizes(fields: dict[str, Any], where: str) -> None:
    for name, value in fields.items():
        whole = name not in ("norm_eps", "init_std")
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


def _biases(hf: dict, family: _Family, where: str) -> tuple[str, ...]:
    biased = set(family.biases)
    for key, projections in family.bias_keys:
        biased |= set(projections) if _flag(hf, key, False, where) else set()
    return tuple(name for name in (*_ATTENTION, *_FFN) if name in biased)


def _rotated_layers(hf: dict, where: str) -> list[bool]:
    """Returns, for each layer, whether it encodes positions."""
    layers = hf["num_hidden_layers"]
    if hf["model_type"] != "smollm3":
        return [True] * layers
    flags, interval = hf.get("no_rope_layers"), hf.get("no_rope_layer_interval")
    if flags is None and isinstance(interval, int) and interval > 0:
        flags = [int((layer + 1) % interval != 0) for layer in range(layers)]
    if not isinstance(flags, list) or len(flags) != layers or set(flags) - {0, 1}:
        raise errors.UserError(
            f"{where}: no_rope_layers is {flags!r}, expected {layers} flags, 0 for a layer without "
            "rotary embedding; correct the file.")
    return [bool(flag) for flag in flags]


def _windowed_layers(hf: dict, rotated: list[bool], where: str) -> list[bool]:
    """Returns, for each layer, whether it sees a window only."""
    layers, kinds = hf["num_hidden_layers"], hf.get("layer_types")
    if "layer_types" not in FAMILIES[hf["model_type"]].keys:
        return [False] * layers
    # Olmo 3 has no switch: its layers say it.
    switched_on = hf["model_type"] == "olmo3" or _flag(hf, "use_sliding_window", False, where)
    switched_on &= hf.get("sliding_window") is not None
    if kinds is None and hf["model_type"] != "olmo3":
        if not switched_on:
            return [False] * layers
        if hf["model_type"] == "smollm3":
            return [not rotate for rotate in rotated]
        _check_sizes({"max_window_layers": hf.get("max_window_layers")}, where)
        return [layer >= hf["max_window_layers"] for layer in range(layers)]
    if not isinstance(kinds, list) or len(kinds) != layers or set(kinds) - {_SLIDING, _FULL}:
        raise errors.UserError(
            f"{where}: layer_types is {kinds!r}, expected {layers} of {_SLIDING!r} and {_FULL!r}; "
            "correct the file.")
    if _SLIDING in kinds and not switched_on:
        raise errors.UserError(
            f"{where}: layer_types has {_SLIDING!r}, but sliding_window is "
            f"{hf.get('sliding_window')!r} or use_sliding_window is false; correct the file.")
    return [kind == _SLIDING for kind in kinds]


def _windows(hf: dict, windowed: list[bool], where: str) -> tuple[int, ...]:
    if not any(windowed):
        return ()
    _check_sizes({"sliding_window": hf["sliding_window"]}, where)
    return tuple(hf["sliding_window"] if window else config_lib.NO_WINDOW for window in windowed)


def _ropes(hf: dict[str, Any], where: str) -> tuple[rope_lib.Rope, rope_lib.Rope]:
    """Returns the rotary embeddings of layers with a window and of the others.

    The old schema has `rope_theta` and `rope_scaling`; the new one has `rope_parameters`, which
    Olmo 3 gives for each kind of layer.
    """
    given, scaling = hf.get("rope_parameters") or {}, hf.get("rope_scaling") or {}
    for key, value in (("rope_parameters", given), ("rope_scaling", scaling)):
        if not isinstance(value, dict):
            raise errors.UserError(f"{where}: {key} is {value!r}, expected an object; correct the file.")
    if given and scaling:
        raise errors.UserError(
            f"{where}: has both rope_parameters and rope_scaling, expected one; remove the older one.")
    theta = {"rope_theta": hf.get("rope_theta")}
    if hf["model_type"] == "olmo3" and given.keys() & {_SLIDING, _FULL}:
        if given.keys() != {_SLIDING, _FULL} or not all(isinstance(v, dict) for v in given.values()):
            raise errors.UserError(
                f"{where}: rope_parameters has {', '.join(given)}, expected objects for {_SLIDING} and "
                f"{_FULL}; correct the file.")
        return tuple(rope_lib.parse(theta | given[kind], where) for kind in (_SLIDING, _FULL))
    rope = rope_lib.parse(theta | given | scaling, where)
    # Olmo 3 scales full-attention layers only; within a window there is nothing to stretch.
    return (rope.plain() if hf["model_type"] == "olmo3" else rope), rope


def to_hf(spec: config_lib.ModelConfig) -> dict[str, Any]:
    """Returns the `config.json` of an architecture, as `parse` reads it."""
    family = FAMILIES[spec.family]
    hf = {hf_key: getattr(spec, field) for hf_key, field in _REQUIRED_KEYS.items()}
    hf |= {
        "architectures": [family.architecture],
        "model_type": spec.family,
        "num_key_value_heads": spec.kv_heads,
        "head_dim": spec.head_dim,
        "hidden_act": "silu",
        "initializer_range": spec.init_std,
        "tie_word_embeddings": spec.tied_embedding,
        "bos_token_id": spec.start_token,
        "eos_token_id": list(spec.end_tokens) if len(spec.end_tokens) > 1 else spec.end_tokens[0],
        "torch_dtype": "bfloat16",
    }
    for key, projections in family.bias_keys:
        hf[key] = set(projections) <= set(spec.biases)
    windows = spec.windows or (config_lib.NO_WINDOW,) * spec.layers
    windowed = [window != config_lib.NO_WINDOW for window in windows]
    if "layer_types" in family.keys:
        hf["layer_types"] = [_SLIDING if window else _FULL for window in windowed]
        hf["sliding_window"] = min(windows) if any(windowed) else None
    if "use_sliding_window" in family.keys:
        hf |= {"use_sliding_window": any(windowed), "max_window_layers": spec.layers}
    if spec.family == "smollm3":
        hf["no_rope_layers"] = [int(rope is not None) for rope in spec.ropes]
    return hf | _rope_to_hf(spec, windowed)


def _rope_to_hf(spec: config_lib.ModelConfig, windowed: list[bool]) -> dict[str, Any]:
    # A layer without rotary embedding says nothing; a model without any needs some base.
    kinds = {
        kind: next((r for r, w in zip(spec.ropes, windowed, strict=True) if w == sliding and r), None)
        for kind, sliding in ((_SLIDING, True), (_FULL, False))}
    rope = kinds[_FULL] or kinds[_SLIDING] or rope_lib.Rope(10000.0)
    if spec.family == "olmo3":
        return {"rope_parameters": {
            kind: (value or rope.plain()).to_hf() for kind, value in kinds.items()}}
    parameters = rope.to_hf()
    # The old schema, which every version of transformers reads.
    theta, scaling = parameters.pop("rope_theta"), parameters
    return {"rope_theta": theta, "rope_scaling": None if rope.kind == "default" else scaling}
