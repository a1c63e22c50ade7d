"""A tiny random model whose tokens are one character each."""

import jax
import jax.numpy as jnp
import numpy as np
import tokenizers

from sah_jax.models import config as config_lib
from sah_jax.models import decoder as decoder_lib
from sah_jax.models import hf, rope

END = "<end>"
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789 .,;#\n"

# No two sizes are equal, so that no mix-up of axes goes unnoticed.
TINY = config_lib.ModelConfig(
    vocab_size=len(CHARACTERS) + 1, width=32, ffn=56, layers=3, heads=4, kv_heads=2, head_dim=10,
    max_positions=256, norm_eps=1e-5, ropes=(rope.Rope(5000.0),) * 3, tied_embedding=False,
    start_token=0, end_tokens=(0,))


def random_params(spec, seed=0):
    """Weights large enough for the output to hang on every token that came before."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        if path[-1].key == "scale":
            return jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), jnp.float32)
        if path[-1].key == "bias":
            return jnp.asarray(0.3 * rng.normal(size=leaf.shape), jnp.float32)
        inputs = 1 if path[-1].key == "embed" else leaf.shape[-2]
        return jnp.asarray(rng.normal(size=leaf.shape) * inputs**-0.5, jnp.float32)

    abstract = decoder_lib.abstract_params(decoder_lib.Decoder(spec))
    return jax.tree_util.tree_map_with_path(draw, abstract)


def save_tiny(folder):
    """Writes a model whose end token is never the likeliest: texts end only where a test says."""
    params = random_params(TINY)
    hf.save_model(folder, TINY, params | {"head": params["head"].at[:, 0].set(0.0)})
    character_tokenizer().save(str(folder / "tokenizer.json"))


def character_tokenizer():
    vocabulary = {END: 0} | {char: index for index, char in enumerate(CHARACTERS, start=1)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.add_special_tokens([END])
    tokenizer.decoder = tokenizers.decoders.Fuse()
    return tokenizer
