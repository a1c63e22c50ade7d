"""The decoder computes what transformers computes from the same folder, for every family.

The libraries compared with are imported by a fixture: where they are missing these tests
fail when they are selected, and do not get in the way of the others when they are not.
"""

import dataclasses
import importlib
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers

from sah_jax.models import base as base_lib
from sah_jax.models import generate as generate_lib
from sah_jax.programs import lowrank
from sah_jax.tasks import nano_math
from sah_jax.training import losses

pytestmark = pytest.mark.parity

LOGIT_BOUND = 1e-4
"""Most that a float32 logit may differ."""

CODELENGTH_BOUND = 1e-3
"""Most that a codelength may differ, relative to itself."""

NEW_TOKENS = 40
END, VOCABULARY = "<end>", 320

def _layers(period, last, others, count=4):
    """Every `period`-th layer is `last`, the rest are `others`."""
    return [last if (layer + 1) % period == 0 else others for layer in range(count)]


YARN = {
    "rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 24, "beta_fast": 32.0,
    "beta_slow": 1.0, "attention_factor": 1.2079441541679836}

# Every one has a trait that the others lack.
SHAPES = {
    "grouped heads, tied": dict(
        hidden_size=48, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True),
    "all heads, untied": dict(
        hidden_size=48, num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=False),
    "one shared head, other rope base": dict(
        hidden_size=64, num_attention_heads=8, num_key_value_heads=1, tie_word_embeddings=False,
        rope_parameters={"rope_theta": 500000.0, "rope_type": "default"}),
    "wide heads, other norm": dict(
        hidden_size=48, num_attention_heads=6, num_key_value_heads=3, head_dim=16,
        tie_word_embeddings=True, rms_norm_eps=1e-3,
        rope_parameters={"rope_theta": 700.0, "rope_type": "default"}),
    "biases everywhere, llama3 rope": dict(
        hidden_size=48, num_attention_heads=4, num_key_value_heads=2, attention_bias=True,
        mlp_bias=True, rope_parameters={
            "rope_theta": 10000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 32}),
    "linear rope": dict(
        hidden_size=48, num_attention_heads=4, num_key_value_heads=2,
        rope_parameters={"rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0}),
    "smollm3": dict(
        model_type="smollm3", hidden_size=48, num_attention_heads=4, num_key_value_heads=2,
        num_hidden_layers=4, no_rope_layers=_layers(4, 0, 1), pad_token_id=0,
        rope_parameters={"rope_theta": 5000000.0, "rope_type": "default"}),
    "smollm3, windows where nothing rotates": dict(
        model_type="smollm3", hidden_size=48, num_attention_heads=4, num_key_value_heads=2,
        num_hidden_layers=4, no_rope_layer_interval=2, pad_token_id=0, use_sliding_window=True,
        sliding_window=16, tie_word_embeddings=False,
        rope_parameters={"rope_theta": 50000.0, "rope_type": "default"}),
    "olmo2": dict(
        model_type="olmo2", hidden_size=48, num_attention_heads=4, num_key_value_heads=2, pad_token_id=0,
        rope_parameters={"rope_theta": 500000.0, "rope_type": "default"}),
    "olmo3, as pre-trained": dict(
        model_type="olmo3", hidden_size=48, num_attention_heads=4, num_key_value_heads=4, pad_token_id=0,
        num_hidden_layers=4, sliding_window=24, bos_token_id=None, layer_types=_layers(
            4, "full_attention", "sliding_attention")),
    "olmo3, as released": dict(
        model_type="olmo3", hidden_size=80, num_attention_heads=5, num_key_value_heads=1, pad_token_id=0,
        num_hidden_layers=4, sliding_window=20, bos_token_id=None, layer_types=_layers(
            4, "full_attention", "sliding_attention"),
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 500000.0},
            "full_attention": YARN | {"rope_theta": 500000.0}}),
    "qwen2": dict(
        model_type="qwen2", hidden_size=48, num_attention_heads=4, num_key_value_heads=2,
        tie_word_embeddings=True, rope_parameters={"rope_theta": 1000000.0, "rope_type": "default"}),
    "qwen2, later layers with windows": dict(
        model_type="qwen2", hidden_size=48, num_attention_heads=4, num_key_value_heads=2,
        use_sliding_window=True, sliding_window=18, max_window_layers=1, num_hidden_layers=3),
    "qwen3": dict(
        model_type="qwen3", hidden_size=48, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        rope_parameters={"rope_theta": 1000000.0, "rope_type": "default"}),
}

