"""What our leaves are called in a Hugging Face checkpoint."""

from sah_jax.models import config as config_lib

# Our leaf -> (tensor name, whether the stored matrix is [out, in] and ours [in, out]).
OUTER = {
    "embed": ("model.embed_tokens.weight", False),
    "final_norm/scale": ("model.norm.weight", False),
    "head": ("lm_head.weight", True),
}

_LAYER = {
    "attention/q_norm/scale": ("self_attn.q_norm.weight", False),
    "attention/k_norm/scale": ("self_attn.k_norm.weight", False),
    "attention/q/kernel": ("self_attn.q_proj.weight", True),
    "attention/k/kernel": ("self_attn.k_proj.weight", True),
    "attention/v/kernel": ("self_attn.v_proj.weight", True),
    "attention/o/kernel": ("self_attn.o_proj.weight", True),
    "attention/q/bias": ("self_attn.q_proj.bias", False),
    "attention/k/bias": ("self_attn.k_proj.bias", False),
    "attention/v/bias": ("self_attn.v_proj.bias", False),
    "attention/o/bias": ("self_attn.o_proj.bias", False),
    "ffn/gate/kernel": ("mlp.gate_proj.weight", True),
    "ffn/up/kernel": ("mlp.up_proj.weight", True),
    "ffn/down/kernel": ("mlp.down_proj.weight", True),
    "ffn/gate/bias": ("mlp.gate_proj.bias", False),
    "ffn/up/bias": ("mlp.up_proj.bias", False),
    "ffn/down/bias": ("mlp.down_proj.bias", False),
}

# The second name says "after attention" in both, and means "before the feed-forward" in one.
_NORMS_BEFORE = {
    "attention_norm/scale": ("input_layernorm.weight", False),
    "ffn_norm/scale": ("post_attention_layernorm.weight", False),
}
_NORMS_AFTER = {
    "attention_norm/scale": ("post_attention_layernorm.weight", False),
    "ffn_norm/scale": ("post_feedforward_layernorm.weight", False),
}


def tensor_names(leaf: str, spec: config_lib.ModelConfig) -> tuple[list[str], bool]:
    """Returns the checkpoint tensors that make up one of our leaves, and whether to transpose them.

    Args:
      leaf: the leaf's path in `params`, such as "layers/attention/q/kernel".
      spec: the architecture; a leaf of the layers gathers one tensor per layer.
    """
    if leaf in OUTER:
        name, transpose = OUTER[leaf]
        return [name], transpose
    norms = _NORMS_AFTER if spec.norm_after else _NORMS_BEFORE
    name, transpose = (_LAYER | norms)[leaf.removeprefix("layers/")]
    return [f"model.layers.{layer}.{name}" for layer in range(spec.layers)], transpose
