"""A config.json is understood completely or refused with a message that names the reason."""

import dataclasses
import json
import re

import hypothesis
import jax
import pytest
from hypothesis import strategies as st

from sah_jax import errors
from sah_jax.models import config as config_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import hf_config, rope

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
def ropes(draw):
    number = st.floats(1e-3, 1e9)
    kind = draw(st.sampled_from(["default", "linear", "llama3", "yarn"]))
    names = {
        "default": [], "linear": ["factor"],
        "llama3": ["factor", "high_freq_factor", "low_freq_factor", "original_max_position_embeddings"],
        "yarn": ["beta_fast", "beta_slow", "factor", "original_max_position_embeddings"]}[kind]
    if kind == "yarn" and draw(st.booleans()):
        names = ["attention_factor", *names]
    return rope.Rope(draw(number), kind, tuple((name, draw(number)) for name in names))


@st.composite
def specs(draw):
    kv_heads, vocab_size = draw(st.integers(1, 8)), draw(st.integers(1, 1 << 17))
    token = st.integers(0, vocab_size - 1)
    size = st.integers(1, 1 << 14)
    name = draw(st.sampled_from(sorted(hf_config.FAMILIES)))
    family, layers = hf_config.FAMILIES[name], draw(st.integers(1, 9))
    flags = st.lists(st.booleans(), min_size=layers, max_size=layers)
    one, window = draw(ropes()), draw(size)
    windowed = draw(flags) if "layer_types" in family.keys else [False] * layers
    of_layer = [one.plain() if sliding and name == "olmo3" else one for sliding in windowed]
    if name == "smollm3":
        rotated = draw(flags.filter(any))
        of_layer = [one if rotate else None for rotate in rotated]
    if name == "olmo3" and all(windowed):
        windowed, of_layer = [False] * layers, [one] * layers
    biases = set(family.biases).union(*(names for _, names in family.bias_keys if draw(st.booleans())))
    return config_lib.ModelConfig(
        vocab_size=vocab_size, width=draw(size), ffn=draw(size), layers=layers,
        heads=kv_heads * draw(st.integers(1, 8)), kv_heads=kv_heads,
        head_dim=2 * draw(st.integers(1, 128)), max_positions=draw(size),
        norm_eps=draw(st.floats(1e-9, 1e9)), ropes=tuple(of_layer), tied_embedding=draw(st.booleans()),
        start_token=draw(token), end_tokens=tuple(draw(st.lists(token, min_size=1, max_size=3))),
        family=name, norm_after=family.norm_after, qk_norm=family.qk_norm,
        windows=tuple(
            window if sliding else config_lib.NO_WINDOW for sliding in windowed) if any(windowed) else (),
        biases=tuple(name for name in ("q", "k", "v", "o", "gate", "up", "down") if name in biases),
        init_std=draw(st.floats(1e-9, 1e9)))


@SETTINGS
@hypothesis.given(specs())
def test_a_written_config_is_read_back(spec):
    assert hf_config.parse(json.loads(json.dumps(hf_config.to_hf(spec)))) == spec


def test_every_number_lands_in_its_field():
    assert hf_config.parse(GOOD) == config_lib.ModelConfig(
        vocab_size=100, width=24, ffn=40, layers=3, heads=6, kv_heads=2, head_dim=8,
        max_positions=64, norm_eps=1e-6, ropes=(rope.Rope(5000.0),) * 3, tied_embedding=True, start_token=1,
        end_tokens=(2,))


@pytest.mark.parametrize("key", [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "rms_norm_eps", "eos_token_id", "rope_theta"])
def test_a_missing_key_is_named(key):
    hf = {name: value for name, value in GOOD.items() if name != key}
    with pytest.raises(errors.UserError, match=rf"here: .*\b{key}\b"):
        hf_config.parse(hf, "here")


