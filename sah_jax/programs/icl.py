"""`icl`: training examples in the context (Brown et al. 2020)."""

import dataclasses

from sah_jax import errors
from sah_jax.programs import prompt

# A prompt of the task is taken to need no more than this part of the model's positions.
_PROMPT_SHARE = 4


@dataclasses.dataclass(frozen=True)
class IclSetting:
    """num_examples: how many training examples the context holds."""

    num_examples: int


class Icl(prompt.PromptFamily):
    """The first examples of the training split, in the order that the seed gives them.

    So the context of k + 1 examples grows from that of k, as in the reference.
    """

    name = "icl"
    reads_examples = True
    Setting = IclSetting

    def fit(self, setting, base, task, seed, report, checkpoints=None) -> list[int]:
        """See `Family.fit`."""
        if setting.num_examples < 1:
            raise errors.UserError(
                f"num_examples is {setting.num_examples}, expected at least 1; without examples it is the "
                "baseline.")
        examples = task.examples("train", setting.num_examples, seed)
        context, fitting = [], 0
        limit = base.spec.max_positions * (_PROMPT_SHARE - 1) // _PROMPT_SHARE - task.max_new_tokens
        for example in examples:
            context += base.encode(example.prompt + example.answer + task.demonstration_separator)
            fitting += len(context) <= limit
        if setting.num_examples != fitting:
            raise errors.UserError(
                f"num_examples is {setting.num_examples}, {fitting} fit beside a prompt and its answer in "
                f"the model's {base.spec.max_positions} positions; choose 1 to {max(fitting, 1)}.")
        return context
