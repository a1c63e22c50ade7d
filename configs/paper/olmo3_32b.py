"""The paper's Olmo3 32B, its weights in NF4: prompts, coded examples, LoRA and Bayesian LoRA.

Run:    sah study --config=configs/paper/olmo3_32b.py:gsm8k --workdir=out/paper
        and :flores and :ifeval. See configs/paper/main.py.
Where:  four v5p chips or four GPUs of 80 GB, each with all of the 19 GB that the weights are in NF4.
The reference quantises the scales of NF4 a second time; here they stay in bfloat16.
"""

import ml_collections

from sah_jax.studies import paper


def get_config(task: str = "gsm8k") -> ml_collections.ConfigDict:
    families = paper.main_families(paper.scale_of(task))
    return paper.study(task, paper.LARGE, families, mesh="data=4,fsdp=1", quantization="nf4")
