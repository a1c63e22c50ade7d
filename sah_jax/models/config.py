"""The architecture of a decoder: everything in which one family of models differs from another."""

import dataclasses
import math

from sah_jax.models import rope as rope_lib

NO_WINDOW = 1 << 30
"""The window of a layer that sees every position before a token."""


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
    ropes: tuple[rope_lib.Rope | None, ...]  # of each layer; None: positions are not encoded
    tied_embedding: bool
    start_token: int  # what every sequence begins with: BOS, or EOS where there is no BOS
    end_tokens: tuple[int, ...]  # the first one ends what we write
    family: str = "llama"  # `model_type` in config.json
    windows: tuple[int, ...] = ()  # positions each layer sees, its own included; () for all
    norm_after: bool = False  # norms stand after attention and ffn, not before (Olmo 2)
    qk_norm: str = ""  # norm of queries and keys: over the "width" (Olmo 2), each "head" (Qwen 3)
    biases: tuple[str, ...] = ()  # projections that add a bias
    init_std: float = 0.02  # of the random initialisation

    @property
    def num_params(self) -> int:
        """How many numbers the base weights hold."""
        inner, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        features = {"q": (self.width, inner), "k": (self.width, kv), "v": (self.width, kv),
                    "o": (inner, self.width), "gate": (self.width, self.ffn),
                    "up": (self.width, self.ffn), "down": (self.ffn, self.width)}
        norms = {"": 0, "width": inner + kv, "head": 2 * self.head_dim}[self.qk_norm] + 2 * self.width
        layer = sum(map(math.prod, features.values())) + sum(features[name][1] for name in self.biases)
        embeddings = self.vocab_size * self.width * (1 if self.tied_embedding else 2)
        return embeddings + self.width + self.layers * (layer + norms)
