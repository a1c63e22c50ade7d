"""The sizes of the reference's inference scripts, for curves that are pooled with its own.

A script turns a program and the base model into answers; the paper adds its bits to a program's (the
reference's README, "Script Sizes").
"""

_LORA_BITS = 2832

# What the reference does not have counts as LoRA does if it is fitted alike, else none.
_BITS = {
    "baseline": 2952, "urial": 3704, "icl": 3704, "online": 5704, "bayesian_bits": 8376,
    **dict.fromkeys(("lora", "vector", "prefix", "soft_prompt", "norm_gains"), _LORA_BITS)}


def bits(family: str, unchanged: bool = False) -> int:
    """Returns the bits of the scripts that run programs of a family, or of a pair such as "icl+vector".

    The reference's script for LoRA is shorter than that for the base model by itself. A program that leaves
    the base as it is, say a LoRA of zeros, would so be counted with fewer bits than none at all, for the same
    answers; it is counted with the baseline's script at least.

    Args:
      family: the family's name, or several with + between them.
      unchanged: whether the program leaves the base model as it is.
    """
    own = sum(_BITS.get(part, 0) for part in family.split("+"))
    return max(own, _BITS["baseline"]) if unchanged else own
