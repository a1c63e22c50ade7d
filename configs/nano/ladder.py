"""The nano ladder: five base models, three tasks, and the families.

Run:    python -m sah_jax study --config=configs/nano/ladder.py --workdir=out/nano
It is of the models that come with the package, or of a family of your own:
        python -m sah_jax study --config=configs/nano/ladder.py:out/nano-family --workdir=out/nano
"""

import ml_collections

_FAMILY = ("nano-step0", "nano-step200", "nano-step800", "nano", "nano-chat")


def get_config(folder: str = "") -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.models = tuple(f"{folder}/{name}" if folder else name for name in _FAMILY)
    config.dtype = "float32"
    config.tasks = ("nano_math", "nano_translate", "nano_follow")
    config.families = {
        "baseline": ({},),
        "urial": ({},),
        "icl": ({"num_examples": 1}, {"num_examples": 3}),
        "lora": (
            {"rank": 1, "bits_per_weight": 2, "learning_rate": 5e-3, "num_examples": 512},
            {"rank": 4, "bits_per_weight": 3, "learning_rate": 5e-3, "num_examples": 1024},
        ),
        "online": ({"num_examples": 64, "learning_rate": 3e-3, "epochs": 3},),
    }
    config.seeds = (0,)
    config.num_selection = 128
    config.num_test = 256
    config.selection = "selection"
    config.check = False
    return config
