"""`urial`: a hand-written prompt with worked examples (Lin et al. 2023, arXiv 2312.01552)."""

from sah_jax.programs import prompt


class Urial(prompt.PromptFamily):
    """The task's written prompt, coded under the base model."""

    name = "urial"
    reads_examples = False
    Setting = prompt.NoSetting

    def fit(self, setting, base, task, seed, report, checkpoints=None) -> list[int]:
        """See `Family.fit`."""
        return base.encode(task.written_prompt)
