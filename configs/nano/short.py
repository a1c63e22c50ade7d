"""Short programs for `nano_math`: a grid of small families, and what `sah search` chooses from.

Run:    python -m sah_jax study --config=configs/nano/short.py --workdir=out/short
        python -m sah_jax search --config=configs/nano/short.py --runs=14 --workdir=out/short-search
Takes:  42 points, some 20 minutes on one core; docs/studies.md compares the two.
"""

import itertools

import ml_collections

_FIT = {"learning_rate": 1e-2, "num_examples": 256, "batch_size": 16, "max_tokens": 128}


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.models = ("nano",)
    config.dtype = "float32"
    config.tasks = ("nano_math",)
    config.families = {
        "baseline": ({},),
        "urial": ({},),
        "icl": tuple({"num_examples": number} for number in (1, 2, 3)),
        "vector": tuple(
            _FIT | {"size": size, "rate_weight": weight}
            for size, weight in itertools.product((10, 30, 100, 300, 1000), (1e-5, 1e-4, 1e-3))),
        "norm_gains": tuple(_FIT | {"rate_weight": weight} for weight in (1e-5, 1e-4, 1e-3)),
        "prefix": tuple(
            _FIT | {"slots": slots, "rate_weight": weight, "learning_rate": 2e-2}
            for slots, weight in itertools.product((1, 2, 4), (1e-5, 1e-4, 1e-3))),
        "soft_prompt": tuple(
            _FIT | {"slots": slots, "rate_weight": 1e-4, "learning_rate": 2e-2} for slots in (1, 4)),
        "lora": tuple(_FIT | {"rank": 1, "rate_weight": weight} for weight in (1e-5, 1e-4, 1e-3)),
        "online": tuple(
            {"num_examples": number, "learning_rate": 3e-3, "epochs": 3, "max_tokens": 128}
            for number in (2, 4, 8, 16, 32)),
    }
    config.seeds = (0,)
    config.num_selection = 128
    config.num_test = 128
    config.selection = "selection"
    config.check = False
    # Each alone, so that a search of some of them comes to the same files.
    config.fit_tokens = 0
    return config
