"""What is drawn is what the frontier says, within its panel, in the units and colours of the paper."""

import dataclasses

import drawn
import figure_rows
import pytest
import row_template

from sah_jax.complexity import derived, frontier
from sah_jax.reports import figures, style

TASK = "nano_follow"


def _expected(rows, model, add_script_bits, factor=100.0):
    front = frontier.pareto([row for row in rows if row.model_name == model], add_script_bits=add_script_bits)
    xs, ys = frontier.staircase(front, add_script_bits=add_script_bits)
    return tuple(zip(xs, (factor * y for y in ys), strict=True))


def _corners(stairs):
    # Between two corners of a staircase matplotlib needs no more.
    return tuple((x, pytest.approx(y)) for x, y in stairs)


@pytest.mark.parametrize("add_script_bits", [True, False])
@pytest.mark.parametrize("name", [
    "pareto_by_method", "pareto_by_method_all", "pareto_references", "task_complexity", "checkpoint_curves",
    "unified", "lm_head", "frontier"])
def test_a_staircase_is_the_frontiers(name, add_script_bits):
    rows = figure_rows.study((TASK,))
    figure = figures.draw(name, rows, add_script_bits=add_script_bits)
    used = derived.main_methods(rows) if name.startswith("pareto") else rows
    models = [model for model in figure_rows.STAGES if name != "task_complexity" or model != "nano-step200"]
    factor = 1.0 if name == "frontier" else 100.0
    expected = [_corners(_expected(used, model, add_script_bits, factor)) for model in models]
    found = [stairs for panel in drawn.panels(figure) for stairs in drawn.stairs(panel)]
    if name == "frontier":
        # In a panel stand the frontiers of the others; its own is in the colours of the views.
        assert len(found) == len(models) * (len(models) - 1)
        assert all(stairs in expected for stairs in found)
    else:
        assert len(found) == len(expected)
        assert all(any(stairs == other for stairs in found) for other in expected)


@pytest.mark.parametrize("name", ["pareto_by_view", "frontier"])
def test_steps_take_the_colour_of_the_view_that_reached_them(name):
    rows = [figure_rows.row("a", 8, 0.125), figure_rows.row("b", 80, 0.5, experiment_name="lora"),
            figure_rows.row("c", 800, 0.75, experiment_name="online")]
    [panel] = drawn.panels(figures.draw(name, rows))
    factor = 1 if name == "frontier" else 100
    steps = {tuple(line.get_ydata()): (line.get_color(), *line.get_xdata()[:2]) for line in panel.lines
             if len(line.get_ydata()) == 3}
    scaled = {tuple(factor * y for y in (0.125, 0.125, 0.125)): ("#D81B60", 8, 8),
              tuple(factor * y for y in (0.125, 0.5, 0.5)): ("#FFC107", 80, 80),
              tuple(factor * y for y in (0.5, 0.75, 0.75)): ("#1E88E5", 800, 800)}
    assert steps == scaled


def test_methods_have_the_papers_markers():
    rows = [figure_rows.row(family, 10 * 4**place, 0.1 + 0.1 * place, experiment_name=family)
            for place, family in enumerate(("baseline", "icl", "urial", "online", "bayesian_bits", "lora"))]
    [panel] = drawn.panels(figures.draw("pareto_by_method", rows))
    markers = {(line.get_marker(), line.get_markerfacecolor()) for line in panel.lines
               if line.get_marker() not in ("None", "")}
    assert markers == {("o", "#004D40"), ("s", "#D81B60"), ("^", "#5E35B1"), ("v", "#1E88E5"),
                       ("D", "#FFC107"), ("P", "#FF8A65")}


def test_reported_ties_are_points_of_the_papers_frontier_but_not_steps():
    theirs = dataclasses.replace(figure_rows.reported_rows()[0], performance=0.5, script_bits=0)
    ours = figure_rows.row("short", 8, 0.5, model_name=theirs.model_name, dataset_name=theirs.dataset_name)
    rows = [ours, *(dataclasses.replace(theirs, bits=bits, performance=score, point=f"r:{bits}")
                    for bits, score in ((80, 0.5), (90, 0.4)))]
    for pool, shortest in ((rows, 8), (rows[1:], 80)):
        figure = figures.draw("pareto_by_method", pool)
        assert sorted(place for _, place, _ in drawn.points(figure)) == [
            (row.bits, 50.0) for row in pool if row.performance == 0.5]
        assert drawn.stairs(drawn.panels(figure)[0]) == [((shortest, 50.0),)]
    # Of ours a longer program that selects no higher is on no frontier.
    rows = [ours, dataclasses.replace(ours, point="long", bits=70), *rows[1:]]
    figure = figures.draw("pareto_by_method", rows)
    assert sorted(place for _, place, _ in drawn.points(figure)) == [(8, 50.0), (80, 50.0)]


@pytest.mark.parametrize(("task", "score", "drawn_score", "label"), [
    ("gsm8k", 0.5, 50.0, "GSM8K (Math)\nAccuracy (%)"), ("flores", 0.5, 0.5, "FLORES (Translation)\nBLEU"),
    ("ifeval", 0.5, 50.0, "IFEval (Instruction)\nScore (%)"),
    ("nano_translate", 0.5, 0.5, "nano_translate\nBLEU"),
    ("gsm8k:train=gsm8k", 0.5, 50.0, "GSM8K (Math), train=gsm8k\nAccuracy (%)"),
    ("a task", 0.5, 50.0, "a task\nScore (%)"), ("a task", 50.0, 50.0, "a task\nScore")])
