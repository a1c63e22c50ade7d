"""Random models of every family as folders that transformers and this package both read."""

import dataclasses
import types

import numpy as np
import tokenizers

from sah_jax.models import base as base_lib
from sah_jax.tasks import nano_math

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


def save_random(libraries, folder, shape):
    shape = dict(shape)
    config = libraries.transformers.AutoConfig.for_model(shape.pop("model_type", "llama"), **{
        "vocab_size": VOCABULARY, "intermediate_size": 72, "num_hidden_layers": 3,
        "max_position_embeddings": 192, "eos_token_id": 0, "bos_token_id": 1, **shape})
    model = libraries.transformers.AutoModelForCausalLM.from_config(config, dtype=libraries.torch.float32)
    _randomise(libraries.torch, model)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    _byte_level_tokenizer().save(str(folder / "tokenizer.json"))


def tokens(pair, rows, length):
    """Rows of tokens that fit the model, the start token first; int32 [rows, length]."""
    if pair.base.name == "nano":
        examples = nano_math.NanoMath().examples("train", 8 * rows)
        drawn = pair.base.encode("".join(one.prompt + one.answer for one in examples))
    else:
        drawn = np.random.default_rng(0).integers(0, pair.base.spec.vocab_size, rows * length)
    tokens_BL = np.array(drawn[: rows * length], np.int32).reshape(rows, length)
    tokens_BL[:, 0] = pair.base.spec.start_token
    return tokens_BL


def reference_logits(pair, model, tokens_BL):
    with pair.libraries.torch.no_grad():
        return model(input_ids=pair.libraries.torch.tensor(tokens_BL).long()).logits.numpy()