@pytest.mark.parametrize("key, field, value", [
    ("num_key_value_heads", "kv_heads", 6),
    ("head_dim", "head_dim", 4),
    ("tie_word_embeddings", "tied_embedding", False),
    ("bos_token_id", "start_token", 2),
])
def test_an_optional_key_has_the_default_of_llama(key, field, value):
    hf = {name: value for name, value in GOOD.items() if name != key}
    assert getattr(hf_config.parse(hf), field) == value


def test_a_model_without_bos_starts_with_its_first_end_token():
    spec = hf_config.parse(GOOD | {"bos_token_id": None, "eos_token_id": [7, 5]})
    assert (spec.start_token, spec.end_tokens) == (7, (7, 5))


@pytest.mark.parametrize("key", ["sliding_window", "attention_multiplier", "quantization_config"])
def test_an_unknown_key_is_refused(key):
    with pytest.raises(errors.UserError, match=f"here: .*'{key}'"):
        hf_config.parse(GOOD | {key: None}, "here")


@pytest.mark.parametrize("hf, named", [
    ({"model_type": "qwen3_moe"}, "'qwen3_moe'"), ({}, "None"), ([], "'list'"), ("llama", "'str'")])
def test_another_model_type_is_refused(hf, named):
    if isinstance(hf, dict):
        hf = {key: value for key, value in GOOD.items() if key != "model_type"} | hf
    with pytest.raises(errors.UserError, match=f"here: model_type is {named}"):
        hf_config.parse(hf, "here")


@pytest.mark.parametrize("key, value", [("hidden_act", "gelu"), ("use_mrope", True)])
def test_what_the_decoder_does_not_implement_is_refused(key, value):
    with pytest.raises(errors.UserError, match=f"here: {key} is {value!r}"):
        hf_config.parse(GOOD | {key: value}, "here")


@pytest.mark.parametrize("changes, named", [
    ({"rope_scaling": {"rope_type": "longrope", "factor": 8.0}}, "rope_type is 'longrope'"),
    ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type is 'dynamic'"),
    ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "low_freq_factor is None"),
    ({"rope_scaling": {"rope_type": "default", "factor": 2.0}}, "rope parameter 'factor'"),
    ({"rope_scaling": {"rope_type": "linear", "factor": 0}}, "factor is 0"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 9,
                       "mscale": 1.0}}, "rope parameter 'mscale'"),
    ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "'partial_rotary_factor'"),
    ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "rope parameter 'full_attention'"),
    ({"rope_scaling": [8.0]}, "expected an object"),
    ({"rope_scaling": {"rope_type": "linear", "factor": 2.0},
      "rope_parameters": {"rope_theta": 1e4}}, "has both"),
])
def test_rope_parameters_that_are_not_understood_are_named(changes, named):
    with pytest.raises(errors.UserError, match=f"here: .*{named}"):
        hf_config.parse(GOOD | changes, "here")


@pytest.mark.parametrize("given", [
    {"rope_theta": 3e5},
    {"rope_theta": 300000},
    {"rope_theta": 3e5, "rope_scaling": None},
    {"rope_theta": 3e5, "rope_scaling": {"rope_type": "default"}},
    {"rope_parameters": {"rope_theta": 3e5}},
    {"rope_parameters": {"rope_theta": 3e5, "rope_type": "default"}},
])
def test_both_rope_schemas_give_the_same_base(given):
    hf = {key: value for key, value in GOOD.items() if key != "rope_theta"}
    plain = hf_config.parse(GOOD)
    assert hf_config.parse(hf | given) == dataclasses.replace(plain, ropes=(rope.Rope(3e5),) * 3)


SCALED = {"factor": 8.0, "original_max_position_embeddings": 32, "rope_type": "yarn"}


def _olmo3(**changes):
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    return GOOD | {"model_type": "olmo3", "layer_types": kinds, "sliding_window": 9} | changes