def test_scores_are_in_the_papers_units(task, score, drawn_score, label):
    rows = [figure_rows.row("a", 80, score, dataset_name=task, performance_stderr=0.0)]
    figure = figures.draw("pareto_by_method", rows)
    assert [y for _, (_, y), _ in drawn.points(figure)] == [drawn_score]
    assert drawn.panels(figure)[0].get_ylabel() == label


def test_panels_are_in_the_papers_order_and_of_its_main_models():
    rows = [figure_rows.row(f"{model}.{task}", 80, 0.5, model_name=model, dataset_name=task)
            for task in ("mine", "ifeval", "gsm8k", "flores")
            for model in ("mine", "olmo3-7b-instruct-step400", "olmo3-32b-step656k", "olmo3-7b-step1414k",
                          "smollm3", "smollm3-stage1")]
    panels = drawn.panels(figures.draw("pareto_by_view", rows))
    titles = [panel.get_title(loc="left") for panel in panels]
    assert titles == ["SmolLM3", "Olmo3 7B", "Olmo3 32B", "mine", *[""] * 12]
    assert [panel.get_ylabel().partition(" ")[0] for panel in panels[::4]] == [
        "GSM8K", "FLORES", "IFEval", "mine\nScore"]
    # Without its main model a lineage is shown by what there is.
    rows = [row for row in rows if row.model_name in ("smollm3", "mine")]
    panels = drawn.panels(figures.draw("pareto_by_view", rows))
    assert [panel.get_title(loc="left") for panel in panels[:2]] == ["mine", "smollm3"]


@pytest.mark.parametrize("name", ["frontier", "pareto_by_method_all"])
@pytest.mark.parametrize("changes", [
    # Nothing learned yet; an empty program; a scale of 0 to 100; scores below 0; none verified.
    [dict(performance=0.0, selection_performance=0.0, performance_stderr=0.0, bits=8)],
    [dict(bits=0, script_bits=0), dict(bits=10**9)],
    [dict(bits=8, performance=38.7, performance_stderr=1.0), dict(bits=16, performance=-20.0)],
    [dict(bits=8, performance=-5.0), dict(bits=16, performance=-20.0)],
    [dict(bits=8, verified=False)],
    [dict(bits=8, model_name=f"m{index}", dataset_name=f"t{index % 2}") for index in range(6)]],
    ids=["zero", "empty program", "bleu", "negative", "unverified", "many models"])
def test_every_point_of_any_study_is_within_its_panel(name, changes):
    rows = [dataclasses.replace(row_template.TEMPLATE, **{"point": str(index), "performance": 0.5, **change})
            for index, change in enumerate(changes)]
    figure = figures.draw(name, rows)
    figure.draw_without_rendering()
    points = list(drawn.points(figure))
    assert len(points) == len(rows)
    for panel, position, _ in points:
        x, y = panel.transAxes.inverted().transform(panel.transData.transform(position))
        assert 0 <= x <= 1 and 0 <= y <= 1


def test_where_nothing_is_solved_the_axis_still_has_a_scale():
    row = figure_rows.row("a", 8, 0.0, performance_stderr=0.0)
    [panel] = drawn.panels(figures.draw("frontier", [row]))
    bottom, top = panel.get_ylim()
    assert bottom < 0 and top > 1


def test_a_study_that_lacks_a_cell_shows_it_and_one_of_two_sources_does_not():
    rows = [row for row in figure_rows.study() if (row.model_name, row.dataset_name) != ("nano", TASK)]
    figure = figures.draw("frontier", [*rows, *figure_rows.reported_rows()])
    assert drawn.words(figure).count("no points") == 1
    assert len(drawn.panels(figure)) == 4 * 2 + 3


def test_labels_at_the_ends_of_curves_are_apart():
    rows = [figure_rows.row(model, 80, score, model_name=model)
            for model, score in (("nano-step0", 0.7), ("nano", 0.705), ("nano-chat", 0.71))]
    figure = figures.draw("task_complexity", rows)
    figure.draw_without_rendering()
    [panel] = drawn.panels(figure)
    boxes = sorted((text.get_window_extent() for text in panel.texts), key=lambda box: box.y0)
    assert [text.get_text() for text in panel.texts] == ["70.0", "70.5", "71.0"]
    assert all(low.y1 <= high.y0 + 1 for low, high in zip(boxes, boxes[1:], strict=False))
    assert boxes[-1].y1 <= figure.bbox.y1


def test_stages_and_checkpoints_have_the_papers_colours():
    rows = figure_rows.study((TASK,))
    [panel] = drawn.panels(figures.draw("task_complexity", rows))
    assert [line.get_color() for line in panel.lines if line.get_drawstyle() == "steps-post"] == [
        "#888888", "#D81B60", "#1E88E5"]
    [panel] = drawn.panels(figures.draw("checkpoint_curves", rows))
    reds = [line.get_color() for line in panel.lines]
    assert [color[0] > color[2] for color in reds] == [True, True, True, False]


def test_families_without_a_style_are_views_other():
    rows = [figure_rows.row("a", 8, 0.5, experiment_name="new")]
    [panel] = drawn.panels(figures.draw("pareto_by_view", rows))
    assert {line.get_color() for line in panel.lines} == {style.VIEW_COLORS[style.OTHER]}
