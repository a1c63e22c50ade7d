"""Which layers are adapted; no setting needs a trace of its own.

Run:    python -m sah_jax study --config=configs/ablations/layers.py --workdir=out/ablations/layers
Expected, on nano_follow (docs/programs.md): any one layer but the last gives most of what all do (0.43 to
0.47 against 0.49) for about 60 % of the bits; the last alone 0.36.
"""

import ml_collections

_SETTING = {"rank": 1, "learning_rate": 5e-3, "num_examples": 512, "max_tokens": 96, "rate_weight": 3e-5}


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.models = ("nano",)
    config.dtype = "float32"
    config.tasks = ("nano_follow",)
    config.families = {"lora": tuple(
        _SETTING | {"layers": layers} for layers in ("all", "0", "1", "2", "3", "4", "0-1", "3-4"))}
    config.seeds = (0, 1, 2)
    config.num_selection = 128
    config.num_test = 256
    config.selection = "selection"
    config.check = False
    return config
