"""Metrics of a study: each point's own, whoever makes it, and nothing of the study hangs on them."""

import io

import event_reader
import numpy as np
import pytest
import rich.console
import row_template

from sah_jax import errors
from sah_jax.programs import online
from sah_jax.studies import event_files, grid, metrics, point, results, runner
from sah_jax.tasks import base as task_lib

LORA = {"rank": 1, "learning_rate": 5e-3, "num_examples": 24, "batch_size": 4, "max_tokens": 96, "epochs": 5}
CONFIG = {
    "models": ("nano",), "dtype": "float32", "tasks": ("nano_math",), "seeds": (0,),
    "families": {
        "baseline": ({},), "icl": ({"num_examples": 40},),
        "lora": (LORA, LORA | {"layers": "7"}, LORA | {"learning_rate": 1e-3, "epochs": 4},
                 LORA | {"learning_rate": 1e38, "bits_per_weight": 16}),
        "online": ({"num_examples": 8, "batch_size": 2, "learning_rate": 3e-3, "max_tokens": 96},)},
    "num_selection": 2, "num_test": 2, "selection": "selection", "check": False,
}


class Killed(BaseException):
    """What nothing on the way catches."""


class Broken:
    """A writer that raises."""

    name = "A writer"

    def __init__(self, what):
        self.calls = []
        setattr(self, what, self._fail)

    def _fail(self, *_):
        raise OSError(28, "No space left\non device")

    def losses(self, *given):
        self.calls.append("losses")

    def final(self, *given):
        self.calls.append("final")

    def failed(self, *given):
        self.calls.append("failed")

    def close(self):
        self.calls.append("close")


RUN = metrics.Run("nano", grid.Point("nano_math", "lora", LORA, 0), "nano.nano_math.lora.0123456789")


@pytest.mark.parametrize("what", ["losses", "final", "failed", "close"])
def test_a_writer_that_breaks_down_is_said_once_and_the_others_go_on(what):
    broken, whole, said = Broken(what), Broken("nothing"), []
    with metrics.Metrics([broken, whole], said.append) as told:
        for _ in range(2):
            told.losses(RUN, 0, np.ones(2, np.float32))
            told.final(RUN, row_template.TEMPLATE)
            told.failed(RUN, "why")
    assert said == ["A writer gets no metrics from here on ([Errno 28] No space left on device); the study "
                    "goes on."]
    assert whole.calls == ["losses", "final", "failed"] * 2 + ["close"]
    # Not called again, not even at the end.
    assert broken.calls == whole.calls[: whole.calls.index(what)]


def test_who_interrupts_a_study_waits_for_nothing():
    for error, calls in ((KeyboardInterrupt, []), (errors.UserError, ["close"])):
        writer = Broken("nothing")
        with pytest.raises(error), metrics.Metrics([writer]):
            raise error
        assert writer.calls == calls


def test_titles_name_what_was_set_and_make_folders(tmp_path):
    assert metrics.Run("nano", grid.Point(
        "gsm8k:train=a/b", "icl+lora", {"icl": {"num_examples": 2}, "lora": {"layers": "0-2 <q/k>"}}, -4),
        "nano#step0.gsm8k-train-a-b.icl+lora.0123456789").title == (
            "nano#step0.gsm8k-train-a-b.icl+lora.icl.num_examples=2,lora.layers=0-2-q-k-.seed-4.0123456789")
    long = {f"the_name_of_number_{number}": "é" * 9 for number in range(40)}
    titles = {metrics.Run("nano", grid.Point("t", "f", long, 0), f"nano.t.f.{number:010}").title
              for number in range(3)}
    for title in titles:
        (tmp_path / title).mkdir()
    assert len(titles) == 3 and all("the_name_of_number_0" in title for title in titles)


def _run(workdir, monkeypatch, told=None, **changes):
    """Makes a study's points without verifying them; returns what it said."""
    monkeypatch.setattr(point, "_scored", lambda *_: (task_lib.Score(0.5, 0.0, (0.0, 1.0)), []))
    out = io.StringIO()
    with pytest.raises(errors.UserError):
        runner.run(grid.parse_config(CONFIG | changes), workdir, rich.console.Console(file=out, width=400),
                   verify=False, metrics=told)
    return out.getvalue()


