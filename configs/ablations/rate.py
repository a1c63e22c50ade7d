"""λ, what a bit is worth while training; no setting needs a trace of its own.

Run:    python -m sah_jax study --config=configs/ablations/rate.py --workdir=out/ablations/rate
Expected, on nano_follow (docs/programs.md): from 24.6 kbit without it to 6.4 kbit at 3e-5 the score
falls from 0.54 to 0.49; at 1e-4 it is 0.36 with 2.4 kbit, at 3e-4 0.24 with 1.0.
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