@pytest.mark.parametrize("changes", [
    {"rope_scaling": SCALED},
    {"rope_theta": None, "rope_parameters": {
        "sliding_attention": {"rope_theta": 5e3}, "full_attention": SCALED | {"rope_theta": 5e3}}},
])
def test_olmo3_scales_the_layers_without_window_only(changes):
    spec = hf_config.parse(_olmo3(**changes))
    assert [one.kind for one in spec.ropes] == ["default", "yarn", "default"]
    assert {one.theta for one in spec.ropes} == {5e3}
    assert spec.windows == (9, config_lib.NO_WINDOW, 9)


@pytest.mark.parametrize("changes, named", [
    ({"layer_types": None}, "layer_types is None"),
    ({"layer_types": ["full_attention"] * 2}, "expected 3 of"),
    ({"layer_types": ["full_attention", "chunked_attention", "full_attention"]}, "chunked_attention"),
    ({"sliding_window": None}, "sliding_window is None"),
    ({"sliding_window": 0}, "sliding_window is 0"),
    ({"rope_theta": None, "rope_parameters": {"full_attention": SCALED}}, "expected objects for"),
])
def test_a_pattern_of_layers_that_is_not_understood_is_named(changes, named):
    with pytest.raises(errors.UserError, match=f"here: .*{named}"):
        hf_config.parse(_olmo3(**changes), "here")


def test_qwen_layers_have_windows_only_where_the_switch_is_on():
    hf = GOOD | {"model_type": "qwen2", "sliding_window": 7, "max_window_layers": 1}
    assert hf_config.parse(hf | {"use_sliding_window": False}).windows == ()
    assert hf_config.parse(hf | {"use_sliding_window": True}).windows == (config_lib.NO_WINDOW, 7, 7)
    assert hf_config.parse(hf | {"use_sliding_window": True, "sliding_window": None}).windows == ()
    with pytest.raises(errors.UserError, match="here: .*use_sliding_window is false"):
        hf_config.parse(hf | {"layer_types": ["sliding_attention"] * 3}, "here")


def test_smollm3_says_which_layers_encode_positions():
    hf = GOOD | {"model_type": "smollm3"}
    rotated = lambda **keys: [one is not None for one in hf_config.parse(hf | keys).ropes]
    assert rotated(no_rope_layers=[0, 1, 1]) == [False, True, True]
    assert rotated(no_rope_layer_interval=2) == [True, False, True]
    assert rotated(no_rope_layers=[0, 1, 1], no_rope_layer_interval=2) == [False, True, True]
    windows = hf | {"no_rope_layers": [0, 1, 1], "use_sliding_window": True, "sliding_window": 7}
    assert hf_config.parse(windows).windows == (7, config_lib.NO_WINDOW, config_lib.NO_WINDOW)
    for wrong in ({}, {"no_rope_layers": [1, 1]}, {"no_rope_layers": [1, 2, 1]}):
        with pytest.raises(errors.UserError, match="here: no_rope_layers is"):
            hf_config.parse(hf | wrong, "here")


def test_what_a_config_leaves_out_is_the_default_of_its_family():
    hf = {key: value for key, value in GOOD.items() if key != "tie_word_embeddings"}
    tied = lambda name, **keys: hf_config.parse(hf | {"model_type": name} | keys).tied_embedding
    assert tied("smollm3", no_rope_layer_interval=4)
    assert not tied("qwen3")
    assert hf_config.parse(GOOD | {"model_type": "qwen2"}).biases == ("q", "k", "v")
    assert hf_config.parse(GOOD | {"attention_bias": True}).biases == ("q", "k", "v", "o")
    assert hf_config.parse(GOOD | {"mlp_bias": True}).biases == ("gate", "up", "down")
    with pytest.raises(errors.UserError, match="here: .*'mlp_bias'"):
        hf_config.parse(GOOD | {"model_type": "qwen3", "mlp_bias": True}, "here")


