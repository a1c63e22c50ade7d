"""The paper's checkpoints in small: the nano models before, along and after training.

Run:    python -m sah_jax study --config=configs/nano/checkpoints.py --workdir=out/nano-grid
        or of a family of your own: configs/nano/checkpoints.py:out/nano-family
Takes:  276 points; --list estimates what they cost.
"""

import ml_collections

from sah_jax.studies import paper


def get_config(folder: str = "") -> ml_collections.ConfigDict:
    names = ("nano-step0", "nano-step200", "nano-step800", "nano-chat")
    return paper.nano_study(names, paper.checkpoint_families(paper.NANO), folder)
