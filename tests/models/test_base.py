"""A base model is read completely and its digest stands for all that it computes with."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import safetensors.numpy
import tokenizers

from sah_jax import errors
from sah_jax.models import base as base_lib
from sah_jax.models import hf

SHIPPED_NAMES = sorted(path.name for path in base_lib.SHIPPED.iterdir() if path.is_dir())


def _flip_a_bit(folder):
    """Changes the last bit of one weight."""
    path = folder / hf.WEIGHTS_FILE
    tensors = safetensors.numpy.load_file(path)
    name = "model.layers.1.mlp.down_proj.weight"
    tensors[name].view(np.uint16)[3, 5] ^= 1
    safetensors.numpy.save_file(tensors, path)


def _edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_ladder_from_random_weights_to_conversations_is_shipped():
    assert SHIPPED_NAMES == ["nano", "nano-chat", "nano-step0", "nano-step200", "nano-step800"]
    assert sum(path.stat().st_size for path in base_lib.SHIPPED.rglob("*")) <= 32e6


@pytest.mark.parametrize("name", SHIPPED_NAMES)
@pytest.mark.parametrize("dtype", base_lib.DTYPES)
def test_a_shipped_model_loads_by_its_name(name, dtype):
    base = base_lib.load_base(name, dtype)
    assert (base.name, base.dtype) == (name, dtype)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(base.params)} == {dtype}
    assert base.tokenizer.get_vocab_size() == base.spec.vocab_size
    text = "Tom has 3 pears.\n#### 3"
    assert base.decode(base.encode(text)) == text


def test_a_source_leads_back_to_the_same_model(tiny_folder, monkeypatch):
    monkeypatch.chdir(tiny_folder.parent)
    base = base_lib.load_base(tiny_folder.name)
    monkeypatch.chdir("/")
    assert base_lib.load_base(base.source).digest == base.digest
    # A shipped model may lie elsewhere on another machine.
    assert base_lib.load_base("nano").source == "nano"
    assert base_lib.load_base(base_lib.SHIPPED / "nano").source == "nano"


def test_a_folder_goes_before_a_shipped_name(tiny_folder, monkeypatch):
    tiny_folder.rename(tiny_folder.parent / "nano")
    monkeypatch.chdir(tiny_folder.parent)
    assert base_lib.load_base("nano").digest != base_lib.load_base(base_lib.SHIPPED / "nano").digest


def test_a_missing_folder_is_named_with_the_shipped_models(tmp_path):
    with pytest.raises(errors.UserError, match=f"{tmp_path}/none: .*{', '.join(SHIPPED_NAMES)}"):
        base_lib.load_base(tmp_path / "none")
    with pytest.raises(errors.UserError, match="nano2: is not a folder"):
        base_lib.load_base("nano2")


def test_a_file_is_not_a_folder(tiny_folder):
    with pytest.raises(errors.UserError, match="config.json: is not a folder"):
        base_lib.load_base(tiny_folder / "config.json")


@pytest.mark.parametrize("dtype", ["float16", "int8", ""])
def test_another_dtype_is_refused(tiny_folder, dtype):
    with pytest.raises(errors.UserError, match=f"'{dtype}', expected one of float32, bfloat16"):
        base_lib.load_base(tiny_folder, dtype)


def test_a_missing_or_damaged_tokenizer_is_named(tiny_folder):
    path = tiny_folder / "tokenizer.json"
    path.write_text(path.read_text()[:-9])
    with pytest.raises(errors.UserError, match=f"{path}: cannot be read"):
        base_lib.load_base(tiny_folder)
    path.unlink()
    with pytest.raises(errors.UserError, match=f"{path}: is missing"):
        base_lib.load_base(tiny_folder)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tiny_folder, tiny_spec):
    path = tiny_folder / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    assert tokenizer.add_tokens([f"more{i}" for i in range(9)]) == 9
    tokenizer.save(str(path))
    with pytest.raises(errors.UserError, match=f"{path}: has .* the model {tiny_spec.vocab_size};"):
        base_lib.load_base(tiny_folder)


def test_a_tokenizer_with_a_token_beyond_the_model_is_refused(tiny_folder, tiny_spec):
    path = tiny_folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["z"] = tiny_spec.vocab_size  # as many tokens as before, one id out of range
    path.write_text(json.dumps(content))
    with pytest.raises(errors.UserError, match=f"{path}: "):
        base_lib.load_base(tiny_folder)


def test_padding_and_truncation_of_the_tokenizer_are_off(tiny_folder):
    path = tiny_folder / "tokenizer.json"
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(path))
    base = base_lib.load_base(tiny_folder)
    assert [len(base.encode("a" * length)) for length in (1, 20)] == [1, 20]


def test_a_text_that_spells_out_the_end_token_is_refused(tiny_base, nano):
    with pytest.raises(errors.UserError, match="'one<end>two' holds the end token '<end>'"):
        tiny_base.encode("one<end>two")
    for text in ("<|endoftext|>", "a<|endoftext|>"):
        with pytest.raises(errors.UserError, match=r"'<\|endoftext\|>'"):
            nano.encode(text)


def test_special_tokens_are_left_out_of_a_text(tiny_base):
    assert tiny_base.decode([0, *tiny_base.encode("abc"), 0]) == "abc"


def test_the_digest_is_that_of_the_content(tiny_folder, tiny_base):
    digest = base_lib.load_base(tiny_folder).digest
    assert digest == tiny_base.digest == base_lib.load_base(tiny_folder, "bfloat16").digest
    moved = tiny_folder.rename(tiny_folder.parent / "moved")
    assert base_lib.load_base(moved).digest == digest


@pytest.mark.parametrize("change", [
    _flip_a_bit,
    lambda folder: _edit_json(folder / "config.json", rope_theta=5000.5),
    lambda folder: _edit_json(folder / "config.json", eos_token_id=1),
    lambda folder: _edit_json(folder / "tokenizer.json", normalizer={"type": "Lowercase"}),
], ids=["weight", "architecture", "end token", "tokenizer"])
def test_the_digest_changes_with_whatever_changes_the_model(tiny_folder, change):
    digest = base_lib.load_base(tiny_folder).digest
    change(tiny_folder)
    assert base_lib.load_base(tiny_folder).digest != digest


def test_a_tree_digest_sees_names_shapes_types_and_values():
    zeros = np.zeros((2, 3), np.float32)
    trees = [
        {"a": zeros}, {"b": zeros}, {"a": {"a": zeros}}, {"a": zeros.T}, {"a": zeros.view(np.int32)},
        {"a": zeros, "b": zeros}, {"a": zeros + 1}, {"a": -zeros}, {}]
    assert len({base_lib.tree_digest(tree) for tree in trees}) == len(trees)
    ordered = {"a": zeros, "b": zeros + 1}
    assert base_lib.tree_digest(ordered) == base_lib.tree_digest(dict(reversed(ordered.items())))
    strided = np.zeros((2, 6), np.float32)[:, ::2]
    assert base_lib.tree_digest({"a": strided}) == base_lib.tree_digest({"a": zeros})


def test_a_base_model_cannot_be_assigned_to(tiny_base):
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny_base.params = {}
