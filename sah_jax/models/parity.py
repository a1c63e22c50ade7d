"""How far our logits are from those of transformers on the same weights, as a record."""

import importlib
import importlib.metadata
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from sah_jax.models import base as base_lib
from sah_jax.models import sources, stores

PROMPT = "Question: Tom has 12 pears. He buys 9 more. How many pears does Tom have now?\nAnswer: 21"
"""What the logits are compared on, after the start token."""


def compare(base: base_lib.BaseModel, found: sources.Source, say: Callable[[str], None]) -> dict[str, Any]:
    """Compares a model's logits with those of transformers, both computed in float32.

    The models differ by what conversion to another dtype rounds, if it was asked for.

    Args:
      base: our model, computing in float32.
      found: the folder that transformers reads.
      say: gets a line before the work begins.

    Returns:
      A JSON object. Where transformers could compare: `compared` true, `num_tokens` of the prompt,
      `max_abs_logit_difference`, `kl_nats` (the largest Kullback-Leibler divergence of a position,
      from transformers to us) and `greedy_tokens_equal`, and the `versions` of the libraries. Else
      `compared` false and the `reason`.
    """
    tokens = [base.spec.start_token, *base.encode(PROMPT)]
    tokens_1L = np.array([tokens[: base.spec.max_positions]], np.int32)
    try:
        transformers, torch = map(importlib.import_module, ("transformers", "torch"))
    except ImportError as error:
        return {"compared": False, "reason": f"{error.name} is not installed"}
    if found.seed is not None or not any(
            (found.folder / name).is_file() for name in (stores.WEIGHTS_FILE, stores.INDEX_FILE)):
        return {"compared": False, "reason": "the source has no safetensors for transformers to read"}
    say("comparing with transformers")
    try:
        reference = transformers.AutoModelForCausalLM.from_pretrained(
            found.folder, dtype=torch.float32, local_files_only=True).eval()
        with torch.inference_mode():
            expected_LV = reference(torch.tensor(tokens_1L, dtype=torch.long)).logits[0].double().numpy()
    except Exception as error:  # a library of many authors, which may raise anything
        said = " ".join(str(error).split())
        return {"compared": False, "reason": f"transformers cannot read it ({said})"}
    logits_LV = np.asarray(
        jax.jit(base.decoder.apply)({"params": base.params}, tokens_1L)[0], np.float64)
    log_p_LV, log_q_LV = _log_softmax(expected_LV), _log_softmax(logits_LV)
    return {
        "compared": True,
        "num_tokens": tokens_1L.size,
        "max_abs_logit_difference": float(np.abs(logits_LV - expected_LV).max()),
        "kl_nats": float((np.exp(log_p_LV) * (log_p_LV - log_q_LV)).sum(-1).max()),
        "greedy_tokens_equal": bool((logits_LV.argmax(-1) == expected_LV.argmax(-1)).all()),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")}}


def _log_softmax(logits_LV: np.ndarray) -> np.ndarray:
    shifted_LV = logits_LV - logits_LV.max(-1, keepdims=True)
    return shifted_LV - np.log(np.exp(shifted_LV).sum(-1, keepdims=True))
