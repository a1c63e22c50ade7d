"""The paper's tasks in a study: from their data to a row, and from its file to the same score.

Verification in a fresh process knows no task and is tested elsewhere; answers are cut short here.
"""

import dataclasses
import shutil

import points
import pytest
import tiny_model

from sah_jax.models import base as base_lib
from sah_jax.models import hf
from sah_jax.programs import codec
from sah_jax.studies import grid, sidecar
from sah_jax.tasks import evaluate, registry
from sah_jax.tasks.datasets import preparing

BASELINE, ICL = {"baseline": ({},)}, {"icl": ({"num_examples": 1},)}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny random model that takes any text, and long ones."""
    folder = tmp_path_factory.mktemp("models") / "any_text"
    spec = dataclasses.replace(tiny_model.TINY, vocab_size=1536, max_positions=8192)
    hf.save_model(folder, spec, tiny_model.random_params(spec))
    shutil.copy(base_lib.SHIPPED / "nano" / "tokenizer.json", folder)
    return base_lib.load_base(folder)


@pytest.mark.parametrize("name, families, selection", [
    ("gsm8k:train=gsm8k", BASELINE, "selection"),
    ("flores:reference", ICL, "selection"),
    ("esnli:train=validation", BASELINE, "selection"),
    ("ifeval", BASELINE, "test"),
])
def test_a_program_is_made_scored_and_scored_again(
        base, shared_data, tmp_path, monkeypatch, name, families, selection):
    if name == "ifeval":
        pytest.importorskip("lm_eval", reason="IFEval's checkers are the extra `lm_eval`")
    monkeypatch.setenv(preparing.MANUAL_DIR, str(shared_data))
    monkeypatch.setenv(preparing.DATA_DIR, str(tmp_path / "data"))
    monkeypatch.setattr(evaluate, "_BATCH_SIZE", 2)
    task = registry.get_task(name)
    monkeypatch.setattr(type(task), "max_new_tokens", 8)
    config = grid.parse_config({
        "models": (base.source,), "dtype": "float32", "tasks": (name,), "families": families, "seeds": (0,),
        "num_selection": 2, "num_test": 2, "selection": selection, "check": False})
    (one,) = grid.points(config)
    label = one.name(config, base.name, base.digest)
    row = points.make(config, base, one, label, tmp_path / "points" / label)
    assert (row.dataset_name, row.num_scored, row.selection_num_scored) == (task.name, 2, 2)
    data = sidecar.read_program(tmp_path / row.program)
    again = codec.read(data, base, "the file").adapted
    score = evaluate.evaluate(base, again.variables(base), task, "test", 2, again.context)
    assert (score.value, score.stderr) == (row.performance, row.performance_stderr)
    # The prompts that were asked are those of the data.
    assert len(set(task.examples("test", 2))) == 2 and row.bits == 8 * len(data)
