"""A converted model is the same model: values, digest, and whatever devices it goes to."""

import json
import sys

import jax
import numpy as np
import orbax.checkpoint
import pytest
from checkpoints import read_tensors, write_tensors

from sah_jax import cli, errors
from sah_jax.models import base as base_lib
from sah_jax.models import convert as convert_lib
from sah_jax.models import stores


@pytest.fixture(autouse=True)
def no_transformers(monkeypatch):
    """As where the extra `parity` is not installed; with it, see tests/parity."""
    monkeypatch.setitem(sys.modules, "transformers", None)


def _assert_same(first, second):
    def compare(a, b):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)

    jax.tree.map(compare, first, second)


def _mixed(folder):
    """Stores norms in float32, as some checkpoints do."""
    write_tensors(folder, {name: tensor.astype(np.float32) if "norm" in name else tensor
                           for name, tensor in read_tensors(folder).items()})


@pytest.mark.parametrize("change, dtype", [(lambda folder: None, "bfloat16"), (_mixed, "bfloat16+float32")],
                         ids=["one dtype", "two dtypes"])
def test_a_converted_model_has_the_same_values_and_digest(tiny_folder, tmp_path, change, dtype):
    change(tiny_folder)
    record = convert_lib.convert(str(tiny_folder), tmp_path / "out")
    for computed in base_lib.DTYPES:
        original, base = (base_lib.load_base(tmp_path / name, computed) for name in ("tiny", "out"))
        _assert_same(base.params, original.params)
        assert base.digest == original.digest == record["base_digest"] == record["source_digest"]
    assert json.loads((tmp_path / "out" / "sah.json").read_text()) == record
    assert (record["dtype"], record["num_params"]) == (dtype, original.spec.num_params)
    assert record["source"] == str(tiny_folder)
    assert record["parity"] == {"compared": False, "reason": "transformers is not installed"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tiny"]


def test_another_dtype_is_another_model_that_says_what_it_was(tiny_folder, tmp_path):
    tensors = read_tensors(tiny_folder)
    rng = np.random.default_rng(0)
    write_tensors(tiny_folder, {
        name: rng.normal(size=tensor.shape).astype(np.float32) for name, tensor in tensors.items()})
    record = convert_lib.convert(str(tiny_folder), tmp_path / "out", dtype="bfloat16")
    original, base = base_lib.load_base(tiny_folder, "bfloat16"), base_lib.load_base(tmp_path / "out")
    assert record["dtype"] == "bfloat16" and record["source_digest"] == original.digest
    assert base.digest == record["base_digest"] != original.digest
    _assert_same(base.params, jax.tree.map(lambda leaf: leaf.astype("float32"), original.params))


def test_orbax_itself_restores_it(tiny_folder, tmp_path):
    convert_lib.convert(str(tiny_folder), tmp_path / "out")
    expected = base_lib.load_base(tiny_folder, "bfloat16").params
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), expected)
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        _assert_same(checkpointer.restore(tmp_path / "out" / stores.ORBAX_FOLDER, abstract), expected)


def test_step_0_is_converted_too(tiny_folder, tmp_path):
    model = f"{tiny_folder}#step0-seed3"
    convert_lib.convert(model, tmp_path / "out")
    assert base_lib.load_base(tmp_path / "out").digest == base_lib.load_base(model).digest


def test_an_existing_folder_is_kept_if_it_is_the_same_and_refused_if_not(tiny_folder, tmp_path):
    out, said = tmp_path / "out", []
    record = convert_lib.convert(str(tiny_folder), out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert convert_lib.convert(str(tiny_folder), out, say=said.append) == record
    assert convert_lib.convert(str(tiny_folder), out, dtype="bfloat16") == record
    assert said == [f"{out} holds the same model already"]
    for model, dtype in ((str(tiny_folder), "float32"), ("nano", None), (f"{tiny_folder}#step0-seed0", None)):
        with pytest.raises(errors.UserError, match=f"{out}: exists and holds {tiny_folder} in bfloat16"):
            convert_lib.convert(model, out, dtype=dtype)
    with pytest.raises(errors.UserError, match="exists and is not a folder that sah convert wrote"):
        convert_lib.convert("nano", tiny_folder)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_failed_conversion_leaves_nothing(tiny_folder, tmp_path, monkeypatch):
    def full(folder, params):
        folder.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert_lib, "_write_params", full)
    with pytest.raises(errors.UserError, match=f"{tmp_path / 'out'}: cannot be written .No space left"):
        convert_lib.convert(str(tiny_folder), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_an_altered_folder_is_refused(tiny_folder, tmp_path):
    out = tmp_path / "out"
    convert_lib.convert(str(tiny_folder), out)
    config = (out / "config.json").read_text()
    (out / "config.json").write_text(json.dumps(json.loads(config) | {"rope_theta": 7.0}))
    with pytest.raises(errors.UserError, match="its sah.json says .*: a file was altered"):
        base_lib.load_base(out)
    (out / "config.json").write_text(json.dumps(json.loads(config) | {"tie_word_embeddings": True}))
    with pytest.raises(errors.UserError, match="'head' is surplus"):
        base_lib.load_base(out)
    (out / "config.json").write_text(json.dumps(json.loads(config) | {"num_hidden_layers": 2}))
    with pytest.raises(errors.UserError, match="has shape .*config.json has 2 layers"):
        base_lib.load_base(out)
    (out / "config.json").write_text(config)
    (out / "sah.json").write_text("{}")
    with pytest.raises(errors.UserError, match="is not a record of sah convert"):
        base_lib.load_base(out)


@pytest.mark.parametrize("damage", [
    lambda data: data[: len(data) // 2], lambda data: data[:-9] + bytes(9), lambda data: b""],
    ids=["cut", "zeroed end", "empty"])
def test_damaged_values_are_named(tiny_folder, tmp_path, damage):
    out = tmp_path / "out"
    convert_lib.convert(str(tiny_folder), out)
    for path in [*out.glob("params/d/*"), *out.glob("params/*/d/*")]:
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(errors.UserError, match=f"{out / 'params'}: cannot be read"):
        base_lib.load_base(out)


def test_a_wrong_dtype_and_a_missing_flag_are_refused(tiny_folder, tmp_path, capsys):
    out = tmp_path / "out"
    for arguments, said in (
            ((f"--out={out}", "--dtype=int4"), "dtype is 'int4', expected one of float32, bfloat16"),
            ((), "--out is needed"), ((f"--out={out}", "--revision=v1"), "has no revision 'v1'")):
        assert cli.main(["convert", str(tiny_folder), *arguments]) == cli.USER_ERROR
        assert said in capsys.readouterr().err
    assert not out.exists()


def test_the_command_says_what_it_wrote(tiny_folder, tmp_path, capsys):
    assert cli.main(["convert", str(tiny_folder), f"--out={tmp_path / 'out'}"]) == 0
    said = capsys.readouterr().out
    assert "not compared with transformers: transformers is not installed" in said
    assert f"base digest {base_lib.load_base(tiny_folder).digest[:12]}" in said
