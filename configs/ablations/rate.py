"""λ, what a bit is worth while training; no setting needs a trace of its own.

Run:    python -m sah_jax study --config=configs/ablations/rate.py --workdir=out/ablations/rate
Expected, on nano_follow (docs/programs.md has the figures): EXPECTED.
"""

import ml_collections

_SETTING = {"rank": 1, "learning_rate": 5e-3, "num_examples": 512, "max_tokens": 96, "rate_weight": 3e-5}


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.models = ("nano",)
    config.dtype = "float32"
    config.tasks = ("nano_follow",)
    config.families = {"lora": tuple(
        _SETTING | {"rate_weight": weight} for weight in (0.0, 1e-5, 3e-5, 1e-4, 3e-4))}
    config.seeds = (0, 1, 2)
    config.num_selection = 128
    config.num_test = 256
    config.selection = "selection"
    config.check = False
    return config
