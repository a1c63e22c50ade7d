"""The paper's 14 checkpoints of SmolLM3 3B and Olmo3 7B, from step 0 to post-trained.

Run:    sah study --config=configs/paper/checkpoints.py:gsm8k --workdir=out/paper
        and :flores and :ifeval. See configs/paper/main.py.
Where:  as configs/paper/main.py.
"""

import ml_collections

from sah_jax.studies import paper


def get_config(task: str = "gsm8k") -> ml_collections.ConfigDict:
    families = paper.checkpoint_families(paper.scale_of(task))
    return paper.study(task, paper.CHECKPOINTS, families, mesh="data=4,fsdp=1")
