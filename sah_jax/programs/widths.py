"""Tensors whose layers have bit widths of their own, on the ladder of Bayesian Bits.

With s_2 the step at 2 bits, s_4 = s_2 / 5, s_8 = s_4 / 17, s_16 = s_8 / 257 and s_32 = s_16 / 65537, so a
value of b bits is an integer of b bits times s_b (van Baalen et al. 2020, arXiv 2005.07093).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax.coding import file, integers, tensors
from sah_jax.programs import latents

WIDTHS = (2, 4, 8, 16, 32)
"""The ladder."""

_DIVISORS = (1, 5, 17, 257, 65537)  # of each step, by the one before
_CODED_WIDTHS = (0, *WIDTHS)  # 0: every number is zero

# What a value can be, in steps at 2 bits: ties, which would round beyond the ladder, are not reached.
_LARGEST = 1.5 * (1 - 2.0**-20)


class Tensor(NamedTuple):
    """A tensor of all layers as the file holds it.

    symbols: int64 [J, ...]; a layer's are multiples of the step of its width.
    widths: int [J], of `_CODED_WIDTHS`.
    steps: float32 [J], s_2, with the digits that bfloat16 has.
    """

    symbols: np.ndarray
    widths: np.ndarray
    steps: np.ndarray


def step_of(s2: Any, width: int) -> Any:
    """Returns the ladder's step at a width, from the one at 2 bits."""
    for divisor in _DIVISORS[1 : WIDTHS.index(width) + 1]:
        s2 = s2 / divisor
    return s2


def ladder(x: jax.Array, s2: jax.Array, gates: jax.Array) -> jax.Array:
    """Returns x quantised, straight through.

    Args:
      x: float32 [J, ...].
      s2: float32 [J], the steps at 2 bits.
      gates: float32 [J, 4], whether the residual at 4, 8, 16 and 32 bits counts; each only with those before.
    """
    wide = lambda values: values.reshape(-1, *(1,) * (x.ndim - 1))
    step = wide(jnp.abs(s2))
    x = jnp.clip(x, -_LARGEST * step, _LARGEST * step)
    total = step * latents.rounded(x / step)
    gate = jnp.ones_like(step)
    for number, divisor in enumerate(_DIVISORS[1:]):
        step, gate = step / divisor, gate * wide(gates[:, number])
        total = total + gate * step * latents.rounded((x - total) / step)
    return total


def quantise(x: np.ndarray, steps: np.ndarray, widths: np.ndarray) -> Tensor:
    """Returns the integers of a tensor [J, ...], a layer at a time: clipped to what its width can hold."""
    symbols = np.zeros(x.shape, np.int64)
    for layer, (step, width) in enumerate(zip(steps.astype(np.float64), widths, strict=True)):
        if not step:
            continue
        top, total = (1 << (width - 1)) - 1, np.zeros(x.shape[1:])
        value = np.clip(x[layer].astype(np.float64), -_LARGEST * step, _LARGEST * step)
        for rung in WIDTHS[: WIDTHS.index(width) + 1]:
            fine = step_of(step, rung)
            total += fine * np.round((value - total) / fine)
        symbols[layer] = np.clip(np.round(total / step_of(step, width)), -top, top)
    # A layer of zeros needs neither step nor width.
    empty = ~np.any(symbols.reshape(len(symbols), -1), axis=1)
    return Tensor(symbols, np.where(empty, 0, widths), np.where(empty, 0, steps).astype(np.float32))


def values(tensor: Tensor) -> np.ndarray:
    """Returns the float32 values of a tensor: products of numpy, rounded once, the same on any machine."""
    fine = np.array([step_of(np.float64(step), width or WIDTHS[0])
                     for step, width in zip(tensor.steps, tensor.widths, strict=True)])
    return (tensor.symbols * fine.reshape(-1, *(1,) * (tensor.symbols.ndim - 1))).astype(np.float32)


def write(writer: file.ProgramWriter, tensor: Tensor, axis: int, ranks: np.ndarray) -> None:
    """Codes a tensor.

    Args:
      writer: takes the symbols.
      tensor: what to code.
      axis: of a layer's part, which one counts ranks.
      ranks: int [J], how many of them each layer has; the reader knows them, and the others are not coded.
    """
    for layer, (width, step) in enumerate(zip(tensor.widths, tensor.steps, strict=True)):
        integers.write_choice(writer, _CODED_WIDTHS, int(width))
        if not width:
            continue
        latents.write_bfloat16(writer, step[None])
        some = np.take(tensor.symbols[layer], range(ranks[layer]), axis)
        if width <= 16:
            tensors.write_array(writer, some, int(width))
        else:
            _write_words(writer, some)


def read(reader: file.ProgramReader, shape: tuple[int, ...], axis: int, ranks: np.ndarray) -> Tensor:
    """Reads what `write` wrote.

    Raises:
      UserError: the file is too small for what it claims.
    """
    symbols = np.zeros(shape, np.int64)
    widths, steps = np.zeros(shape[0], np.int64), np.zeros(shape[0], np.float32)
    for layer, rank in enumerate(ranks):
        widths[layer] = width = integers.read_choice(reader, _CODED_WIDTHS)
        if not width:
            continue
        steps[layer] = latents.read_bfloat16(reader, (1,))[0]
        kept = (*shape[1 : axis + 1], int(rank), *shape[axis + 2 :])
        some = tensors.read_array(reader, kept, width) if width <= 16 else _read_words(reader, kept)
        symbols[layer][(slice(None),) * axis + (slice(int(rank)),)] = some
    return Tensor(symbols, widths, steps)


def _write_words(writer: file.ProgramWriter, values: np.ndarray) -> None:
    words = values.reshape(-1) & 0xFFFFFFFF
    for shift in (24, 16, 8, 0):
        writer.put_table(file.uniform_table(256), words >> shift & 255)


def _read_words(reader: file.ProgramReader, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape))
    if 4 * count > reader.size:
        raise reader.invalid(f"it claims {count} numbers of 32 bits")
    words = np.zeros(count, np.int64)
    for shift in (24, 16, 8, 0):
        words |= reader.take_table(file.uniform_table(256), count).astype(np.int64) << shift
    return np.where(words >= 1 << 31, words - (1 << 32), words).reshape(shape)


