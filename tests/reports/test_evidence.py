"""The rows of a report: of studies with their files, of other systems without, and none twice."""

import dataclasses
import json

import pytest
from study_folder import write_point

from sah_jax import cli, errors
from sah_jax.reports import evidence, figures, report
from sah_jax.studies import rows as rows_lib

RELEASED = {
    "experiment_name": "online_coding", "dataset_name": "arithmetic", "model_name": "nano",
    "performance": 0.9, "bits": 40, "seed": 1, "strategy_hparams": {"lr": 1e-4}}


@pytest.fixture
def make(tmp_path):
    """Makes a study of points of so many bytes; returns its file of rows."""
    def make(name, **sizes):
        rows = [write_point(tmp_path / name, point, size) for point, size in sizes.items()]
        rows_lib.write_rows(tmp_path / name / rows_lib.RESULTS_NAME, rows)
        return tmp_path / name / rows_lib.RESULTS_NAME

    return make


@pytest.fixture
def released(tmp_path):
    path = tmp_path / "released.jsonl"
    path.write_text(f"{json.dumps(RELEASED)}\n" * 2)
    return path


def test_studies_and_released_rows_are_pooled(make, released):
    pool = evidence.read([make("one", a=10, b=20), released, make("two", b=20, c=30)])
    # A point that two studies share is one point.
    assert [row.point for row in pool.rows] == ["a", "b", "c", "released.jsonl:1", "released.jsonl:2"]
    assert [row.reported for row in pool.rows] == [False] * 3 + [True] * 2


def test_a_point_of_two_minds_is_refused(make):
    first, second = make("one", a=10), make("two", a=20)
    said = "two/results.jsonl: has another row of point 'a' .*bits is 80 there and 160 here"
    with pytest.raises(errors.UserError, match=said):
        evidence.read([first, second])


def test_a_pooled_study_needs_its_files(make, tmp_path):
    path = make("one", a=10)
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / path.name)
    with pytest.raises(errors.UserError, match="program.sah: got No such file"):
        evidence.read([moved])


def test_responses_are_those_that_were_scored(make):
    path = make("one", a=10)
    (path.parent / "points" / "a" / "predictions.jsonl").write_text('{"index": 0, "response": "x"}\n')
    with pytest.raises(errors.UserError, match="predictions.jsonl: is not what program.sah predicted"):
        evidence.read([path])


def test_what_is_neither_is_named(tmp_path):
    path = tmp_path / "other.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(errors.UserError, match="other.jsonl, line 1: got the key 'a'"):
        evidence.read([path])
    with pytest.raises(errors.UserError, match="No such file"):
        evidence.read([tmp_path / "none.jsonl"])


def test_a_report_pools_and_stands_alone(make, released, tmp_path, capsys):
    workdir = make("one", a=10, b=20).parent
    assert cli.main(["report", str(workdir), f"--add={released}", "--figures=frontier"]) == 0
    out = capsys.readouterr().out
    # Reported rows reach scores, and are not listed one by one.
    assert "0.900 (100%)" in out and "released.jsonl" not in out
    frontiers = json.loads((workdir / "report" / "frontier.json").read_text())
    (one,) = [one for one in frontiers if one["methods"] == "main"]
    assert [(point["row"], point["bits"]) for point in one["points"]] == [
        ("a", 80 + 3704), ("released.jsonl:1", 40 + 5704)]
    folder = tmp_path / "alone"
    assert cli.main(["report", f"--add={released}", f"--out={folder}", "--noscript_bits",
                     "--figures=frontier,pareto_by_view,lm_head"]) == 0
    (main, _) = json.loads((folder / "frontier.json").read_text())
    assert [point["bits"] for point in main["points"]] == [40]
    # What the rows have nothing for is left out, and what an earlier report drew is gone.
    assert (folder / "pareto_by_view.svg").is_file() and not (folder / "lm_head.svg").exists()
    assert cli.main(["report", f"--add={released}", f"--out={folder}", "--figures=frontier"]) == 0
    assert not (folder / "pareto_by_view.svg").exists()


def test_models_of_two_sources_are_one_by_name(make, released, capsys):
    path = make("one", a=10)
    names = lambda **options: [row.model_name for row in evidence.read([path, released], **options).rows]
    assert names() == ["nano"] * 3
    assert names(renamed={"nano": "paper's"}) == ["paper's"] * 3
    assert cli.main(["report", str(path.parent), "--figures=frontier", "--rename=nano=other"]) == 0
    (one, _) = json.loads((path.parent / "report" / "frontier.json").read_text())
    assert one["model"] == "other"


