"""The decoder computes what transformers computes from the same folder, for every family."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import parity_models
import pytest
from parity_models import Pair, reference_logits, SHAPES, TEXTS

from sah_jax.models import base as base_lib
from sah_jax.models import generate as generate_lib
from sah_jax.programs import lowrank
from sah_jax.training import losses

pytestmark = pytest.mark.parity

LOGIT_BOUND = 1e-4
"""Most that a float32 logit may differ."""

CODELENGTH_BOUND = 1e-3
"""Most that a codelength may differ, relative to itself."""

NEW_TOKENS = 40


class TokenText(base_lib.BaseModel):
    """A base model whose texts spell out token ids, so that no two sequences read the same."""

    def decode(self, tokens):
        return "".join(f"{token} " for token in tokens)


@pytest.fixture(scope="module", params=[*SHAPES, "nano"])
def pair(request, libraries, read_pair, tmp_path_factory) -> Pair:
    folder = base_lib.SHIPPED / "nano"
    if request.param != "nano":
        folder = tmp_path_factory.mktemp("parity") / "model"
        parity_models.save_random(libraries, folder, SHAPES[request.param])
    return read_pair(folder)


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
    assert not pair.base.spec.windows or length > 2 * min(pair.base.spec.windows)
    tokens_BL = parity_models.tokens(pair, 3, length)
    expected_BLV = reference_logits(pair, pair.reference, tokens_BL)
    logits_BLV = jax.jit(pair.base.decoder.apply)(pair.variables, tokens_BL)
    assert 0.5 < np.std(expected_BLV) < 10  # so that the bound means something
    assert largest("logits", np.max(np.abs(logits_BLV - expected_BLV))) < LOGIT_BOUND


def test_greedy_continuations_are_those_of_transformers(pair):
    torch = pair.libraries.torch
    rows = [[pair.base.spec.start_token, *pair.base.encode(text)] for text in TEXTS]
    longest = max(map(len, rows))
    assert len({len(row) for row in rows}) == len(rows)
    assert not pair.base.spec.windows or longest + NEW_TOKENS > 2 * min(pair.base.spec.windows)
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
        tokens_BL = parity_models.tokens(pair, 2, 48)
        expected_BLV = reference_logits(pair, adapted, tokens_BL)
    finally:
        adapted.unload()  # gives the reference back as it was
    program = lowrank.expand(jax.tree.map(jnp.asarray, factors), alpha / rank)
    apply = jax.jit(pair.base.decoder.apply)
    logits_BLV = apply({**pair.variables, "program": program}, tokens_BL)
    assert largest("adapted logits", np.max(np.abs(logits_BLV - expected_BLV))) < LOGIT_BOUND
    assert np.std(logits_BLV - apply(pair.variables, tokens_BL)) > 0.1
