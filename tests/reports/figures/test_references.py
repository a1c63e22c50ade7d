"""Known lengths are what the paper says, and drawn where its figures have them."""

import drawn
import figure_rows
import pytest

from sah_jax.complexity import lineages, reported
from sah_jax.reports import figures
from sah_jax.reports.figures import references
from sah_jax.reports.figures.material import Material

# reference-facts, section 6: raw lengths of what the paper calls the full dataset.
FULL_DATASETS = {
    "smollm3-stage1": (32_805_562, 15_849_805, 32_733_046),
    "olmo3-7b-step1414k": (15_726_590, 17_145_488, 29_631_200),
    "olmo3-32b-step656k": (13_912_406, 11_094_766, 26_365_067),
}
FULL_MODELS = {"smollm3-stage1": 49_201_577_984, "olmo3-7b-step1414k": 116_768_178_176,
               "olmo3-32b-step656k": 515_736_354_816}
FIXED = {"20-parameter model": 640, "Tweet": 2_240, "200-parameter model": 6_400,
         "100 lines of Python": 40_000, "ImageNet image": 1_204_224, "BERT-base": 3_520_000_000,
         "English Wikipedia": 687_194_767_360}


def _material(rows, add_script_bits=True, parameters=None):
    return Material(tuple(rows), lineages.KNOWN, add_script_bits, parameters or {})


def _verticals(figure):
    """Returns the lengths and tops of the vertical lines of the first panel."""
    return {line.get_xdata()[0]: line.get_ydata()[1] for line in drawn.panels(figure)[0].lines
            if len(line.get_xdata()) == 2 and len(set(line.get_xdata())) == 1}


def test_fixed_lengths_are_the_papers():
    assert {one.label: one.bits for one in references.FIXED} == FIXED
    assert len({one.color for one in references.FIXED}) == len(FIXED)


@pytest.mark.parametrize("add_script_bits", [True, False])
def test_full_datasets_and_models_are_the_papers_to_the_bit(shared_data, add_script_bits):
    path = shared_data.parent / "reference" / "final-results-clean.jsonl"
    if not path.is_file():
        pytest.skip("the reference's released results are not here")
    material = _material(reported.read_rows(path), add_script_bits)
    script = 5704 if add_script_bits else 0
    for model, lengths in FULL_DATASETS.items():
        for task, bits in zip(("gsm8k", "flores", "ifeval"), lengths, strict=True):
            assert references.full_dataset(material, model, task).bits == bits + script
        assert references.full_model(material, model).bits == FULL_MODELS[model]
    # Of a checkpoint no run without a limit is released; of as many parameters it is all the same.
    assert references.full_dataset(material, "smollm3", "gsm8k") is None
    assert references.full_model(material, "smollm3").bits == FULL_MODELS["smollm3-stage1"]


def test_our_programs_say_how_many_examples_they_hold_and_are_no_full_dataset():
    own = [figure_rows.row("a", 8000, 0.5, experiment_name="online", strategy_hparams={"num_examples": 8})]
    assert references.full_dataset(_material(own), "nano", "nano_follow") is None
    bounded = figure_rows.reported_rows()
    assert references.full_dataset(_material(bounded), "smollm3-stage1", "gsm8k") is None


def test_a_model_has_a_length_where_its_parameters_are_known():
    rows = figure_rows.study(("nano_follow",))
    assert references.full_model(_material(rows), "nano") is None
    material = _material(rows, parameters={"nano": 10_000})
    assert [references.full_model(material, model).bits for model in figure_rows.STAGES] == [160_000] * 4
    assert 160_000 not in _verticals(figures.draw("pareto_by_method", rows))
    assert 160_000 in _verticals(figures.draw("pareto_by_method", rows, parameters={"nano": 10_000}))


def test_references_reach_the_frontier_and_no_further():
    rows = [figure_rows.row("a", 8, 0.25), figure_rows.row("b", 10**5, 0.5),
            figure_rows.row("c", 10**7, 0.75)]
    assert _verticals(figures.draw("pareto_by_method", rows)) == {40_000: 25.0, 1_204_224: 50.0}
    # Shorter than every program there is nothing to reach.
    assert _verticals(figures.draw("pareto_by_method", rows[1:])) == {1_204_224: 50.0}


def test_all_references_on_the_axis_are_in_their_own_figure():
    rows = [figure_rows.row("a", 1000, 0.25), figure_rows.row("b", 10**7, 0.5)]
    figure = figures.draw("pareto_references", rows)
    [panel] = drawn.panels(figure)
    found = _verticals(figure)
    assert found == dict.fromkeys(
        (640, 2_240, 6_400, 40_000, 1_204_224), pytest.approx(panel.get_ylim()[1]))
    assert [word for word in drawn.words(figure) if word in FIXED] == [
        label for label, bits in FIXED.items() if bits in found]
