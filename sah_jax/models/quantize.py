"""Quantised base weights, so that a large model fits a small slice.

A projection's `kernel` [..., I, O] becomes `codes` and `scales`; embeddings, norms and biases stay
as they are. Quantising is deterministic and done once, on the host, matrix by matrix.

  int8  codes int8 [I, O], one float32 scale per output [1, O] (absolute maximum / 127).
  nf4   codes uint8 [I/2, O], two of four bits each; one bfloat16 scale per block of up to 64
        inputs of an output [I/block, O] (Dettmers et al. 2023, "QLoRA", without its second
        quantisation of the scales): 4.25 bits a weight.

Shape suffixes: I input features, O output features.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from sah_jax import errors

SCHEMES = ("int8", "nf4")

_BLOCK = 64

# The quantiles of a normal distribution, scaled to [-1, 1], with an exact zero (QLoRA, appendix E).
_NF4 = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0], np.float32)


def check_scheme(scheme: str) -> None:
    """Raises a `UserError` unless the scheme is known."""
    if scheme not in SCHEMES:
        raise errors.UserError(
            f"quantization is {scheme!r}, expected one of {', '.join(SCHEMES)}; change it.")


def block_size(inputs: int) -> int:
    """Returns how many inputs share an nf4 scale: the largest power of two up to 64 that divides them.

    Raises:
      UserError: the inputs are odd.
    """
    block = math.gcd(inputs, _BLOCK)
    if block == 1:
        raise errors.UserError(
            f"a projection has {inputs} input features, expected an even number for nf4; use int8.")
    return block


def quantize(kernel_IO: np.ndarray, scheme: str) -> dict[str, np.ndarray]:
    """Returns `codes` and `scales` of one matrix.

    Raises:
      UserError: the scheme is unknown, a weight is not finite, or `block_size` refuses the shape.
    """
    check_scheme(scheme)
    kernel_IO = np.asarray(kernel_IO, np.float32)
    if not np.all(np.isfinite(kernel_IO)):
        raise errors.UserError(
            "a weight is not a finite number, expected finite weights; download the model again.")
    return _int8(kernel_IO) if scheme == "int8" else _nf4(kernel_IO)


def _int8(kernel_IO):
    scales_1O = np.max(np.abs(kernel_IO), axis=0, keepdims=True) / np.float32(127)
    codes_IO = np.rint(kernel_IO / np.where(scales_1O > 0, scales_1O, 1)).astype(np.int8)
    return {"codes": codes_IO, "scales": scales_1O}


def _nf4(kernel_IO):
    inputs, outputs = kernel_IO.shape
    blocks = kernel_IO.reshape(-1, block_size(inputs), outputs)
    largest = np.max(np.abs(blocks), axis=1, keepdims=True)
    # Rounded first, so that each code is the nearest under the scale a reader will use.
    scales = largest.astype(ml_dtypes.bfloat16)
    safe = np.where(scales > 0, scales, 1).astype(np.float32)
    middles = (_NF4[1:] + _NF4[:-1]) / 2
    codes_IO = np.searchsorted(middles, blocks / safe).astype(np.uint8).reshape(inputs, outputs)
    return {"codes": codes_IO[0::2] | codes_IO[1::2] << 4, "scales": scales[:, 0]}


def project(x_MI: jax.Array, codes: jax.Array, scales: jax.Array) -> jax.Array:
    """Returns x @ kernel [M, O] in the dtype of x.

    Args:
      x_MI: activations.
      codes, scales: as `quantize` gives them; the dtype of the codes tells the scheme.
    """
    if codes.dtype == jnp.int8:
        return (x_MI @ codes.astype(x_MI.dtype)) * scales.astype(x_MI.dtype)
    return x_MI @ dequantize(codes, scales).astype(x_MI.dtype)


def dequantize(codes: jax.Array, scales: jax.Array) -> jax.Array:
    """Returns the float32 kernel [I, O] that codes and scales stand for."""
    scales = scales.astype(jnp.float32)
    if codes.dtype == jnp.int8:
        return codes.astype(jnp.float32) * scales
    inputs, outputs = 2 * codes.shape[0], codes.shape[1]
    codes_IO = jnp.stack([codes & 15, codes >> 4], axis=1).reshape(inputs, outputs)
    values = jnp.asarray(_NF4)[codes_IO].reshape(scales.shape[0], -1, outputs)
    return (values * scales[:, None]).reshape(inputs, outputs)


def quantize_tree(params: dict, scheme: str) -> dict:
    """Returns a tree of weights, kernels stacked over layers, with every kernel quantised."""
    check_scheme(scheme)

    def quantised(kernel_JIO):
        layers = [quantize(np.asarray(kernel_IO), scheme) for kernel_IO in kernel_JIO]
        return {name: np.stack([layer[name] for layer in layers]) for name in layers[0]}

    return jax.tree.map(jnp.asarray, _with_kernels(params, quantised))


def abstract(params: dict, scheme: str) -> dict:
    """Returns a tree of `jax.ShapeDtypeStruct`s with every kernel replaced by codes and scales.

    Args:
      params: the float tree as `jax.ShapeDtypeStruct`s, kernels stacked over layers [J, I, O].
      scheme: of `SCHEMES`.
    """
    check_scheme(scheme)
    return _with_kernels(params, lambda kernel: _abstract_kernel(kernel.shape, scheme))


def _with_kernels(node: Any, change: Callable[[Any], dict]) -> Any:
    """Returns a tree with every `kernel` replaced by the leaves that `change` makes of it."""
    if not isinstance(node, dict):
        return node
    made = {}
    for name, child in node.items():
        made |= change(child) if name == "kernel" else {name: _with_kernels(child, change)}
    return made


def _abstract_kernel(shape: tuple[int, ...], scheme: str) -> dict:
    *stack, inputs, outputs = shape
    if scheme == "int8":
        return {"codes": jax.ShapeDtypeStruct(shape, jnp.int8),
                "scales": jax.ShapeDtypeStruct((*stack, 1, outputs), jnp.float32)}
    return {"codes": jax.ShapeDtypeStruct((*stack, inputs // 2, outputs), jnp.uint8),
            "scales": jax.ShapeDtypeStruct((*stack, inputs // block_size(inputs), outputs), jnp.bfloat16)}
