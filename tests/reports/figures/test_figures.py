"""Every figure is drawn by name, of any rows, to the same bytes, or says in a sentence what it lacks."""

import dataclasses
import os
import subprocess
import sys
import warnings

import drawn
import figure_rows
import pytest

from sah_jax.complexity import lineages
from sah_jax.reports import figures

HOSTILE = "$\\frac{{{}$"
TASK = ("nano_follow",)


def _draw(name, rows, **given):
    return figures.draw(name, rows, widths=figure_rows.widths(rows), **given)


@pytest.mark.parametrize("name", figures.NAMES)
def test_a_figure_is_drawn_of_our_rows_and_of_both(name):
    for rows in (figure_rows.study(TASK), [*figure_rows.study(TASK), *figure_rows.reported_rows()]):
        figure = _draw(name, rows)
        assert drawn.panels(figure) and figure.legends
        assert all(
            panel.lines or panel.patches or panel.collections for panel in drawn.panels(figure))


def _draw_named(name, pattern):
    """Draws a figure of rows all of whose names follow a pattern."""
    rows = [dataclasses.replace(
        row, dataset_name=pattern.format(row.dataset_name), model_name=pattern.format(row.model_name),
        point=pattern.format(row.point),
        experiment_name=pattern.format("x") if row.experiment_name == "icl" else row.experiment_name)
        for row in figure_rows.study(TASK)]
    stages = [pattern.format(stage) for stage in figure_rows.STAGES]
    known = [lineages.Lineage(pattern.format("nano"), stages[0], stages[2], stages[3], (stages[1],))]
    widths = {point: {pattern.format(tensor): own for tensor, own in found.items()}
              for point, found in figure_rows.widths(rows).items()}
    return figures.draw(name, rows, known=known, widths=widths)


@pytest.mark.parametrize("name", figures.NAMES)
def test_names_are_never_read_as_markup(name):
    figure = _draw_named(name, HOSTILE)
    figure.draw_without_rendering()
    assert any("\\frac" in text for text in drawn.words(figure))


@pytest.mark.parametrize("name", figures.NAMES)
def test_what_fonts_cannot_write_is_written_out(name, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = _draw_named(name, "_\x1b{}\n中\ud83c🍐\ue000")
        figures.save(figure, tmp_path / name, dpi=20)
    words = drawn.words(figure)
    assert any("_‹U+001B›" in word and "‹U+000A›" in word for word in words)
    assert not {"\x1b", "中", "\ud83c", "🍐", "\ue000"} & set("".join(words))


def test_the_same_rows_give_the_same_bytes_in_any_process(tmp_path):
    code = ("import pathlib, drawn, figure_rows\n"
            f"print(drawn.digests(pathlib.Path(), figure_rows.study({TASK})))")
    # Sets of names come in another order there.
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                           cwd=tmp_path, env=environment)
    here = drawn.digests(tmp_path, figure_rows.study(TASK))
    assert there.stdout.strip() == str(here)
    assert list(here) == list(figures.NAMES)


def test_a_figure_is_saved_without_dates_in_each_format(tmp_path):
    figure = figures.draw("frontier", figure_rows.study(TASK, ("nano",)))
    first = figures.save(figure, tmp_path / "v1.first", dpi=30)
    second = figures.save(figure, tmp_path / "second", dpi=30)
    assert [path.name for path in first] == ["v1.first.png", "v1.first.pdf", "v1.first.svg"]
    for one, other, magic in zip(first, second, (b"\x89PNG", b"%PDF", b"<?xml"), strict=True):
        assert one.read_bytes() == other.read_bytes() and one.read_bytes().startswith(magic)
        # Two dates within one second would be equal too.
        assert b"CreationDate" not in one.read_bytes() and b"<dc:date>" not in one.read_bytes()
    with pytest.raises(ValueError, match="got 'jpg', expected some of png, pdf, svg"):
        figures.save(figure, tmp_path / "third", ("jpg",))


def _lora(name):
    return "lm_head" if name == "lm_head" else "lora"


@pytest.mark.parametrize("name", figures.NAMES)
def test_an_unverified_row_is_hollow_and_on_no_staircase(name):
    false = figure_rows.row(
        "false", 10**6, 0.93, model_name="nano", experiment_name=_lora(name), verified=False,
        performance_stderr=0.0)
    figure = _draw(name, [*figure_rows.study(TASK), false])
    hollow = [y for _, (_, y), fill in drawn.points(figure) if fill == "none"]
    shows_points = name in ("frontier", "pareto_by_method", "pareto_by_method_all", "unified", "lm_head")
    assert hollow == ([0.93 if name == "frontier" else 93.0] if shows_points else [])
    assert ("Not verified" in drawn.words(figure)) == shows_points
    heights = {round(y, 6) for panel in drawn.panels(figure) for line in panel.lines
               if line.get_marker() in ("None", None, "") for y in line.get_ydata()}
    assert heights.isdisjoint({0.93, 93.0})


def test_reported_rows_are_told_apart_only_where_there_are_rows_of_ours():
    reported = figure_rows.reported_rows()
    alone = figures.draw("pareto_by_method_all", reported)
    assert "Reported, no file" not in drawn.words(alone)
    for name in ("frontier", "pareto_by_view", "pareto_by_method", "pareto_by_method_all", "unified"):
        assert "Reported, no file" in drawn.words(figures.draw(name, [*figure_rows.study(TASK), *reported]))

    def sizes(figure):
        return {line.get_markersize() for line in drawn.panels(figure)[0].lines if line.get_marker() == "s"}

    both = figures.draw("pareto_by_method_all", [*figure_rows.study(TASK), *reported])
    assert max(sizes(both)) < max(sizes(alone))


def test_what_cannot_be_drawn_is_said():
    rows = [row for row in figure_rows.study(models=("nano",)) if row.experiment_name in ("icl", "lora")]
    found, missing = figures.draw_all(rows)
    assert list(found) == [name for name in figures.NAMES if name not in missing]
    assert set(missing) == {"task_complexity", "checkpoint_curves", "checkpoint_differences",
                            "reduction_bars", "unified", "lm_head", "width_map"}
    for sentence in missing.values():
        assert sentence.startswith("Got no ") and ", expected " in sentence and sentence.endswith(".")
    assert "lm_head" in missing["lm_head"] and "lineage" in missing["task_complexity"]


@pytest.mark.parametrize("name", figures.NAMES)
def test_of_no_rows_nothing_is_drawn(name):
    with pytest.raises(figures.NothingToDraw, match="Got no rows, expected"):
        figures.draw(name, [])


def test_where_nothing_is_verified_only_points_are_drawn():
    rows = [dataclasses.replace(row, verified=False) for row in figure_rows.study(TASK)]
    found, missing = figures.draw_all(rows, widths=figure_rows.widths(rows))
    assert set(found) == {"frontier", "pareto_by_method", "pareto_by_method_all", "unified", "lm_head"}
    assert all(not drawn.stairs(panel) for figure in found.values() for panel in drawn.panels(figure))
    assert all("verified" in sentence for sentence in missing.values())


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ValueError, match="got 'nothing', expected one of frontier, "):
        figures.draw("nothing", figure_rows.study())
