"""The paper's SmolLM3 3B and Olmo3 7B with all weights or the output layer fine-tuned, 16 bits a weight.

Run:    sah study --config=configs/paper/dense.py:gsm8k --workdir=out/paper
        and :flores and :ifeval. See configs/paper/main.py.
Where:  four v5p chips: with gradients and Adam's moments, 7B takes 16 bytes a weight beside the base, 33 GB
        of each chip.
"""

import ml_collections

from sah_jax.studies import paper


def get_config(task: str = "gsm8k") -> ml_collections.ConfigDict:
    return paper.study(task, paper.PRETRAINED, paper.dense(paper.scale_of(task)), mesh="data=1,fsdp=4")
