"""The paper's grid of programs (arXiv 2602.15829) as configs: its models, tasks and settings.

`configs/paper` is the grid itself and `configs/nano` the same in small. What a config cannot say of the
reference, or says otherwise, is said here where it comes up; what differs in tasks and training for every
config is in `docs/tasks.md`.
"""

import dataclasses
from typing import Any

import ml_collections

from sah_jax import errors

Settings = dict[str, tuple[dict[str, Any], ...]]
"""For each family, the settings to run."""

# The reference takes SmolLM3's tokenizer from the post-trained model; here each revision has its own.
_SMOLLM3, _SMOLLM3_STAGES = "HuggingFaceTB/SmolLM3-3B", "HuggingFaceTB/SmolLM3-3B-checkpoints"
_OLMO3_7B, _OLMO3_7B_INSTRUCT = "allenai/Olmo-3-1025-7B", "allenai/Olmo-3-7B-Instruct"

PRETRAINED = (f"{_SMOLLM3_STAGES}@stage1-step-3440000", f"{_OLMO3_7B}@stage1-step1413814")
"""At the end of pre-training's first stage."""

LARGE = ("allenai/Olmo-3-1125-32B@stage1-step656000",)

CHECKPOINTS = (
    # Drawn from seed 6, as there, but by another generator. Olmo's step 0 was released.
    f"{_SMOLLM3}#step0-seed6",
    f"{_SMOLLM3_STAGES}@stage1-step-1720000",
    f"{_SMOLLM3_STAGES}@stage2-step-4200000",
    f"{_SMOLLM3_STAGES}@stage3-step-4720000",
    _SMOLLM3,
    f"{_OLMO3_7B}@stage1-step0",
    f"{_OLMO3_7B}@stage1-step707000",
    *(f"{_OLMO3_7B}@stage2-step{step}" for step in (6000, 12000, 24000, 47684)),
    _OLMO3_7B,
    f"{_OLMO3_7B_INSTRUCT}@step_200",
    f"{_OLMO3_7B_INSTRUCT}@step_400",
)
"""Before, along and after training."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """The numbers of the grid; the defaults are the paper's.

    Attributes:
      max_tokens: of a training example. There, a longer one is cut; here it is left out.
      full_set: how many training examples stand for the whole set.
      num_test: how many test items there are.
      demonstrations: of `icl`.
      subsets, checkpoint_subsets: numbers of coded examples; of the checkpoints only large ones.
      subset_rates, lora_rates, scale_rates, gate_rate, full_rates, head_rate, coefficient_rates: learning
        rates.
      coefficient_steps: how many steps are reweighted.
      phase_one, phase_one_rate: how many examples the steps that may be reweighted are of, and their rate.
    """

    max_tokens: int
    full_set: int
    num_test: int
    # There, a context grows until the job's time is up: to 2 or 6 examples in most cells, to 47 in one.
    demonstrations: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    subsets: tuple[int, ...] = tuple(8 << power for power in range(13))
    checkpoint_subsets: tuple[int, ...] = tuple(1024 << power for power in range(6))
    subset_rates: tuple[float, ...] = (1e-4, 1e-5)
    lora_rates: tuple[float, ...] = (1e-4, 1e-5)
    scale_rates: tuple[float, ...] = (1e-2, 2e-3)
    gate_rate: float = 1e-2
    full_rates: tuple[float, ...] = (1e-5, 1e-6)
    head_rate: float = 1e-4
    coefficient_rates: tuple[float, ...] = (1e-4, 1e-5)
    coefficient_steps: tuple[int, ...] = (8, 32)
    phase_one: int = 2048
    phase_one_rate: float = 1e-4

    @property
    def training(self) -> dict[str, int]:
        """What all fits to the whole set have in common."""
        return {"num_examples": self.full_set, "max_tokens": self.max_tokens, "batch_size": _BATCH_SIZE}


# Where memory is short the reference takes batches of 2 or 4 and adds up gradients, and rounds the bits of
# each of these up.
_BATCH_SIZE = 8
_PASSES = (1, 2, 3)

SCALES = {
    # MetaMathQA has 395,000 rows, of which one in sixteen is held out. Where an example is too long, twice as
    # many are looked at as are taken, so that no more than 185,000 can be asked for.
    "gsm8k": Scale(500, 180_000, 1319),
    "flores": Scale(128, 100_000, 1012),
    # The reference's conversations, about 37,400, are not released: `sah sample` makes such ones, and 75,000
    # are needed where some are too long.
    "ifeval": Scale(500, 35_000, 541),
}
"""By task."""

NANO = Scale(
    128, 2048, 256, demonstrations=(1, 2, 3), subsets=tuple(8 << power for power in range(7)),
    checkpoint_subsets=(128, 256, 512), subset_rates=(3e-3, 1e-3), lora_rates=(5e-3, 1e-3), gate_rate=4e-2,
    full_rates=(1e-3, 1e-4), head_rate=5e-3, coefficient_rates=(2e-2, 2e-3), phase_one=256,
    phase_one_rate=3e-3)
"""In small, for the models that come with the package."""


def scale_of(task: str) -> Scale:
    """Returns the numbers for a task, whose name may have options ("gsm8k:reference").

    Raises:
      UserError: it is none of the paper's.
    """
    kind = task.partition(":")[0]
    if kind not in SCALES:
        raise errors.UserError(
            f"the task is {task!r}, expected one of {', '.join(SCALES)} with its options; correct what "
            "stands after the config's name.")
    return SCALES[kind]


def prompts(scale: Scale) -> Settings:
    """Returns what needs no training, the inference-control view."""
    return {
        "baseline": ({},), "urial": ({},),
        "icl": tuple({"num_examples": number} for number in scale.demonstrations)}


def subsets(scale: Scale, sizes: tuple[int, ...]) -> tuple[dict[str, Any], ...]:
    """Returns settings of `online`, the data view: LoRA of rank 8 and alpha 8, trained by Adam.

    The reference scores one fit after each of its passes, which it calls epochs 0, 1 and 2. Here each number
    of passes is a program and a fit of its own.
    """
    return tuple(
        _coded(scale, size, rate) | {"epochs": passes}
        for size in sizes for rate in scale.subset_rates for passes in _PASSES)


def whole_set(scale: Scale) -> tuple[dict[str, Any], ...]:
    """Returns settings of `online` on the whole training set, the reference's rows without an N."""
    return tuple(_coded(scale, scale.full_set, rate) | {"epochs": _PASSES[-1]} for rate in scale.subset_rates)


