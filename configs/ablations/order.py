"""The order of the same training examples; no setting needs a trace of its own.

Run:    python -m sah_jax study --config=configs/ablations/order.py --workdir=out/ablations/order
Expected, on nano_follow (docs/programs.md): orders differ by no more than seeds do, 0.49 to 0.51 and 6.3
to 6.5 kbit.
"""

import ml_collections

_SETTING = {"rank": 1, "learning_rate": 5e-3, "num_examples": 512, "max_tokens": 96, "rate_weight": 3e-5}


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.models = ("nano",)
    config.dtype = "float32"
    config.tasks = ("nano_follow",)
    config.families = {"lora": tuple(_SETTING | {"order": order} for order in (0, 1, 2, 3, 4))}
    config.seeds = (0, 1, 2)
    config.num_selection = 128
    config.num_test = 256
    config.selection = "selection"
    config.check = False
    return config
