"""The decoder against transformers where rows are padded, sequences are long, and floats are short."""

import dataclasses

import jax
import numpy as np
import parity_models
import pytest
from parity_models import reference_logits, SHAPES

from sah_jax.models import base as base_lib
from sah_jax.models import decoder as decoder_lib

pytestmark = pytest.mark.parity

# One of each family, and what no other test of it has.
FAMILIES = ("biases everywhere, llama3 rope", "smollm3", "smollm3, windows where nothing rotates", "olmo2",
            "olmo3, as released", "qwen2, later layers with windows", "qwen3")
LONG = ("biases everywhere, llama3 rope", "linear rope", "smollm3", "olmo3, as released", "qwen3")

LOGIT_BOUND = 1e-4
"""Most that a float32 logit may differ."""

LONG_LENGTH = 3100

BFLOAT16_FACTOR = 1.1
"""Most by which our bfloat16 logits may be further from float32 ones than those of transformers."""


@pytest.fixture
def make_pair(libraries, read_pair, tmp_path):
    """Returns a function that reads a random model of a shape with both libraries."""
    def make(name, **changes):
        parity_models.save_random(libraries, tmp_path / "model", SHAPES[name] | changes)
        return read_pair(tmp_path / "model")

    return make


@pytest.mark.parametrize("name", FAMILIES)
def test_padding_on_either_side_gives_the_same_logits(make_pair, largest, name):
    pair = make_pair(name)
    torch = pair.libraries.torch
    tokens_BL = parity_models.tokens(pair, 4, 60)
    lengths_B = np.array([60, 1, 33, 17])
    positions_BL = np.arange(60) - (60 - lengths_B[:, None])
    real_BL = positions_BL >= 0
    left_BL = np.zeros_like(tokens_BL)
    for left_L, tokens_L, length in zip(left_BL, tokens_BL, lengths_B, strict=True):
        left_L[60 - length :] = tokens_L[:length]
    with torch.no_grad():
        expected_BLV = pair.reference(
            input_ids=torch.tensor(left_BL).long(), attention_mask=torch.tensor(real_BL).long(),
            position_ids=torch.tensor(positions_BL.clip(0))).logits.numpy()
    right_BL = np.where(np.arange(60) < lengths_B[:, None], tokens_BL, 0)
    logits_BLV = np.asarray(jax.jit(pair.base.decoder.apply)(pair.variables, right_BL))
    for length, ours_LV, theirs_LV in zip(lengths_B, logits_BLV, expected_BLV, strict=True):
        difference = np.max(np.abs(ours_LV[:length] - theirs_LV[60 - length :]))
        assert largest(f"logits of {length} tokens", difference) < LOGIT_BOUND


@pytest.mark.parametrize("name", LONG)
def test_logits_far_beyond_the_original_context_are_those_of_transformers(make_pair, largest, name):
    pair = make_pair(name, max_position_embeddings=LONG_LENGTH + 1)
    tokens_1L = parity_models.tokens(pair, 1, LONG_LENGTH)
    expected_LV = reference_logits(pair, pair.reference, tokens_1L)[0, -64:]

    def difference(spec):
        apply = jax.jit(decoder_lib.Decoder(spec).apply)
        return np.max(np.abs(apply(pair.variables, tokens_1L)[0, -64:] - expected_LV))

    spec = pair.base.spec
    assert largest("logits", difference(spec)) < LOGIT_BOUND
    # The bound means something: without the scaling the model is another.
    plain = dataclasses.replace(spec, ropes=tuple(rope and rope.plain() for rope in spec.ropes))
    assert plain == spec or difference(plain) > 0.1


@pytest.mark.parametrize("name", FAMILIES)
def test_bfloat16_is_as_near_to_float32_as_that_of_transformers(make_pair, largest, tmp_path, name):
    pair = make_pair(name)
    tokens_BL = parity_models.tokens(pair, 8, 90)
    exact_BLV = reference_logits(pair, pair.reference, tokens_BL)
    half = pair.libraries.transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", dtype=pair.libraries.torch.bfloat16, attn_implementation="eager").eval()
    base = base_lib.load_base(tmp_path / "model", "bfloat16")
    with pair.libraries.torch.no_grad():
        theirs_BLV = half(input_ids=pair.libraries.torch.tensor(tokens_BL).long()).logits.float().numpy()
    ours_BLV = np.asarray(jax.jit(base.decoder.apply)({"params": base.params}, tokens_BL))
    error = lambda logits_BLV: float(np.sqrt(np.mean((logits_BLV - exact_BLV) ** 2)))
    assert ours_BLV.dtype == np.float32 and error(theirs_BLV) > 1e-3
    assert largest("error over theirs", error(ours_BLV) / error(theirs_BLV)) < BFLOAT16_FACTOR
    # Nearer to each other than twice what each is off, so neither is something else.
    assert float(np.sqrt(np.mean((ours_BLV - theirs_BLV) ** 2))) < 2 * error(theirs_BLV)