def _coded(scale: Scale, size: int, rate: float) -> dict[str, Any]:
    return {"num_examples": size, "learning_rate": rate, "rank": 8, "alpha": 8, "optimizer": "adam",
            "batch_size": _BATCH_SIZE, "max_tokens": scale.max_tokens}


def parametric(scale: Scale) -> Settings:
    """Returns `lora` at 16 bits a number and `bayesian_bits`, of one pass over the whole set.

    Some of the reference's rows of LoRA are of four passes; which ones is not recorded. It decays factors,
    where here what training adds to them decays, and it draws `a` uniformly, where here only signs are drawn.
    Ranks are pruned from rank 2 on.
    """
    return {
        "lora": tuple(
            scale.training | {
                "rank": 1, "alpha": 8, "bits_per_weight": 16, "learning_rate": rate, "epochs": 1}
            for rate in scale.lora_rates),
        "bayesian_bits": tuple(
            scale.training | {
                "rank": rank, "scale_rate": rate, "gate_rate": scale.gate_rate, "factor_rate": 1e-3,
                "width_weight": 1e-3, "rank_weight": 1e-3, "epochs": 1}
            for rank in (1, 2) for rate in scale.scale_rates)}


def phase_one(scale: Scale) -> tuple[dict[str, Any], ...]:
    """Returns the setting of `online` that is the reference's phase one, trained by AdamW."""
    return (_coded(scale, scale.phase_one, scale.phase_one_rate) | {"optimizer": "adamw", "epochs": 1},)


def phase_two(scale: Scale) -> Settings:
    """Returns the reference's phase two: the first steps of phase one, reweighted on the whole set.

    Only the examples of these steps are coded, which is what it counts. A coefficient has 16 bits, not 32,
    and decays to 1, not to 0; nothing is merged into rounded weights.
    """
    return {"combined": tuple(
        scale.training | {
            "steps": steps, "coded_examples": _BATCH_SIZE * steps, "data_rate": scale.phase_one_rate,
            "rank": 8, "alpha": 8, "optimizer": "adamw", "bits_per_weight": 16, "learning_rate": rate,
            "epochs": 1}
        for rate in scale.coefficient_rates for steps in scale.coefficient_steps)}


def dense(scale: Scale) -> Settings:
    """Returns full fine-tuning and that of the output layer: four passes over the whole set.

    What is trained, and decays, is a float32 delta; the sum with the base is rounded to its dtype. The
    reference trains and decays the weights themselves, in bfloat16 those of Olmo.
    """
    common = scale.training | {"bits_per_weight": 16, "epochs": 4}
    return {
        "lm_head": (common | {"learning_rate": scale.head_rate},),
        "full": tuple(common | {"learning_rate": rate} for rate in scale.full_rates)}


def main_families(scale: Scale) -> Settings:
    """Returns what all main models have, the largest too."""
    online = subsets(scale, scale.subsets) + whole_set(scale)
    return prompts(scale) | {"online": online} | parametric(scale)


def with_phases(families: Settings, scale: Scale) -> Settings:
    """Returns families with the unified view: both phases beside them."""
    return families | {"online": (*families["online"], *phase_one(scale))} | phase_two(scale)


def checkpoint_families(scale: Scale) -> Settings:
    """Returns what the checkpoints have."""
    return prompts(scale) | {"online": subsets(scale, scale.checkpoint_subsets)}


def study(
    task: str, models: tuple[str, ...], families: Settings, mesh: str, quantization: str = ""
) -> ml_collections.ConfigDict:
    """Returns a study of one task; tasks differ in what is the same for all tasks of a study.

    Args:
      task: its name, with options.
      models, families, mesh, quantization: see `grid.StudyConfig`.
    """
    config = _config((task,), models, families, scale_of(task).num_test)
    # The reference holds SmolLM3 in float32 and multiplies in bfloat16.
    config.dtype = "bfloat16"
    # As many held-out items as test items, so that selection="test" is the paper's way whole.
    config.num_selection = config.num_test
    config.mesh, config.decode_mesh = mesh, ""
    config.remat, config.quantization = "full", quantization
    config.checkpoint_every = 2000
    return config


def nano_study(names: tuple[str, ...], families: Settings, folder: str = "") -> ml_collections.ConfigDict:
    """Returns a study of models that come with the package, or of those of the same names in a folder."""
    models = tuple(f"{folder}/{name}" if folder else name for name in names)
    config = _config(("nano_math", "nano_translate", "nano_follow"), models, families, NANO.num_test)
    config.dtype, config.num_selection = "float32", 128
    return config


def _config(tasks, models, families, num_test) -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.models, config.tasks, config.families = models, tasks, families
    # All of the reference's rows are of seed 1.
    config.seeds = (1,)
    config.num_test = num_test
    config.selection, config.check = "selection", False
    return config
