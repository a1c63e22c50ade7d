"""What both sides of `models.py` load and are given: random models as Hugging Face folders, and tokens."""

import pathlib

import numpy as np

BATCH, LENGTH = 8, 128
PROMPTS, PROMPT_TOKENS, NEW_TOKENS = 16, 64, 128
PRODUCT, STREAM = (1024, 512, 1536), 1 << 26  # rows, inputs and outputs of a product; floats read

_SMALL = dict(hidden_size=128, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
              intermediate_size=384, vocab_size=2048, max_position_embeddings=512, bos_token_id=0,
              eos_token_id=1, pad_token_id=0)

SHAPES = {
    "tiny": dict(_SMALL, model_type="llama", tie_word_embeddings=False),
    "smollm3": dict(_SMALL, model_type="smollm3", no_rope_layers=[1, 1, 1, 0], tie_word_embeddings=True),
    "olmo3": dict(_SMALL, model_type="olmo3", sliding_window=64, tie_word_embeddings=False,
                  layer_types=["sliding_attention"] * 3 + ["full_attention"]),
    "mid": dict(_SMALL, model_type="llama", hidden_size=512, num_hidden_layers=8, num_attention_heads=8,
                num_key_value_heads=4, intermediate_size=1536, vocab_size=32_000,
                tie_word_embeddings=False),
}


def multiplied(name: str) -> int:
    """Returns how many weights a token is multiplied with: all but the embedding and the norms."""
    shape = SHAPES[name]
    width, ffn = shape["hidden_size"], shape["intermediate_size"]
    keys = width * shape["num_key_value_heads"] // shape["num_attention_heads"]
    layer = 2 * width * (width + keys) + 3 * width * ffn
    return shape["num_hidden_layers"] * layer + width * shape["vocab_size"]


def save(name: str, folder: pathlib.Path) -> None:
    """Writes a model of random weights whose token number n is the word "n"."""
    import tokenizers
    import torch
    import transformers

    torch.manual_seed(0)
    shape = dict(SHAPES[name])
    config = transformers.AutoConfig.for_model(shape.pop("model_type"), **shape)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    words = {str(token): token for token in range(config.vocab_size)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "0"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))


def draw_rows(vocab: int) -> np.ndarray:
    """Returns tokens [BATCH, LENGTH], int64."""
    return np.random.default_rng(0).integers(2, vocab, (BATCH, LENGTH))


def draw_prompts(vocab: int) -> list[list[int]]:
    """Returns prompts of unequal lengths, the longest of PROMPT_TOKENS with the start token before it."""
    rng = np.random.default_rng(0)
    lengths = [PROMPT_TOKENS, *rng.integers(PROMPT_TOKENS // 2 + 1, PROMPT_TOKENS, PROMPTS - 1)]
    return [rng.integers(2, vocab, length - 1).tolist() for length in lengths]
