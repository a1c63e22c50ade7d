"""Which projections are adapted; no setting needs a trace of its own.

Run:    python -m sah_jax study --config=configs/ablations/modules.py --workdir=out/ablations/modules
Expected, on nano_follow (docs/programs.md): attention alone 0.48 for 4.6 kbit, q and v 0.43 for 3.1, the
feed-forward layer 0.44 for 6.8, all seven 0.49 for 6.4.
"""

import ml_collections

_SETTING = {"rank": 1, "learning_rate": 5e-3, "num_examples": 512, "max_tokens": 96, "rate_weight": 3e-5}


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.models = ("nano",)
    config.dtype = "float32"
    config.tasks = ("nano_follow",)
    config.families = {"lora": tuple(
        _SETTING | {"modules": modules} for modules in ("all", "q,v", "q,k,v,o", "gate,up,down", "down"))}
    config.seeds = (0, 1, 2)
    config.num_selection = 128
    config.num_test = 256
    config.selection = "selection"
    config.check = False
    return config
