"""A map of bit widths shows those of the file in each layer, of one program a task and model."""

import dataclasses
import json
import pathlib
import re
import shutil

import drawn
import figure_rows
import letters
import numpy as np
import pytest

from sah_jax.programs import base as family_lib
from sah_jax.programs import codec, registry
from sah_jax.reports import evidence, figures, report
from sah_jax.studies import grid, point, rebuild, rows, sidecar, verification
from sah_jax.tasks import evaluate

WIDTHS = {"attention/q/a": [2, 2, 4], "attention/q/b": [0, 32, 2]}
OTHER = {"t": [8]}


def _row(point, bits, score, **changes):
    return figure_rows.row(point, bits, score, experiment_name="bayesian_bits", **changes)


def _draw(found, **changes):
    """Draws points with a map each, and rows that have none."""
    return figures.draw("width_map", list(found), **{"widths": dict.fromkeys(
        (row.point for row in found if row.experiment_name == "bayesian_bits"), WIDTHS)} | changes)


def _shown(figure):
    """Returns the points that the panels say they are of."""
    return [panel.texts[0].get_text().split("\n")[0] for panel in drawn.panels(figure)]


def _widths(figure):
    """Returns each panel's widths by tensor, read by the colours of the legend."""
    figure.draw_without_rendering()
    [legend], found = figure.legends, []
    keys = [(patch.get_facecolor(), 0 if text == "All zero" else int(text)) for patch, text in zip(
        legend.get_patches(), [text.get_text() for text in legend.get_texts()][1:], strict=True)]
    for panel in drawn.panels(figure):
        names = [label.get_text() for label in panel.get_yticklabels()]
        colors = panel.collections[0].get_facecolor().reshape(len(names), -1, 4)
        found.append({name: [next(bits for own, bits in keys if np.allclose(own, color)) for color in line]
                      for name, line in zip(names, colors, strict=True)})
    return found


def test_the_colours_are_the_legends_and_the_legend_holds_what_occurs():
    figure = _draw([_row("a", 8, 0.5)])
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Bits a number", "All zero", "2", "4", "32"]
    assert len({patch.get_facecolor() for patch in legend.get_patches()}) == 4
    assert _widths(figure) == [WIDTHS]


def test_wider_is_darker():
    figure = _draw([_row("a", 8, 0.5)], widths={"a": {"t": [0, 2, 4, 8, 16, 32]}})
    colors = [patch.get_facecolor()[:3] for patch in figure.legends[0].get_patches()]
    luminances = np.array(colors) @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(luminances) < -0.05)


def test_the_first_layer_is_left_and_the_first_tensor_on_top():
    [panel] = drawn.panels(_draw([_row("a", 8, 0.5)], widths={"a": {"t": [2] * 40, "u": [4] * 40}}))
    assert panel.yaxis_inverted() and not panel.xaxis_inverted()
    shown = [int(label.get_text()) for label in panel.get_xticklabels()]
    assert shown[0] == 0 and 10 < len(shown) < 30 and shown == sorted(shown)


def test_a_cell_shows_the_best_of_its_frontier_or_else_the_best():
    frontier = [_row("short", 8, 0.25), _row("best of it", 80, 0.5), _row("off it, better", 90, 0.6),
                figure_rows.row("best", 85, 0.75, experiment_name="lora")]
    # Where another family's programs are shorter and as good, none of these is on the frontier.
    beaten = [figure_rows.row("icl", 8, 0.75), _row("worse", 80, 0.25), _row("long", 99, 0.5),
              _row("as good", 90, 0.5), _row("false", 9, 0.9, verified=False)]
    beaten = [dataclasses.replace(row, model_name="other") for row in beaten]
    none = [figure_rows.row("c", 8, 0.5, model_name="third", experiment_name="lora")]
    figure = _draw([*none, *beaten, *frontier])
    assert _shown(figure) == ["as good", "best of it"]
    titles = [panel.get_title(loc="left") for panel in drawn.panels(figure)]
    assert titles == ["other, nano_follow", "nano, nano_follow"]
    assert drawn.panels(figure)[1].texts[0].get_text().split("\n")[1] == "80 bits, test score 0.500 ± 0.010"


def test_maps_of_many_sizes_are_drawn_in_cells_of_one_size():
    found = [_row(f"{model} {task}", 8, 0.5, model_name=model, dataset_name=task)
             for task in ("nano_follow", "nano_math") for model in ("a", "b", "c")]
    maps = {row.point: OTHER if row.model_name == "b" else WIDTHS for row in found}
    maps["a nano_follow"] = {f"tensor {number}": [2, 4, 8] for number in range(9)}
    figure = _draw(found, widths=maps)
    order = [row.point for row in sorted(found, key=lambda row: row.dataset_name != "nano_math")]
    assert _shown(figure) == order and _widths(figure) == [maps[point] for point in order]
    # In pixels, though some maps have a line alone.
    sizes = {tuple(np.round(panel.transData.transform((1, 1)) - panel.transData.transform((0, 0))))
             for panel in drawn.panels(figure)}
    assert len(sizes) == 1


