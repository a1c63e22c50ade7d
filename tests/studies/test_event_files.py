"""Event files: what TensorBoard reads of runs that went on, were killed, or began again."""

import os
import pathlib
import subprocess
import sys

import event_reader
import numpy as np
import pytest
from tensorboard.plugins.hparams import api_pb2

from sah_jax.studies import event_files, grid, metrics

ROOT = pathlib.Path(__file__).parents[2]
SETTING = {"rank": 1, "learning_rate": 0.005, "modules": "q|k", "icl": {"num_examples": 2}}
RUN = metrics.Run("nano", grid.Point("nano_math", "lora", SETTING, 3), "nano.nano_math.lora.0123456789")


def _losses(*values):
    return np.array(values, np.float32)


def _shown(folder) -> event_reader.Shown:
    (shown,) = event_reader.read(folder).values()
    return shown


def test_a_run_is_shown_with_what_was_set_and_what_came_out(tmp_path):
    files = event_files.EventFiles(tmp_path / "a" / "metrics")
    files.losses(RUN, 0, _losses(3, 2))
    # At once, while the fit goes on.
    shown = _shown(tmp_path / "a" / "metrics")
    assert shown.losses == {1: 3.0, 2: 2.0} and not shown.final and shown.status is None
    files.losses(RUN, 2, _losses(1, np.nan))
    files.final(RUN, {"bits": 4096, "train_flops": 10**15})
    shown = _shown(tmp_path / "a" / "metrics")
    assert list(shown.losses) == [1, 2, 3, 4] and shown.losses[3] == 1.0 and np.isnan(shown.losses[4])
    assert shown.final == {"bits": 4096.0, "train_flops": pytest.approx(1e15)}
    assert shown.hparams == {
        "model": "nano", "task": "nano_math", "family": "lora", "seed": 3, "point": RUN.name,
        "setting.rank": 1, "setting.learning_rate": 0.005, "setting.modules": "q|k",
        "setting.icl.num_examples": 2}
    assert "| setting.learning_rate | 0.005 |\n" in shown.texts["setting"]
    assert "| setting.modules | q\\|k |\n" in shown.texts["setting"]
    assert shown.status == api_pb2.STATUS_SUCCESS
    assert not list(tmp_path.glob("a/metrics/*/*.tmp")) and len(list(tmp_path.glob("a/metrics/*/*"))) == 1


def test_a_point_without_a_fit_and_one_that_failed_are_shown(tmp_path):
    event_files.EventFiles(tmp_path / "made").final(RUN, {"bits": 8})
    assert _shown(tmp_path / "made").final == {"bits": 8}
    event_files.EventFiles(tmp_path / "failed").failed(RUN, "the loss is nan.")
    shown = _shown(tmp_path / "failed")
    assert shown.texts["failed"] == "the loss is nan." and shown.status == api_pb2.STATUS_FAILURE


def _kill(folder, cut=0):
    """Leaves what a killed process leaves: some losses, and perhaps a part of what it was adding."""
    files = event_files.EventFiles(folder)
    files.losses(RUN, 0, _losses(*range(100, 120)))
    files.losses(RUN, 20, _losses(*range(120, 140)))
    (path,) = folder.glob("*/*")
    if cut:
        path.write_bytes(path.read_bytes()[:-cut])
    return path


@pytest.mark.parametrize("cut", [0, 1, 17, 33])
@pytest.mark.parametrize("clock", [0, -3600])
def test_a_fit_that_goes_on_from_a_checkpoint_goes_on_in_its_curve(tmp_path, cut, clock, monkeypatch):
    _kill(tmp_path, cut)
    now = event_files.time.time_ns
    # On another host, whose clock is late.
    monkeypatch.setattr(event_files.time, "time_ns", lambda: now() + clock * 10**9)
    files = event_files.EventFiles(tmp_path)
    files.losses(RUN, 30, _losses(*range(30, 50)))
    files.final(RUN, {"bits": 8})
    shown = _shown(tmp_path)
    assert shown.losses == {
        **{step: 99.0 + step for step in range(1, 31)}, **{step: step - 1.0 for step in range(31, 51)}}
    assert shown.final == {"bits": 8}


def test_a_fit_that_begins_again_has_one_curve(tmp_path):
    _kill(tmp_path)
    files = event_files.EventFiles(tmp_path)
    files.losses(RUN, 0, _losses(1, 2))
    assert _shown(tmp_path).losses == {1: 1.0, 2: 2.0}
    # Again, by the same process: a search tries what failed before.
    files.failed(RUN, "no.")
    files.losses(RUN, 0, _losses(4, 5, 6))
    assert _shown(tmp_path).losses == {1: 4.0, 2: 5.0, 3: 6.0}
    assert len(list(tmp_path.glob("*/*"))) == 3


def test_a_point_that_is_made_again_is_shown_with_what_it_comes_to_now(tmp_path):
    first = event_files.EventFiles(tmp_path)
    first.losses(RUN, 0, _losses(3, 2))
    first.final(RUN, {"bits": 4, "performance": 0.5})  # and was not verified
    again = event_files.EventFiles(tmp_path)
    again.losses(RUN, 0, _losses(3))
    shown = _shown(tmp_path)
    assert shown.losses == {1: 3.0} and not shown.final
    again.final(RUN, {"bits": 8})
    assert _shown(tmp_path).final == {"bits": 8}


def test_what_was_killed_after_its_last_step_keeps_its_curve(tmp_path):
    _kill(tmp_path)
    event_files.EventFiles(tmp_path).final(RUN, {"bits": 8})
    shown = _shown(tmp_path)
    assert len(shown.losses) == 40 and shown.final == {"bits": 8}


def test_no_file_stays_open(tmp_path):
    files, before = event_files.EventFiles(tmp_path), set(os.listdir("/proc/self/fd"))
    for number in range(20):
        one = metrics.Run("nano", RUN.point, f"nano.nano_math.lora.{number:010}")
        files.losses(one, 0, _losses(1, 2))
    assert len(event_reader.read(tmp_path)) == 20 and set(os.listdir("/proc/self/fd")) == before


def test_neither_tensorflow_nor_torch_is_needed(tmp_path):
    for name in ("tensorflow", "torch"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from sah_jax.studies import event_files"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="needs a full device")
def test_a_full_disk_is_said_once_and_nothing_else_happens(tmp_path, monkeypatch):
    monkeypatch.setattr(event_files, "_new_path", lambda folder: pathlib.Path("/dev/full"))
    said = []
    with metrics.Metrics([event_files.EventFiles(tmp_path)], said.append) as told:
        for before in range(3):
            told.losses(RUN, before, _losses(1))
        told.failed(RUN, "why")
    (line,) = said
    assert line.startswith("TensorBoard gets no metrics") and "No space left on device" in line
