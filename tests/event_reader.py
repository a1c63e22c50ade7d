"""What TensorBoard reads of a study's metrics."""

import dataclasses

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import metadata as hparams_metadata


@dataclasses.dataclass(frozen=True)
class Shown:
    """What it shows of a run.

    Attributes:
      losses: by step.
      final: scalars by name.
      texts: by tag, the last of each.
      hparams: what was set, by name.
      status: how the run ended, as HPARAMS counts it; None where it has not.
    """

    losses: dict
    final: dict
    texts: dict
    hparams: dict
    status: int | None


def read(folder) -> dict[str, Shown]:
    """Returns what is shown of each run, by its folder's name."""
    return {path.name: read_run(path) for path in sorted(folder.iterdir())}


def read_run(path) -> Shown:
    """Returns what is shown of a run."""
    found = event_accumulator.EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    scalars = {tag: {event.step: event.value for event in found.Scalars(tag)}
               for tag in found.Tags()["scalars"]}
    assert all(len(found.Scalars(tag)) == len(scalars[tag]) for tag in scalars)  # each step once
    texts = {tag: found.Tensors(tag)[-1].tensor_proto.string_val[0].decode()
             for tag in found.Tags()["tensors"] if not tag.startswith("_hparams_/")}
    plugin = found._plugin_to_tag_to_content["hparams"]
    start = hparams_metadata.parse_session_start_info_plugin_data(
        plugin[hparams_metadata.SESSION_START_INFO_TAG])
    end = plugin.get(hparams_metadata.SESSION_END_INFO_TAG)
    losses = scalars.pop("loss", {})
    return Shown(
        losses, {tag.removeprefix("final/"): own[0] for tag, own in scalars.items() if own}, texts,
        {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()},
        hparams_metadata.parse_session_end_info_plugin_data(end).status if end else None)
