"""The demo: how many bits make a nano model follow instructions, before training, pre-trained, post-trained.

Run:    scripts/demo
Or:     python -m sah_jax study --config=configs/demo.py --workdir=out/demo
Takes:  under 5 minutes on two cores, after installation
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.models = ("nano-step0", "nano", "nano-chat")
    config.dtype = "float32"
    config.tasks = ("nano_follow",)
    config.families = {
        "baseline": ({},),
        "urial": ({},),
        "icl": ({"num_examples": 1}, {"num_examples": 3}),
        "lora": ({"rank": 1, "bits_per_weight": 2, "learning_rate": 5e-3, "num_examples": 512},),
        "online": ({"num_examples": 32, "learning_rate": 3e-3, "epochs": 3},),
    }
    config.seeds = (0,)
    config.num_selection = 128
    config.num_test = 192
    config.selection = "selection"
    config.check = False
    # One device. On a slice of eight chips: --config.mesh=fsdp=8 --config.decode_mesh=data=2,tensor=4
    config.mesh = ""
    config.decode_mesh = ""
    return config
