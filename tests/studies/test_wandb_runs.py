"""W&B: a run for each point, whichever process goes on with it; and nothing that goes wrong ends a study."""

import sys
import time

import numpy as np
import pytest
import wandb
import wandb_server

from sah_jax import errors
from sah_jax.studies import grid, metrics, wandb_runs

SETTING = {"rank": 1, "icl": {"num_examples": 2}}
KEY = "k" * 40


def _name_run(number=0):
    point = grid.Point("nano_math", "lora", SETTING, number)
    return metrics.Run("nano", point, f"nano.nano_math.lora.{number:010}")


def _losses(*values):
    return np.array(values, np.float32)


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """Keeps W&B from what it knows of the user, and from what it did in this process before."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def server(alone, monkeypatch):
    """A server that runs are sent to."""
    with wandb_server.serve() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        wandb_runs.check()
        yield server
        wandb.teardown()


@pytest.fixture
def workdir(tmp_path):
    (tmp_path / "my_study").mkdir()
    return tmp_path / "my_study"


def _start(workdir, said, project="team/lengths"):
    return metrics.Metrics([wandb_runs.WandbRuns(workdir, project, said.append)], said.append)


def _curve(server, run):
    return {line["_step"]: line["loss"] for line in server.history[run]}


def test_a_run_has_its_curve_its_setting_and_what_it_came_to(server, workdir):
    said = []
    with _start(workdir, said) as told:
        for number in range(2):  # two lanes
            told.losses(_name_run(number), 0, _losses(3, 2) + number)
        deadline = time.monotonic() + 60
        while len(server.history) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        streamed = {run: _curve(server, run) for run in server.history}
        told.losses(_name_run(0), 2, _losses(1))
        told._tell("final", _name_run(0), {"bits": 4096, "performance": 0.5})
        told.failed(_name_run(1), "the loss is nan.")
    first, second = sorted(server.runs, key=lambda run: server.runs[run]["name"])
    # While the fits went on.
    assert streamed == {first: {1: 3.0, 2: 2.0}, second: {1: 4.0, 2: 3.0}}
    assert _curve(server, first) == {1: 3.0, 2: 2.0, 3: 1.0}
    run = server.runs[first]
    assert (run["entity"], run["project"], run["group"]) == ("team", "lengths", "my_study")
    assert run["name"] == _name_run(0).title
    config = {key: one["value"] for key, one in run["config"].items() if key != "_wandb"}
    assert config == {"model": "nano", "task": "nano_math", "family": "lora", "setting": SETTING, "seed": 0,
                      "point": _name_run(0).name}
    assert (server.summaries[first]["bits"], server.summaries[first]["performance"]) == (4096, 0.5)
    # Of host, paths, packages and code nothing is said.
    assert run.keys() == {"name", "group", "project", "entity", "config", "program", "started"}
    assert run["program"] == "sah" and server.names <= {"wandb-summary.json", "config.yaml"}
    assert server.summaries[second]["failed"] == "the loss is nan."
    assert (server.ended[first], server.ended[second]) == (0, 1)


def test_another_process_goes_on_with_a_run_and_other_studies_have_others(server, workdir, tmp_path):
    with _start(workdir, []) as told:
        told.losses(_name_run(), 0, _losses(*range(40)))
    (run,) = server.history
    # From a checkpoint after step 20, and what was told already is not told again.
    with _start(workdir, []) as told:
        told.losses(_name_run(), 20, _losses(*range(20, 50)))
        told._tell("final", _name_run(), {"bits": 8})
    assert list(server.history) == [run] and server.runs[run]["started"] == 2
    assert len(server.history[run]) == 50
    assert _curve(server, run) == {step: step - 1.0 for step in range(1, 51)}
    assert server.summaries[run]["bits"] == 8 and server.ended[run] == 0
    # Of the same name elsewhere.
    (tmp_path / "other" / "my_study").mkdir(parents=True)
    with _start(tmp_path / "other" / "my_study", []) as told:
        told._tell("final", _name_run(), {"bits": 16})
    assert len(server.runs) == 2 and server.summaries[run]["bits"] == 8


def test_a_server_that_goes_away_is_said_and_no_more(server, workdir, monkeypatch):
    monkeypatch.setattr(wandb_runs, "_END_S", 1.0)
    said, began = [], time.monotonic()
    with _start(workdir, said) as told:
        told.losses(_name_run(), 0, _losses(1))
        while not server.runs and time.monotonic() < began + 60:
            time.sleep(0.05)
        server.shutdown()
        server.server_close()
        waiting = time.monotonic()
        for number in range(20):
            told.losses(_name_run(number), 1, _losses(1))
            told._tell("final", _name_run(number), {"bits": 8})
        # Whoever trains does not wait for it.
        assert time.monotonic() - waiting < 1.0
    assert len([line for line in said if "W&B gets no metrics from here on" in line]) == 1
    assert time.monotonic() < began + 60


@pytest.mark.parametrize("what", ["init", "log", "finish"])
def test_what_the_client_raises_is_said_once(what, workdir, monkeypatch):
    class Opened:
        """A run whose calls are counted."""

        summary, calls = {}, []

        def log(self, values, step, commit):
            raise_if("log")

        def finish(self, exit_code):
            raise_if("finish")

    def raise_if(called):
        Opened.calls.append(called)
        if called == what:
            raise RuntimeError("cannot send")

    Opened.calls.clear()
    monkeypatch.setattr(wandb, "init", lambda **_: raise_if("init") or Opened())
    said = []
    with _start(workdir, said) as told:
        for number in range(3):
            told.losses(_name_run(number), 0, _losses(1))
            told._tell("final", _name_run(number), {"bits": 8})
    assert Opened.calls.count(what) == 1 == len([line for line in said if "(cannot send)" in line])


def test_offline_runs_lie_in_the_study(alone, workdir, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb_runs.check()
    said = []
    with _start(workdir, said, "lengths") as told:
        told.losses(_name_run(), 0, _losses(1))
        told._tell("final", _name_run(), {"bits": 8})
    wandb.teardown()  # as at the end of a process: what W&B holds is written
    (file,) = workdir.glob("wandb/offline-run-*/*.wandb")
    assert _name_run().title.encode() in file.read_bytes()
    assert not [line for line in said if "no metrics" in line]


def test_without_a_key_or_the_package_it_is_refused(alone, monkeypatch):
    with pytest.raises(errors.UserError, match="there is no API key.*WANDB_MODE=offline"):
        wandb_runs.check()
    monkeypatch.setenv("WANDB_API_KEY", "short")
    wandb.teardown()
    with pytest.raises(errors.UserError, match="WANDB_API_KEY invalid"):
        wandb_runs.check()
    # Of another version, which has not all of the settings.
    monkeypatch.setattr(wandb, "Settings", lambda **_: int("no such setting"))
    with pytest.raises(errors.UserError, match=f"wandb {wandb.__version__} .*no such setting"):
        wandb_runs.check()
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(errors.UserError, match=r"pip install 'sah_jax\[wandb\]'"):
        wandb_runs.check()
