"""The rank of low-rank pairs: bits and scores of RD-trained adapters of 1 to 16 ranks.

Run:    python -m sah_jax study --config=configs/ablations/rank.py --workdir=out/ablations/rank
Expected, on nano_follow (docs/programs.md): more ranks do worse at a fixed alpha (the update is scaled by
alpha / rank): 0.49 at rank 1, 0.39 at rank 4, 0.21 at rank 16, at 6 to 8 kbit throughout.
"""

import ml_collections

_SETTING = {"learning_rate": 5e-3, "num_examples": 512, "max_tokens": 96, "rate_weight": 3e-5}


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.models = ("nano",)
    config.dtype = "float32"
    config.tasks = ("nano_follow",)
    config.families = {"lora": tuple(_SETTING | {"rank": rank} for rank in (1, 2, 4, 8, 16))}
    config.seeds = (0, 1, 2)
    config.num_selection = 128
    config.num_test = 256
    config.selection = "selection"
    config.check = False
    return config
