"""What a point of a study will cost, from its setting and the model's number of parameters.

A training step takes 6 operations a parameter and token, a token that is coded or generated 2 (Kaplan et al.
2020, arXiv 2001.08361). Rows are counted as long as they are padded, answers as long as the task allows.
Nothing is traced or compiled: what a finished row says was counted on the traced step.
"""

import dataclasses
from typing import Any

from sah_jax.models import config as config_lib
from sah_jax.planning import topologies
from sah_jax.programs import combined, online
from sah_jax.tasks import base as task_lib

TRAINING_UTILISATION = 0.4
"""Of a chip's bfloat16 peak. `docs/tpu.md` bounds it by 0.57 to 0.73 from above."""

# Token by token, a step reads all weights: a chip's bandwidth over its peak, 0.6 % of v5p, is what a row of a
# chip comes to at the most. The paper's batches are 2 rows a chip in coding, and 16 in generating.
CODING_UTILISATION = 0.01
SCORING_UTILISATION = 0.05

_TRAINING, _FORWARD = 6, 2


@dataclasses.dataclass(frozen=True)
class Cost:
    """Floating-point operations of making points, and of verifying each in a fresh process.

    Attributes:
      training: of training steps; a program that is replayed is trained again by its reader.
      coding: of coding training examples token by token, by writer and reader.
      scoring: of generating answers to selection and test items, by both.
    """

    training: int = 0
    coding: int = 0
    scoring: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.training + other.training, self.coding + other.coding, self.scoring + other.scoring)

    def hours(self, chip: topologies.Chip) -> float:
        """Returns hours of one chip at the utilisations above."""
        full = (self.training / TRAINING_UTILISATION + self.coding / CODING_UTILISATION
                + self.scoring / SCORING_UTILISATION)
        return full / chip.flops / 3600


def of_setting(setting: Any, spec: config_lib.ModelConfig, task: task_lib.Task, num_scored: int) -> Cost:
    """Returns what a point costs; the texts of prompt families, which are short, count nothing.

    Args:
      setting: as `programs.base.parse_setting` returns it.
      spec: the model's architecture.
      task: what is scored.
      num_scored: how many items, of selection and test together.
    """
    trained, coded = _tokens(setting)
    return Cost(
        training=_TRAINING * spec.num_params * trained,
        coding=_FORWARD * spec.num_params * coded,
        scoring=_FORWARD * spec.num_params * 2 * num_scored * task.max_new_tokens)


def _tokens(setting: Any) -> tuple[int, int]:
    """Returns how many tokens are trained on and coded until a point is verified."""
    if isinstance(setting, tuple):  # a prompt, and numbers fitted under it
        trained, coded = zip(*map(_tokens, setting), strict=True)
        # Every row is longer by the prompt; its examples are taken to be as long as rows are padded.
        longer = 1 + sum(getattr(one, "num_examples", 0) for one in setting if not hasattr(one, "epochs"))
        return longer * sum(trained), sum(coded)
    if not hasattr(setting, "epochs"):
        return 0, 0
    once = _padded(setting.num_examples, setting)
    if isinstance(setting, online.OnlineForm):
        return 2 * (setting.epochs + setting.replay) * once, 2 * once
    if isinstance(setting, combined.CombinedSetting):
        # Phase one is replayed for the fit, the file, and the model that the file gives: the last two by the
        # reader too.
        first = _padded(setting.coded_examples, setting)
        return setting.epochs * once + 5 * first, 2 * first
    return setting.epochs * once, 0


def _padded(examples: int, setting: Any) -> int:
    """Returns the tokens of so many examples, in whole batches."""
    return -(-examples // setting.batch_size) * setting.batch_size * setting.max_tokens