def test_too_many_are_left_out_and_it_is_said():
    some = [_row(f"p{number}", 8, 0.5, model_name=f"m{number}") for number in range(15)]
    assert _shown(_draw(some)) == [f"p{number}" for number in range(12)]
    said = "3 more of such programs, of other tasks and models, are left out."
    assert _draw(some).get_supxlabel() == said and not _draw(some[:12]).get_supxlabel()


def test_names_stand_over_their_own_map():
    some = [_row(f"nano.{'long ' * 9}bayesian_bits.{number}123456789", 8, 0.5, model_name=f"m{number}")
            for number in range(3)]
    figure = _draw(some)
    figure.draw_without_rendering()
    boxes = [panel.texts[0].get_window_extent() for panel in drawn.panels(figure)]
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))
    assert boxes[-1].x1 < figure.legends[0].get_window_extent().x0
    for panel, box in zip(drawn.panels(figure), boxes, strict=True):
        assert panel.get_window_extent().y1 < box.y0 and box.y1 < panel._left_title.get_window_extent().y0


@pytest.mark.parametrize("changes", [{"verified": False}, {"experiment_name": "lora"}])
def test_without_a_verified_program_of_such_there_is_nothing(changes):
    with pytest.raises(figures.NothingToDraw, match="Got no verified program whose sidecar says bit widths"):
        _draw([dataclasses.replace(_row("a", 8, 0.5), **changes)])
    with pytest.raises(figures.NothingToDraw):
        _draw([_row("a", 8, 0.5)], widths={"a": {}, "other": WIDTHS})


@pytest.fixture(scope="module")
def study(tiny_base, tmp_path_factory):
    """A study of one real fit with made up scores; its folder, and the fitted tensors."""
    setting = {"rank": 2, "num_examples": 48, "batch_size": 4, "max_tokens": 24, "gate_rate": 0.8}
    config = grid.parse_config({
        "models": (tiny_base.source,), "dtype": "float32", "tasks": ("nano_follow",), "seeds": (0,),
        "families": {"bayesian_bits": (setting,)}, "num_selection": 2, "num_test": 2,
        "selection": "selection", "check": False})
    family, [one] = registry.get_family("bayesian_bits"), grid.points(config)
    theta = family.fit(
        family_lib.parse_setting(family, setting), tiny_base, letters.Letters(), 0, codec.silent)
    workdir = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        _answer(patch)
        row = point.finish(
            config, tiny_base, one, "own", workdir / "points" / "own", point.Fitted(theta, 0.0), codec.silent)
    rows.write_rows(workdir / rows.RESULTS_NAME, [dataclasses.replace(row, verified=True)])
    return workdir, theta.tensors


def _answer(patch):
    patch.setattr(evaluate, "answered", lambda *given: ["x"] * given[4])


def test_a_report_draws_what_the_file_says(study, tiny_base):
    workdir, tensors = study
    page = report.write_report(workdir, names=["width_map", "pareto_references"]).html.read_text()
    pool = evidence.read([workdir / rows.RESULTS_NAME])
    [shown] = _widths(figures.draw("width_map", pool.rows, widths=pool.widths))
    read = codec.read((workdir / pool.rows[0].program).read_bytes(), tiny_base).adapted.widths
    assert shown == {name: list(own) for name, own in read.items()}
    assert shown == {name: own.widths.tolist() for name, own in tensors.items()}
    # Of several widths, so that this says something.
    assert len({bits for own in shown.values() for bits in own}) > 1 and len(shown) == 21
    # The page has the map as an image, and not the numbers.
    assert (workdir / "report" / "width_map.png").is_file() and ">width_map<" in page
    assert "ffn/up/e" in page and not re.search(r"ffn/up/e[^a-z]*: *\[", page)
    # Of the base the sidecar says how large it is.
    assert pool.parameters == {tiny_base.name: tiny_base.spec.num_params}
    assert "Full model" in drawn.words(figures.draw(
        "pareto_references", pool.rows, parameters=pool.parameters))


def test_a_sidecar_that_lies_about_widths_is_found_out(study, tiny_base, monkeypatch):
    program = study[0] / "points" / "own" / sidecar.PROGRAM_NAME
    _answer(monkeypatch)
    record = sidecar.read(program)
    told = rebuild.rebuild(tiny_base, program.read_bytes(), "nano_follow", {"selection": 2, "test": 2})
    got = json.loads(json.dumps(told))
    assert verification._difference(got, record) == ""
    record["widths"]["ffn/up/e"][2] = 32 if record["widths"]["ffn/up/e"][2] < 32 else 2
    assert verification._difference(got, record).startswith("the bit widths of ffn/up/e were [")
    record = sidecar.read(program)
    record["base"]["num_params"] += 1
    assert verification._difference(got, record).startswith("num_params was ")


def test_a_study_of_an_older_version_is_reported_without_a_map(study, tmp_path):
    workdir = shutil.copytree(study[0], tmp_path / "older")
    for path in workdir.glob(f"points/*/{sidecar.path_for(pathlib.Path(sidecar.PROGRAM_NAME))}"):
        record = json.loads(path.read_text())
        del record["widths"], record["base"]["num_params"]
        path.write_text(json.dumps(record))
    report.write_report(workdir, names=["frontier", "width_map"])
    assert (workdir / "report" / "frontier.png").is_file()
    assert not (workdir / "report" / "width_map.png").exists()
    assert not evidence.read([workdir / rows.RESULTS_NAME]).parameters
