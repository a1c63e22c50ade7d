"""The paper's main models in small: `nano` at the end of pre-training, every family, three tasks.

Run:    python -m sah_jax study --config=configs/nano/main.py --workdir=out/nano-grid
        or of a model of your own of that name: configs/nano/main.py:out/nano-family
Takes:  189 points; --list estimates what they cost.
"""

import ml_collections

from sah_jax.studies import paper


def get_config(folder: str = "") -> ml_collections.ConfigDict:
    families = paper.with_phases(paper.main_families(paper.NANO), paper.NANO) | paper.dense(paper.NANO)
    return paper.nano_study(("nano",), families, folder)
