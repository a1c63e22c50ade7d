"""Base models that are one model at several stages: random, pre-trained, post-trained.

What the paper compares. A lineage is known by the names of its models in rows.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from sah_jax import errors


@dataclasses.dataclass(frozen=True)
class Lineage:
    """The stages of a model.

    Attributes:
      name: of all of them.
      random: before any training.
      pretrained: at the end of pre-training's first stage.
      posttrained: at the end of post-training.
      before: checkpoints of pre-training, in order.
      after: checkpoints after its first stage, in order.
    """

    name: str
    random: str
    pretrained: str
    posttrained: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[str, ...]:
        """All models, in the order of their training."""
        return (self.random, *self.before, self.pretrained, *self.after, self.posttrained)


KNOWN = (
    Lineage("SmolLM3", "smollm3-step0", "smollm3-stage1", "smollm3",
            ("smollm3-step40k", "smollm3-step1720k"), ("smollm3-stage2", "smollm3-stage3")),
    Lineage("Olmo3 7B", "olmo3-7b-step0", "olmo3-7b-step1414k", "olmo3-7b-instruct-step400",
            ("olmo3-7b-step707k",),
            ("olmo3-7b-stage2-step6k", "olmo3-7b-stage2-step12k", "olmo3-7b-stage2-step24k",
             "olmo3-7b-stage2-step48k", "olmo3-1025-7b", "olmo3-7b-instruct-step200")),
    Lineage("nano", "nano-step0", "nano", "nano-chat", ("nano-step200", "nano-step800")),
)
"""The paper's (its names), and the models that come with the package."""

def in_order(models: Iterable[str], known: Sequence[Lineage] = KNOWN) -> list[str]:
    """Returns models once each; those of one lineage together and in the order of their training.

    A lineage stands where the first of its models does, and so does a model of none.
    """
    found = dict.fromkeys(models)
    # Of two lineages that a model is of the later is meant.
    lineage_of = {stage: lineage for lineage in known for stage in lineage.stages}
    ordered = {}
    for model in found:
        stages = lineage_of[model].stages if model in lineage_of else (model,)
        ordered |= dict.fromkeys(stage for stage in stages if stage in found)
    return list(ordered)


PAPER_NAMES = {
    "SmolLM3-3B-step0-seed6": "smollm3-step0",
    "SmolLM3-3B-checkpoints@stage1-step-40000": "smollm3-step40k",
    "SmolLM3-3B-checkpoints@stage1-step-1720000": "smollm3-step1720k",
    "SmolLM3-3B-checkpoints@stage1-step-3440000": "smollm3-stage1",
    "SmolLM3-3B-checkpoints@stage2-step-4200000": "smollm3-stage2",
    "SmolLM3-3B-checkpoints@stage3-step-4720000": "smollm3-stage3",
    "SmolLM3-3B": "smollm3",
    "Olmo-3-1025-7B@stage1-step0": "olmo3-7b-step0",
    "Olmo-3-1025-7B@stage1-step707000": "olmo3-7b-step707k",
    "Olmo-3-1025-7B@stage1-step1413814": "olmo3-7b-step1414k",
    "Olmo-3-1025-7B@stage2-step6000": "olmo3-7b-stage2-step6k",
    "Olmo-3-1025-7B@stage2-step12000": "olmo3-7b-stage2-step12k",
    "Olmo-3-1025-7B@stage2-step24000": "olmo3-7b-stage2-step24k",
    "Olmo-3-1025-7B@stage2-step47684": "olmo3-7b-stage2-step48k",
    "Olmo-3-1025-7B": "olmo3-1025-7b",
    "Olmo-3-7B-Instruct@step_200": "olmo3-7b-instruct-step200",
    "Olmo-3-7B-Instruct@step_400": "olmo3-7b-instruct-step400",
    "Olmo-3-1125-32B@stage1-step656000": "olmo3-32b-step656k",
}
"""What the paper calls the models of `configs/paper`, by the names of their rows."""


def parse(text: str) -> Lineage:
    """Reads "NAME:RANDOM,PRETRAINED,POSTTRAINED".

    Raises:
      UserError: it is none.
    """
    name, colon, rest = text.partition(":")
    models = rest.split(",")
    if not (name and colon and len(models) == 3 and all(models) and len(set(models)) == 3):
        raise errors.UserError(
            f"Got the lineage {text!r}, expected NAME:RANDOM,PRETRAINED,POSTTRAINED with three names of "
            "models as rows have them; correct it.")
    return Lineage(name, *models)
