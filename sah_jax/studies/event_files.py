"""Metrics as TensorBoard's event files: a folder for each point, in it a file for each attempt to make it.

A file is open only while something is added to it: a killed process leaves it whole but for what it was
adding, and other machines that share the folder see what is in it.
"""

import io
import os
import pathlib
import platform
import time

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2, summary_v2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer import record_writer
from tensorboard.util import tensor_util

from sah_jax.studies import metrics

FOLDER = "metrics"

_PREFIX = "events.out.tfevents."  # by which TensorBoard knows them
_VERSION = "brain.Event:2"

_Value = summary_pb2.Summary.Value


class EventFiles:
    """A `metrics.Writer`.

    Args:
      folder: holds those of the points.
    """

    name = "TensorBoard"

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._paths: dict[str, pathlib.Path] = {}

    def losses(self, run: metrics.Run, before: int, losses: np.ndarray) -> None:
        """See `metrics.Writer.losses`."""
        events = []
        if run.name not in self._paths:
            # What a killed process said of steps that are taken again, TensorBoard drops from here on.
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            events.append(_event(step=before + 1 if before else 0, session_log=start))
        self._add(run, *events, *(
            _summary(step, _Value(tag="loss", simple_value=loss))
            for step, loss in enumerate(losses, start=before + 1)))

    def final(self, run: metrics.Run, values: dict[str, float]) -> None:
        """See `metrics.Writer.final`."""
        scalars = [_Value(tag=f"final/{name}", simple_value=value) for name, value in values.items()]
        self._add(run, _summary(0, *scalars, _ended(api_pb2.STATUS_SUCCESS)))
        del self._paths[run.name]

    def failed(self, run: metrics.Run, why: str) -> None:
        """See `metrics.Writer.failed`."""
        self._add(run, _summary(0, _text("failed", why), _ended(api_pb2.STATUS_FAILURE)))
        del self._paths[run.name]

    def close(self) -> None:
        """See `metrics.Writer.close`."""

    def _add(self, run: metrics.Run, *events: event_pb2.Event) -> None:
        """Adds events to a run's file; a new one says first what was set."""
        if run.name not in self._paths:
            self._paths[run.name] = _new_path(self._folder / run.title)
            told = {key: value if isinstance(value, (bool, int, float, str)) else str(value)
                    for key, value in run.flat_config.items()}
            table = "".join(f"| {key} | {_cell(value)} |\n" for key, value in told.items())
            trial = summary_v2.hparams_pb(told, trial_id=run.name)
            events = (
                _event(file_version=_VERSION), *events,
                _summary(0, _text("setting", f"| | |\n|---|---|\n{table}"), *trial.value))
        packed = io.BytesIO()
        writer = record_writer.RecordWriter(packed)
        for event in events:
            writer.write(event.SerializeToString())
        with open(self._paths[run.name], "ab") as file:
            file.write(packed.getvalue())


def _new_path(folder: pathlib.Path) -> pathlib.Path:
    """Returns the file of a new attempt, by its name the last of a folder, whatever the clock says."""
    folder.mkdir(parents=True, exist_ok=True)
    earlier = [int(path.name.removeprefix(_PREFIX).split(".")[0]) for path in folder.glob(f"{_PREFIX}*")]
    stamp = max([time.time_ns(), *(stamp + 1 for stamp in earlier)])
    return folder / f"{_PREFIX}{stamp}.{platform.node()}.{os.getpid()}"


def _event(**what) -> event_pb2.Event:
    return event_pb2.Event(wall_time=time.time(), **what)


def _summary(step: int, *values: _Value) -> event_pb2.Event:
    return _event(step=step, summary=summary_pb2.Summary(value=values))


def _text(tag: str, text: str) -> _Value:
    return _Value(
        tag=tag, metadata=text_metadata.create_summary_metadata("", ""),
        tensor=tensor_util.make_tensor_proto(text))


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _ended(status: int) -> _Value:
    """Returns what HPARAMS shows of how a run ended."""
    content = plugin_data_pb2.HParamsPluginData(session_end_info=plugin_data_pb2.SessionEndInfo(
        status=status, end_time_secs=time.time()))
    return _Value(
        tag=hparams_metadata.SESSION_END_INFO_TAG,
        metadata=hparams_metadata.create_summary_metadata(content), tensor=hparams_metadata.NULL_TENSOR)
