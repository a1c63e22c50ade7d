"""How a weight is quantised while it is trained: its bits, and rounding or noise; one trace but for 16 bits.

Run:    python -m sah_jax study --config=configs/ablations/quantiser.py --workdir=out/ablations/quantiser
Expected, on nano_follow (docs/programs.md): 2 to 8 bits and noise come to the same (0.48 to 0.49 with 6.0
to 6.4 kbit): λ decides the length; 16 bits 0.56 with 194.6 kbit.
"""

import ml_collections

_SETTING = {"rank": 1, "learning_rate": 5e-3, "num_examples": 512, "max_tokens": 96, "rate_weight": 3e-5}


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.models = ("nano",)
    config.dtype = "float32"
    config.tasks = ("nano_follow",)
    config.families = {"lora": tuple(_SETTING | quantiser for quantiser in (
        {"bits_per_weight": 2}, {"bits_per_weight": 3}, {"bits_per_weight": 4}, {"bits_per_weight": 8},
        {"bits_per_weight": 8, "rounding": "noise"}, {"bits_per_weight": 16}))}
    config.seeds = (0, 1, 2)
    config.num_selection = 128
    config.num_test = 256
    config.selection = "selection"
    config.check = False
    return config