@pytest.mark.parametrize("name, count", [
    ("smollm3-3b.reconstructed", 3_075_098_624), ("smollm3-3b-base.reconstructed", 3_075_098_624),
    ("olmo-3-1025-7b.reconstructed", 7_298_011_136), ("olmo-3-1125-32b.reconstructed", 32_233_522_176),
    ("llama-3.1-8b", 8_030_261_248), ("llama-3.2-3b", 3_212_749_824), ("qwen2.5-3b", 3_085_938_688),
    ("qwen2.5-32b", 32_763_876_352), ("qwen3-4b", 4_022_468_096), ("qwen3-32b", 32_762_123_264)])
def test_published_configs_have_the_published_number_of_parameters(shared_data, name, count):
    hf = json.loads((shared_data / "model-configs" / f"{name}.json").read_text())
    spec = hf_config.parse(hf, name)
    shapes = decoder_lib.abstract_params(decoder_lib.Decoder(spec))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == spec.num_params == count
    assert hf_config.parse(hf_config.to_hf(spec)) == spec


@pytest.mark.parametrize("rope_keys", [
    {"rope_scaling": {"rope_type": "default"}},
    {"rope_parameters": {"rope_theta": 5e3, "rope_type": "linear", "factor": 2.0}}])
def test_parsing_leaves_the_dictionary_as_it_was(rope_keys):
    hf = GOOD | rope_keys
    before = json.dumps(hf)
    hf_config.parse(hf)
    assert json.dumps(hf) == before


@pytest.mark.parametrize("theta", [None, 0, -1.0, "1e4"])
def test_a_bad_rope_base_is_named(theta):
    with pytest.raises(errors.UserError, match=f"here: rope_theta is {theta!r}"):
        hf_config.parse(GOOD | {"rope_theta": theta}, "here")


@pytest.mark.parametrize("value", [0, -4, 2.5, "8", True, None])
@pytest.mark.parametrize("key", [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings"])
def test_a_bad_size_is_named(key, value):
    with pytest.raises(errors.UserError, match=rf"here: \w+ is {re.escape(repr(value))}, expected"):
        hf_config.parse(GOOD | {key: value}, "here")


@pytest.mark.parametrize("heads", [0, "8", None])
def test_a_bad_number_of_heads_is_named_without_head_dim_too(heads):
    hf = {key: value for key, value in GOOD.items() if key != "head_dim"}
    with pytest.raises(errors.UserError, match=f"here: heads is {heads!r}"):
        hf_config.parse(hf | {"num_attention_heads": heads}, "here")


@pytest.mark.parametrize("changes", [
    {"num_key_value_heads": 4}, {"num_key_value_heads": 12}, {"head_dim": 7}])
def test_heads_that_do_not_divide_are_refused(changes):
    (value,) = changes.values()
    with pytest.raises(errors.UserError, match=rf"here: .*\b{value}\b.* do not divide"):
        hf_config.parse(GOOD | changes, "here")


@pytest.mark.parametrize("key", ["bos_token_id", "eos_token_id"])
@pytest.mark.parametrize("token", [-1, 100, "2", 1.0])
def test_a_special_token_outside_the_vocabulary_is_named(key, token):
    with pytest.raises(errors.UserError, match=f"here: special token {token!r} .* of 100"):
        hf_config.parse(GOOD | {key: token}, "here")


@pytest.mark.parametrize("end", [[2, 100], None, []])
def test_every_end_token_is_checked(end):
    with pytest.raises(errors.UserError, match="here: .*eos_token_id"):
        hf_config.parse(GOOD | {"eos_token_id": end}, "here")


def test_a_missing_or_damaged_file_is_named(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(errors.UserError, match=f"{path}: cannot be read"):
        hf_config.read(tmp_path)
    path.write_text(json.dumps(GOOD)[:-5])
    with pytest.raises(errors.UserError, match=f"{path}: is not JSON"):
        hf_config.read(tmp_path)
    path.write_text(json.dumps(GOOD))
    assert hf_config.read(tmp_path) == hf_config.parse(GOOD)
