"""Every family of programs, three seeds each: the paper's lengths as files, and what takes their place.

Run:    scripts/programs_page.py out/programs   (the study, the ablations, and docs/programs.md)
Or:     python -m sah_jax study --config=configs/programs.py --workdir=out/programs/families
"""

import ml_collections

_FIT = {"learning_rate": 5e-3, "num_examples": 2048, "batch_size": 16, "max_tokens": 96}
_CODED = {"learning_rate": 3e-3, "epochs": 3, "max_tokens": 96}
# Answers alone are coded, to prompts that the reader draws itself.
_ANSWERS = _CODED | {"inputs": "generated", "replay": 8, "first_block": 1, "max_tokens": 160}


def get_config() -> ml_collections.ConfigDict:
    config = ml_collections.ConfigDict()
    config.models = ("nano",)
    config.dtype = "float32"
    config.tasks = ("nano_follow",)
    config.families = {
        "baseline": ({},),
        "urial": ({},),
        "icl": ({"num_examples": 1}, {"num_examples": 2}),
        # The paper's layout, at four lengths of training.
        "lora": (
            *({"rank": 1, "bits_per_weight": 16, "learning_rate": 5e-3, "num_examples": number,
               "max_tokens": 96}
              for number in (64, 256, 1024, 4096)),
            *(_FIT | {"rank": 1, "rate_weight": weight} for weight in (1e-5, 3e-5)),
        ),
        "bayesian_bits": tuple(
            {"rank": rank, "num_examples": 2048, "max_tokens": 96, "gate_rate": 4e-2, "scale_rate": 2e-3}
            for rank in (1, 2)),
        "vector": (
            *(_FIT | {"size": 1000, "rate_weight": weight} for weight in (3e-5, 1e-4)),
            *(_FIT | {"size": 5000, "rate_weight": weight} for weight in (1e-5, 3e-5)),
            *(_FIT | {"size": 10000, "rate_weight": weight, "num_examples": 8192} for weight in (2e-6, 5e-6)),
            _FIT | {"size": 500, "rank": 4, "basis": "cores", "rate_weight": 3e-5, "learning_rate": 2e-2},
        ),
        "icl+vector": ({
            "icl": {"num_examples": 1},
            "vector": _FIT | {"size": 1000, "rate_weight": 3e-5, "num_examples": 1024}},),
        "norm_gains": (_FIT | {"rate_weight": 3e-5},),
        "prefix": (
            _FIT | {"slots": 4, "learning_rate": 2e-2, "rate_weight": 3e-5},
            _FIT | {"slots": 16, "start": "text", "learning_rate": 2e-2, "rate_weight": 3e-5}),
        "soft_prompt": (
            _FIT | {"slots": 8, "learning_rate": 2e-2, "rate_weight": 3e-5},
            _FIT | {"slots": 16, "start": "text", "learning_rate": 2e-2, "rate_weight": 3e-5}),
        "lm_head": tuple(
            _FIT | {"bits_per_weight": bits, "num_examples": 1024, "rate_weight": 1e-5} for bits in (8, 16)),
        "full": tuple(
            _FIT | {"bits_per_weight": bits, "num_examples": 1024, "learning_rate": 1e-3, "rate_weight": 1e-6}
            for bits in (8, 16)),
        "online": (
            *(_CODED | {"num_examples": number} for number in (32, 128, 256)),
            _CODED | {"num_examples": 32, "learner": "full", "learning_rate": 1e-3},
            _ANSWERS | {"num_examples": 64},
            _ANSWERS | {"num_examples": 256, "max_tokens": 192},
            _ANSWERS | {"num_examples": 384, "max_tokens": 192, "replay": 0},
        ),
        "combined": (_FIT | {
            "coded_examples": 128, "data_rate": 3e-3, "learning_rate": 2e-2, "num_examples": 1024,
            "rate_weight": 1e-5},),
    }
    config.seeds = (0, 1, 2)
    config.num_selection = 128
    config.num_test = 256
    config.selection = "selection"
    config.check = False
    return config