def _programs(workdir):
    return {path.parent.name: path.read_bytes() for path in sorted(workdir.glob("points/[!.]*/program.sah"))}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a study with metrics, and what TensorBoard shows of its points by their names."""
    workdir, losses = tmp_path_factory.mktemp("study"), []
    with pytest.MonkeyPatch.context() as patch:
        make = online.make_learner
        patch.setattr(online, "make_learner", lambda *given: losses.append(make(*given)) or losses[-1])
        _run(workdir, patch, metrics.Metrics([event_files.EventFiles(workdir / event_files.FOLDER)]))
    shown = event_reader.read(workdir / event_files.FOLDER)
    return workdir, {one.hparams["point"]: one for one in shown.values()}, losses


def test_every_point_is_a_run_of_its_own(made):
    workdir, shown, _ = made
    files = results.read(workdir)
    assert len(files.pending) == 4 and len(files.failed) == 3
    assert shown.keys() == {row.point for row in files.pending} | files.failed.keys()
    for row in files.pending:
        one = shown[row.point]
        assert one.final == {
            name: pytest.approx(getattr(row, name), rel=1e-6) for name in metrics.FINAL}
        assert one.final["bits"] == row.bits and one.hparams["family"] == row.experiment_name
        assert {key: one.hparams[f"setting.{key}"] for key in row.strategy_hparams} == row.strategy_hparams
    for name, (why, _) in files.failed.items():
        assert shown[name].texts["failed"] == why and not shown[name].final


def test_each_lane_has_its_own_curve_as_long_as_its_fit(made):
    workdir, shown, _ = made
    curves = {(one.hparams.get("setting.learning_rate"), one.hparams.get("setting.layers")): one.losses
              for one in shown.values() if one.hparams["family"] == "lora"}
    fast, slow, wrong, mad = (curves[key] for key in ((5e-3, None), (1e-3, None), (5e-3, "7"), (1e38, None)))
    assert list(fast) == list(range(1, 31)) and list(slow) == list(range(1, 25)) and not wrong
    # Of the same examples: the same at first, another afterwards.
    assert fast[1] == slow[1] and fast[20] != slow[20] and fast[30] < fast[1]
    assert np.isnan(mad[20])


def test_losses_of_what_trains_while_it_is_coded_are_told_too(made):
    _, shown, learners = made
    (own,) = (one.losses for one in shown.values() if one.hparams["family"] == "online")
    # The first learner is the writer's.
    assert list(own.values()) == [float(loss) for loss in learners[0].losses] and list(own) == [1, 2, 3, 4]


@pytest.mark.parametrize("broken", [(), ("losses", "final", "failed")])
def test_programs_are_the_same_without_metrics_and_with_broken_ones(made, tmp_path, monkeypatch, broken):
    said = []
    _run(tmp_path, monkeypatch, metrics.Metrics(map(Broken, broken), said.append) if broken else None)
    assert len(said) == len(broken)
    assert _programs(tmp_path) == _programs(made[0]) and len(_programs(tmp_path)) == 4
    assert not (tmp_path / event_files.FOLDER).exists()


@pytest.mark.parametrize("every", [5, 20])
def test_a_killed_fit_goes_on_in_its_curve_and_finished_lanes_are_left_alone(tmp_path, monkeypatch, every):
    """A process is killed when one of two lanes is finished; the next goes on after step 30 or 20 of 30."""
    two = {"families": {"lora": (LORA, LORA | {"learning_rate": 1e-3}), "icl": ({"num_examples": 40},)},
           "checkpoint_every": every}
    finish, calls = point.finish, []

    def killing(*given):
        calls.append(given)
        if len(calls) == 2:
            raise Killed
        return finish(*given)

    told = lambda: metrics.Metrics([event_files.EventFiles(tmp_path / event_files.FOLDER)])
    monkeypatch.setattr(point, "finish", killing)
    with pytest.raises(Killed):
        _run(tmp_path, monkeypatch, told(), **two)
    before = event_reader.read(tmp_path / event_files.FOLDER)
    assert [bool(one.final) for one in before.values()].count(True) == 1
    monkeypatch.setattr(point, "finish", finish)
    _run(tmp_path, monkeypatch, told(), **two)
    after = {one.hparams["point"]: one for one in event_reader.read(tmp_path / event_files.FOLDER).values()
             if one.hparams["family"] == "lora"}
    assert len(after) == 2 and len(results.read(tmp_path).pending) == 2
    for one in after.values():
        assert list(one.losses) == list(range(1, 31)) and one.final["bits"] > 0
    (first,) = (name for name, one in before.items() if one.final)
    assert len(list((tmp_path / event_files.FOLDER / first).iterdir())) == 1
