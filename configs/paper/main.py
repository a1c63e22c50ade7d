"""The paper's SmolLM3 3B and Olmo3 7B at the end of pre-training: all views but whole-model fine-tuning.

Run:    sah study --config=configs/paper/main.py:gsm8k --workdir=out/paper
        and :flores and :ifeval; one workdir takes all of configs/paper. --list says what there is to do.
Paper:  a frontier is chosen on held-out items; --config.selection=test chooses on the test set, as the paper
        does, and :gsm8k:reference scores by its rules to the letter.
Where:  four v5p chips (docs/tpu.md) or four GPUs of 80 GB, each with the whole model, so that coding
        gathers no weights for a token. On one: --config.mesh=data=1.
Needs:  the hub; for ifeval training conversations, see docs/tasks.md.
"""

import ml_collections

from sah_jax.studies import paper


def get_config(task: str = "gsm8k") -> ml_collections.ConfigDict:
    scale = paper.scale_of(task)
    families = paper.with_phases(paper.main_families(scale), scale)
    return paper.study(task, paper.PRETRAINED, families, mesh="data=4,fsdp=1")