TEXTS = (
    "Tom has 3 pears.",
    "A",
    "Ann has 14 pears. She buys 9 more. How many pears does Ann have now?",
    "Where is the cat?\nThe cat sits on the mat, and the dog in the sun.",
)


@dataclasses.dataclass(frozen=True)
class Pair:
    """One model folder, read by both libraries."""

    base: base_lib.BaseModel
    reference: types.SimpleNamespace  # a transformers model
    libraries: types.SimpleNamespace

    @property
    def variables(self):
        return {"params": self.base.params}


class TokenText(base_lib.BaseModel):
    """A base model whose texts spell out token ids, so that no two sequences read the same."""

    def decode(self, tokens):
        return "".join(f"{token} " for token in tokens)


@pytest.fixture(scope="module")
def libraries():
    modules = {name: importlib.import_module(name) for name in ("torch", "transformers", "peft")}
    modules["torch"].set_num_threads(1)
    return types.SimpleNamespace(**modules)


def _byte_level_tokenizer():
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.train_from_iterator(TEXTS * 3, tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[END, "<start>"], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def _randomise(torch, model):
    """Draws weights that make the logits of order 1 and every part of the model matter."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim == 1:
                weight.copy_(0.3 * noise + ("norm" in name))
            elif "embed_tokens" in name:
                # A tied embedding is the head too.
                weight.copy_(noise * (2 / weight.shape[-1] ** 0.5))
            else:
                weight.copy_(noise / weight.shape[-1] ** 0.5)


def _save_random(libraries, folder, shape):
    shape = dict(shape)
    config = libraries.transformers.AutoConfig.for_model(shape.pop("model_type", "llama"), **{
        "vocab_size": VOCABULARY, "intermediate_size": 72, "num_hidden_layers": 3,
        "max_position_embeddings": 192, "eos_token_id": 0, "bos_token_id": 1, **shape})
    model = libraries.transformers.AutoModelForCausalLM.from_config(config, dtype=libraries.torch.float32)
    _randomise(libraries.torch, model)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    _byte_level_tokenizer().save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module", params=[*SHAPES, "nano"])
def pair(request, libraries, tmp_path_factory) -> Pair:
    folder = base_lib.SHIPPED / "nano"
    if request.param != "nano":
        folder = tmp_path_factory.mktemp("parity") / "model"
        _save_random(libraries, folder, SHAPES[request.param])
    reference = libraries.transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=libraries.torch.float32, attn_implementation="eager").eval()
    return Pair(base_lib.load_base(folder), reference, libraries)


@pytest.fixture
def largest(record_property):
    """Notes the largest difference seen, for whoever reads the results."""
    def note(what, difference):
        record_property(what, float(difference))
        print(f"{what}: {difference:.2e}")
        return difference

    return note


def _tokens(pair, rows, length):
    """Rows of tokens that fit the model, the start token first; int32 [rows, length]."""
    if pair.base.name == "nano":
        examples = nano_math.NanoMath().examples("train", 8 * rows)
        tokens = pair.base.encode("".join(one.prompt + one.answer for one in examples))
    else:
        tokens = np.random.default_rng(0).integers(0, pair.base.spec.vocab_size, rows * length)
    tokens_BL = np.array(tokens[: rows * length], np.int32).reshape(rows, length)
    tokens_BL[:, 0] = pair.base.spec.start_token
    return tokens_BL


def _reference_logits(pair, model, tokens_BL):
    with pair.libraries.torch.no_grad():
        return model(input_ids=pair.libraries.torch.tensor(tokens_BL).long()).logits.numpy()


def _up_to(tokens, ends):
    length = next((index for index, token in enumerate(tokens) if token in ends), len(tokens))
    return tokens[:length]


def test_the_folder_is_read_as_it_was_written(pair):
    spec, config = pair.base.spec, pair.reference.config
    assert spec.kv_heads == config.num_key_value_heads
    assert (spec.family, spec.max_positions) == (config.model_type, config.max_position_embeddings)
    assert spec.norm_eps == config.rms_norm_eps
    assert spec.tied_embedding == config.tie_word_embeddings
    count = sum(weight.numel() for weight in pair.reference.parameters())
    assert sum(leaf.size for leaf in jax.tree.leaves(pair.base.params)) == spec.num_params == count


def test_logits_are_those_of_transformers(pair, largest):
    length = pair.base.spec.max_positions // 2
    tokens_BL = _tokens(pair, 3, length)
    expected_BLV = _reference_logits(pair, pair.reference, tokens_BL)
    logits_BLV = jax.jit(pair.base.decoder.apply)(pair.variables, tokens_BL)
    assert 0.5 < np.std(expected_BLV) < 10  # so that the bound means something
    assert largest("logits", np.max(np.abs(logits_BLV - expected_BLV))) < LOGIT_BOUND


def test_greedy_continuations_are_those_of_transformers(pair):
    torch = pair.libraries.torch
    rows = [[pair.base.spec.start_token, *pair.base.encode(text)] for text in TEXTS]
    longest = max(map(len, rows))
    assert len({len(row) for row in rows}) == len(rows)
    attention_BL = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    padded_BL = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    with torch.no_grad():
        tokens_BL = pair.reference.generate(
            padded_BL, attention_mask=attention_BL, do_sample=False, max_new_tokens=NEW_TOKENS,
            eos_token_id=list(pair.base.spec.end_tokens), pad_token_id=0)
    base = TokenText(**{
        field.name: getattr(pair.base, field.name) for field in dataclasses.fields(pair.base)})
    expected = [
        base.decode(_up_to(new, base.spec.end_tokens)) for new in tokens_BL[:, longest:].tolist()]
    written = generate_lib.generate(
        base, pair.variables, TEXTS, max_new_tokens=NEW_TOKENS, batch_size=len(TEXTS))
    assert written == expected
    assert len(set(written)) == len(written)
    assert sum(text.count(" ") for text in written) > 50


def test_a_codelength_is_that_of_transformers(pair, largest):
    """The bits of texts under the model, end token included, start token not."""
    torch = pair.libraries.torch
    base = pair.base
    rows = [[base.spec.start_token, *base.encode(text), base.spec.end_tokens[0]] for text in TEXTS]
    expected = 0.0
    for row in rows:
        with torch.no_grad():
            logits_LV = pair.reference(input_ids=torch.tensor([row[:-1]])).logits[0]
            nats = torch.nn.functional.cross_entropy(
                logits_LV.double(), torch.tensor(row[1:]), reduction="sum")
        expected += nats.item() / math.log(2)

    tokens_BL = np.zeros((len(rows), max(map(len, rows))), np.int32)
    weights_BL = np.zeros(tokens_BL.shape, np.float32)
    for index, row in enumerate(rows):
        tokens_BL[index, : len(row)] = row
        weights_BL[index, 1 : len(row)] = 1

    def nats_of(variables, tokens_BL, weights_BL):
        hidden_BLD = base.decoder.apply(variables, tokens_BL[:, :-1], method="hidden")
        return losses.summed_cross_entropy(
            lambda hidden: base.decoder.apply(variables, hidden, method="logits"),
            hidden_BLD, tokens_BL[:, 1:], weights_BL[:, 1:])

    bits = float(jax.jit(nats_of)(pair.variables, tokens_BL, weights_BL)) / math.log(2)
    assert expected > 100
    assert largest("codelength", abs(bits - expected) / expected) < CODELENGTH_BOUND


def test_low_rank_adapters_are_those_of_peft(pair, largest):
    torch, peft = pair.libraries.torch, pair.libraries.peft
    rank, alpha = 3, 5
    modules = [f"{name}_proj" for _, name in lowrank.PROJECTIONS]
    adapted = peft.get_peft_model(pair.reference, peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, bias="none", target_modules=modules)).eval()
    try:
        rng = np.random.default_rng(1)
        factors = {}
        for name, shapes in lowrank.shapes(pair.base.decoder, rank).items():
            factors[name] = {
                factor: (rng.normal(size=shape) * 0.4 / shape[1] ** 0.5).astype(np.float32)
                for factor, shape in shapes.items()}
        module_of = {"attention": "self_attn", "ffn": "mlp"}
        for name, pair_JIO in factors.items():
            group, projection = name.split("/")
            for index, layer in enumerate(adapted.base_model.model.model.layers):
                module = getattr(getattr(layer, module_of[group]), f"{projection}_proj")
                with torch.no_grad():
                    module.lora_A["default"].weight.copy_(torch.tensor(pair_JIO["a"][index].T))
                    module.lora_B["default"].weight.copy_(torch.tensor(pair_JIO["b"][index].T))
        tokens_BL = _tokens(pair, 2, 48)
        expected_BLV = _reference_logits(pair, adapted, tokens_BL)
    finally:
        adapted.unload()  # gives the reference back as it was
    program = lowrank.expand(jax.tree.map(jnp.asarray, factors), alpha / rank)
    apply = jax.jit(pair.base.decoder.apply)
    logits_BLV = apply({**pair.variables, "program": program}, tokens_BL)
    assert largest("adapted logits", np.max(np.abs(logits_BLV - expected_BLV))) < LOGIT_BOUND
    assert np.std(logits_BLV - apply(pair.variables, tokens_BL)) > 0.1
