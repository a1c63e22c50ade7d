"""A config.json is understood completely or refused with a message that names the reason."""

import dataclasses
import json
import re

import hypothesis
import pytest
from hypothesis import strategies as st

from sah_jax import errors
from sah_jax.models import config as config_lib

GOOD = {
    "model_type": "llama",
    "vocab_size": 100,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "rope_theta": 5000.0,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
}

# The same cases every time, however busy the machine.
SETTINGS = hypothesis.settings(derandomize=True, deadline=None)


@st.composite
def specs(draw):
    kv_heads, vocab_size = draw(st.integers(1, 8)), draw(st.integers(1, 1 << 17))
    token = st.integers(0, vocab_size - 1)
    size = st.integers(1, 1 << 14)
    number = st.floats(1e-9, 1e9)
    return config_lib.ModelConfig(
        vocab_size=vocab_size, width=draw(size), ffn=draw(size), layers=draw(size),
        heads=kv_heads * draw(st.integers(1, 8)), kv_heads=kv_heads,
        head_dim=2 * draw(st.integers(1, 128)), max_positions=draw(size), norm_eps=draw(number),
        rope_theta=draw(number), tied_embedding=draw(st.booleans()), start_token=draw(token),
        end_tokens=tuple(draw(st.lists(token, min_size=1, max_size=3))))


@SETTINGS
@hypothesis.given(specs())
def test_a_written_config_is_read_back(spec):
    assert config_lib.parse_config(json.loads(json.dumps(spec.to_hf()))) == spec


def test_every_number_lands_in_its_field():
    assert config_lib.parse_config(GOOD) == config_lib.ModelConfig(
        vocab_size=100, width=24, ffn=40, layers=3, heads=6, kv_heads=2, head_dim=8,
        max_positions=64, norm_eps=1e-6, rope_theta=5000.0, tied_embedding=True, start_token=1,
        end_tokens=(2,))


@pytest.mark.parametrize("key", [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "rms_norm_eps", "eos_token_id", "rope_theta"])
def test_a_missing_key_is_named(key):
    hf = {name: value for name, value in GOOD.items() if name != key}
    with pytest.raises(errors.UserError, match=rf"here: .*\b{key}\b"):
        config_lib.parse_config(hf, "here")


@pytest.mark.parametrize("key, field, value", [
    ("num_key_value_heads", "kv_heads", 6),
    ("head_dim", "head_dim", 4),
    ("tie_word_embeddings", "tied_embedding", False),
    ("bos_token_id", "start_token", 2),
])
def test_an_optional_key_has_the_default_of_llama(key, field, value):
    hf = {name: value for name, value in GOOD.items() if name != key}
    assert getattr(config_lib.parse_config(hf), field) == value


def test_a_model_without_bos_starts_with_its_first_end_token():
    spec = config_lib.parse_config(GOOD | {"bos_token_id": None, "eos_token_id": [7, 5]})
    assert (spec.start_token, spec.end_tokens) == (7, (7, 5))


@pytest.mark.parametrize("key", ["sliding_window", "attention_multiplier", "quantization_config"])
def test_an_unknown_key_is_refused(key):
    with pytest.raises(errors.UserError, match=f"here: .*'{key}'"):
        config_lib.parse_config(GOOD | {key: None}, "here")


@pytest.mark.parametrize("hf, named", [
    ({"model_type": "qwen2"}, "'qwen2'"), ({}, "None"), ([], "'list'"), ("llama", "'str'")])
def test_another_model_type_is_refused(hf, named):
    if isinstance(hf, dict):
        hf = {key: value for key, value in GOOD.items() if key != "model_type"} | hf
    with pytest.raises(errors.UserError, match=f"here: model_type is {named}"):
        config_lib.parse_config(hf, "here")


@pytest.mark.parametrize("key, value", [
    ("hidden_act", "gelu"), ("attention_bias", True), ("mlp_bias", True)])
def test_what_the_decoder_does_not_implement_is_refused(key, value):
    with pytest.raises(errors.UserError, match=f"here: {key} is {value!r}"):
        config_lib.parse_config(GOOD | {key: value}, "here")


