"""The parity record of a conversion says how far our logits are from those of transformers."""

import pytest
import tiny_model
from checkpoints import read_tensors, shard, write_tensors

from sah_jax.models import convert as convert_lib
from sah_jax.models import parity

pytestmark = pytest.mark.parity


@pytest.fixture
def folder(tmp_path):
    tiny_model.save_tiny(tmp_path / "tiny")
    shard(tmp_path / "tiny", 2)
    return tmp_path / "tiny"


def test_the_same_weights_give_the_same_logits(folder, tmp_path):
    record = convert_lib.convert(str(folder), tmp_path / "out")["parity"]
    assert record["compared"] and record["greedy_tokens_equal"]
    assert record["max_abs_logit_difference"] < 1e-4 and 0 <= record["kl_nats"] < 1e-8
    assert 40 < record["num_tokens"] <= len(parity.PROMPT) + 1
    assert record["versions"].keys() == {"torch", "transformers"}


def test_other_weights_do_not(tmp_path, monkeypatch):
    """As if we read the weights otherwise than transformers does."""
    tiny_model.save_tiny(tmp_path / "tiny")
    compare = parity.compare

    def altered(base, found, say):
        tensors = read_tensors(found.folder)
        name = "model.layers.1.self_attn.q_proj.weight"
        write_tensors(found.folder, tensors | {name: -tensors[name]})
        return compare(base, found, say)

    monkeypatch.setattr(parity, "compare", altered)
    record = convert_lib.convert(str(tmp_path / "tiny"), tmp_path / "out")["parity"]
    assert record["compared"] and record["max_abs_logit_difference"] > 0.01 and record["kl_nats"] > 1e-5


def test_what_transformers_cannot_compare_is_said(folder, tmp_path):
    record = convert_lib.convert(f"{folder}#step0-seed1", tmp_path / "drawn")["parity"]
    assert record == {"compared": False, "reason": "the source has no safetensors for transformers to read"}