def _say_parameters(path, **counts):
    """Has the sidecars of points say how many parameters their base has."""
    for point, count in counts.items():
        sidecar = path.parent / "points" / point / "program.json"
        record = json.loads(sidecar.read_text())
        record["base"]["num_params"] = count
        sidecar.write_text(json.dumps(record))
    return path


def test_parameters_are_known_where_sidecars_say_them_and_agree(make, released):
    path = make("one", a=10, b=20, c=30)
    assert evidence.read([path, released]).parameters == {}
    _say_parameters(path, a=900)
    assert evidence.read([path, released]).parameters == {"nano": 900}
    assert evidence.read([path], {"nano": "other"}).parameters == {"other": 900}
    _say_parameters(path, b=900)
    assert evidence.read([path]).parameters == {"nano": 900}
    # Two models of one name.
    _say_parameters(path, c=901)
    assert evidence.read([path]).parameters == {}


def test_a_reports_figures_have_the_length_of_the_model(make, monkeypatch):
    path, given = _say_parameters(make("one", a=10), a=900), []
    draw = figures.draw
    monkeypatch.setattr(figures, "draw", lambda *one, **how: given.append(draw(*one, **how)) or given[-1])
    report.write_report(path.parent, names=["pareto_references"])
    assert 16 * 900 in {line.get_xdata()[0] for line in given[0].axes[0].lines}


def test_reported_rows_are_counted_once(make, released, tmp_path):
    copy = tmp_path / "copy.jsonl"
    copy.write_text(released.read_text())
    study = make("one", a=10)
    for again in (released, copy):
        with pytest.raises(errors.UserError, match=f"^{again}: has the same rows as a file before it"):
            evidence.read([released, study, again])
    copy.write_text(released.read_text().splitlines()[0])
    assert len(evidence.read([released, copy]).rows) == 3


@pytest.mark.parametrize("flag, said", [
    ("--rename=nono=other", "Got no row of the model 'nono' to be renamed, expected one of nano;"),
    ("--lineage=L:-,nano,nono", "Got no row of the model 'nono' of a lineage, expected one of nano;")])
def test_a_model_that_no_row_has_is_named(make, capsys, flag, said):
    folder = make("one", a=10).parent
    assert cli.main(["report", str(folder), "--figures=frontier", flag]) == 2
    assert said in capsys.readouterr().err and not (folder / "report").exists()
    # A lineage of the package need not be here, nor each stage of one.
    assert cli.main(["report", str(folder), "--figures=frontier", "--lineage=L:-,nano,mine",
                     "--rename=nano=mine"]) == 2
    assert "'nano' of a lineage, expected one of mine" in capsys.readouterr().err


def test_why_a_figure_that_was_asked_for_is_missing_is_said(make, capsys):
    folder, said = make("one", a=10).parent, "lm_head is not drawn: Got no row of lm_head, expected one;"
    assert cli.main(["report", str(folder), "--figures=lm_head"]) == 0
    assert said in capsys.readouterr().out
    # Of all figures no study has all.
    assert cli.main(["report", str(folder)]) == 0
    assert "is not drawn" not in capsys.readouterr().out


def test_a_report_tells_what_it_makes(make):
    told = []
    report.write_report(make("one", a=10).parent, names=["frontier", "lm_head"], tell=told.append)
    assert told == ["reading rows and programs", "drawing frontier, figure 1 of 2",
                    "drawing lm_head, figure 2 of 2", "writing tables and the page"]


@pytest.mark.parametrize("arguments, said", [
    (["--figures=frontier"], "WORKDIR or --add is needed"),
    (["--add=x.jsonl"], "got no folder to write to"),
    (["--add=x.jsonl", "--figures=none"], "--figures has 'none', expected all or some of frontier"),
    (["--add=x.jsonl", "--lineage=a:b"], "expected NAME:RANDOM,PRETRAINED,POSTTRAINED"),
    (["--add=x.jsonl", "--rename=a"], "--rename is 'a', expected OLD=NEW"),
    (["a", "b"], "expected [WORKDIR]")])
def test_a_wrong_order_is_named(capsys, arguments, said):
    assert cli.main(["report", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_point_that_was_made_twice_is_one_and_what_else_differs_is_named(make):
    first, second = make("one", a=10), make("two", a=10)
    (row,) = rows_lib.read_rows(second)
    # A search makes the points of its study again: the same, in another time.
    rows_lib.write_rows(second, [dataclasses.replace(row, wall_time_s=row.wall_time_s + 1.0)])
    pool = evidence.read([first, second])
    assert [one.wall_time_s for one in pool.rows] == [row.wall_time_s]
    rows_lib.write_rows(second, [dataclasses.replace(row, train_flops=7)])
    with pytest.raises(errors.UserError, match="another row .* \\(train_flops is 0 there and 7 here\\)"):
        evidence.read([first, second])