@pytest.mark.parametrize("changes", [
    {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
    {"rope_scaling": {"type": "linear", "factor": 2.0}},
    {"rope_scaling": {"rope_type": "default", "factor": 2.0}},
    {"rope_parameters": {"rope_theta": 1e4, "rope_type": "yarn", "factor": 4.0}},
    {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
])
def test_rope_scaling_is_refused_by_its_values(changes):
    (scaling,) = changes.values()
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    with pytest.raises(errors.UserError, match=f"here: rope scaling .*{kind}"):
        config_lib.parse_config(GOOD | {key: dict(value) for key, value in changes.items()}, "here")


@pytest.mark.parametrize("rope", [
    {"rope_theta": 3e5},
    {"rope_theta": 300000},
    {"rope_theta": 3e5, "rope_scaling": None},
    {"rope_theta": 3e5, "rope_scaling": {"rope_type": "default"}},
    {"rope_parameters": {"rope_theta": 3e5}},
    {"rope_parameters": {"rope_theta": 3e5, "rope_type": "default"}},
])
def test_both_rope_schemas_give_the_same_base(rope):
    hf = {key: value for key, value in GOOD.items() if key != "rope_theta"}
    plain = config_lib.parse_config(GOOD)
    assert config_lib.parse_config(hf | rope) == dataclasses.replace(plain, rope_theta=3e5)


def test_parsing_leaves_the_dictionary_as_it_was():
    hf = GOOD | {"rope_scaling": {"rope_type": "default"}, "rope_parameters": {"rope_theta": 5e3}}
    before = json.dumps(hf)
    config_lib.parse_config(hf)
    assert json.dumps(hf) == before


@pytest.mark.parametrize("theta", [None, 0, -1.0, "1e4"])
def test_a_bad_rope_base_is_named(theta):
    with pytest.raises(errors.UserError, match=f"here: rope_theta is {theta!r}"):
        config_lib.parse_config(GOOD | {"rope_theta": theta}, "here")


@pytest.mark.parametrize("value", [0, -4, 2.5, "8", True, None])
@pytest.mark.parametrize("key", [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings"])
def test_a_bad_size_is_named(key, value):
    with pytest.raises(errors.UserError, match=rf"here: \w+ is {re.escape(repr(value))}, expected"):
        config_lib.parse_config(GOOD | {key: value}, "here")


@pytest.mark.parametrize("heads", [0, "8", None])
def test_a_bad_number_of_heads_is_named_without_head_dim_too(heads):
    hf = {key: value for key, value in GOOD.items() if key != "head_dim"}
    with pytest.raises(errors.UserError, match=f"here: heads is {heads!r}"):
        config_lib.parse_config(hf | {"num_attention_heads": heads}, "here")


@pytest.mark.parametrize("changes", [
    {"num_key_value_heads": 4}, {"num_key_value_heads": 12}, {"head_dim": 7}])
def test_heads_that_do_not_divide_are_refused(changes):
    (value,) = changes.values()
    with pytest.raises(errors.UserError, match=rf"here: .*\b{value}\b.* do not divide"):
        config_lib.parse_config(GOOD | changes, "here")


@pytest.mark.parametrize("key", ["bos_token_id", "eos_token_id"])
@pytest.mark.parametrize("token", [-1, 100, "2", 1.0])
def test_a_special_token_outside_the_vocabulary_is_named(key, token):
    with pytest.raises(errors.UserError, match=f"here: special token {token!r} .* of 100"):
        config_lib.parse_config(GOOD | {key: token}, "here")


@pytest.mark.parametrize("end", [[2, 100], None, []])
def test_every_end_token_is_checked(end):
    with pytest.raises(errors.UserError, match="here: .*eos_token_id"):
        config_lib.parse_config(GOOD | {"eos_token_id": end}, "here")


def test_a_missing_or_damaged_file_is_named(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(errors.UserError, match=f"{path}: cannot be read"):
        config_lib.read_config(tmp_path)
    path.write_text(json.dumps(GOOD)[:-5])
    with pytest.raises(errors.UserError, match=f"{path}: is not JSON"):
        config_lib.read_config(tmp_path)
    path.write_text(json.dumps(GOOD))
    assert config_lib.read_config(tmp_path) == config_lib.parse_config(GOOD)
