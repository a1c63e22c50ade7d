"""Quantised arrays under a fitted prior that is itself coded.

The prior of an array is either uniform or a zero-inflated two-sided geometric; the encoder
takes what is shorter. Its table is computed in integers, so it is the same on any machine.
"""

import functools
import itertools

import numpy as np

from sah_jax.coding import arithmetic, file, integers

_GRID = 32  # values of each of the two parameters of the geometric prior
_PRIORS = ("uniform", "geometric")


def levels(bits: int) -> int:
    """Returns the largest magnitude of a b-bit symbol: 2**(b-1) - 1 (one code is not used)."""
    return (1 << (bits - 1)) - 1


@functools.lru_cache(maxsize=4096)
def _geometric_table(top: int, zero: int, ratio: int) -> np.ndarray:
    """Cumulative table over -top .. top: P(0) ~ (zero+1)/33, magnitudes decay by (ratio+1)/33."""
    zero_weight = (zero + 1) << 25
    side, weight = [], 1 << 25
    for _ in range(top):
        side.append(weight)
        weight = weight * (ratio + 1) // (_GRID + 1)
    rest, scale = (_GRID - zero) << 25, max(2 * sum(side), 1)
    weights = [w * rest // scale for w in side]
    weights = weights[::-1] + [zero_weight] + weights
    # One unit each beforehand, so that every symbol can be coded.
    spare, total = arithmetic.TOTAL - len(weights), sum(weights)
    cumulative = [i + spare * c // total for i, c in enumerate(itertools.accumulate(weights, initial=0))]
    return np.array(cumulative, np.int64)


def _table(bits: int, prior: str, zero: int, ratio: int) -> np.ndarray:
    top = levels(bits)
    return file.uniform_table(2 * top + 1) if prior == "uniform" else _geometric_table(top, zero, ratio)


def write_array(writer: file.ProgramWriter, values: np.ndarray, bits: int) -> None:
    """Codes an integer array of any shape with |value| <= levels(bits), 2 <= bits <= 8.

    The shape is not coded; the reader knows it.
    """
    top, values = levels(bits), np.asarray(values)
    whole = np.issubdtype(values.dtype, np.integer)
    if not 2 <= bits <= 8 or not whole or np.any(np.abs(values.astype(np.int64)) > top):
        raise ValueError(f"values of a {bits}-bit array must be integers in -{top} .. {top}")
    symbols = values.astype(np.int64).reshape(-1) + top
    counts = np.bincount(symbols, minlength=2 * top + 1)
    cost = lambda choice: float(np.sum(counts * -np.log2(np.diff(_table(bits, *choice)))))
    fitted = min(itertools.product(["geometric"], range(_GRID), range(_GRID)), key=cost)
    uniform = ("uniform", 0, 0)
    chosen = fitted if cost(fitted) + 2 * np.log2(_GRID) < cost(uniform) else uniform
    with_parameters = chosen[0] == "geometric"
    integers.write_choice(writer, _PRIORS, chosen[0])
    for parameter in chosen[1:] if with_parameters else ():
        integers.write_choice(writer, range(_GRID), parameter)
    writer.put_table(_table(bits, *chosen), symbols)


def read_array(reader: file.ProgramReader, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Reads what `write_array` wrote, int32 of the given shape."""
    prior = integers.read_choice(reader, _PRIORS)
    parameters = [integers.read_choice(reader, range(_GRID)) for _ in range(2 * (prior == "geometric"))]
    table = _table(bits, prior, *(parameters or (0, 0)))
    count = int(np.prod(shape))
    return (reader.take_table(table, count) - levels(bits)).reshape(shape)
