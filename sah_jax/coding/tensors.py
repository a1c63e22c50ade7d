"""Quantised arrays under the prior that makes them shortest.

The priors are uniform, all zeros, the two fitted ones of `priors`, and the two of `adaptive`.
The encoder codes which one it took and, of a fitted one, the parameters.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sah_jax.coding import adaptive, arithmetic, file, integers, ledger, priors

HEADER_BITS = 3
"""An array of n values costs at most n * bits + HEADER_BITS bits, whatever they are.

Which prior it has costs log2 6 bits, and the uniform one at most `bits` a value. What is left
of the 3 bits is more than the coder's rounding of two million values.
"""

_ADAPTIVE = ("adaptive", "local")
_PRIORS = ("uniform", "zeros", *priors.FITTED, *_ADAPTIVE)

_RAW_BITS = 8  # raw digits of one symbol


class _Choice(NamedTuple):
    """bits: of the whole array but the choice; parameters: (zero, scale) of a fitted prior."""

    bits: float
    prior: str
    parameters: tuple[int, ...] = ()


def _table(prior: str, bits: int, parameters: tuple[int, ...]) -> np.ndarray:
    return priors.fitted(prior, bits, *parameters) if parameters else priors.uniform(bits)


def write_array(
    writer: file.ProgramWriter, values: np.ndarray, bits: int, leading: str | None = None
) -> None:
    """Codes an integer array of any shape with |value| <= levels(bits), in the fewest bits.

    Args:
      writer: takes the symbols.
      values: the array. The shape is not coded; the reader knows it.
      bits: 2 to 16; the reader knows it too.
      leading: for the ledger, what the first axis counts, such as `ledger.LAYER`.

    Raises:
      ValueError: the array or its width is not like that.
    """
    values = np.asarray(values)
    if bits not in priors.BITS or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"values are {values.dtype} of {bits} bits, expected integers of 2 to 16 bits")
    top = priors.levels(bits)
    if np.any(values > top) or np.any(values < -top):
        raise ValueError(f"values of a {bits}-bit array must be in -{top} .. {top}")
    if not values.size:
        return
    parts_of = _parts_of(values.shape, leading)
    values = values.astype(np.int64).reshape(-1)
    if not values.any():
        integers.write_choice(writer, _PRIORS, "zeros")
        return
    index, places = priors.split(np.abs(values), bits)
    raw = priors.buckets(bits).digits
    symbols = np.where(values < 0, -index, index) + len(raw)
    counts = np.bincount(symbols, minlength=2 * len(raw) + 1)
    learned = {prior: adaptive.decisions(values, bits, prior == "local") for prior in _ADAPTIVE}
    chosen = min(_choices(counts, bits) + [_Choice(_bits(found.freqs), p) for p, found in learned.items()])
    integers.write_choice(writer, _PRIORS, chosen.prior)
    if chosen.prior in learned:
        found = learned[chosen.prior]
        writer.put(found.starts, found.freqs, parts=parts_of(found.places))
        return
    for parameter, options in zip(chosen.parameters, _options(chosen.prior, bits), strict=True):
        integers.write_choice(writer, options, parameter)
    writer.put_table(
        _table(chosen.prior, bits, chosen.parameters), symbols, parts_of(np.arange(len(values))))
    digits = np.where(index, raw[index - 1], 0)
    for number, shift, width in _raw_parts(bits):
        here = np.flatnonzero(digits == number)
        part = places[here] >> shift & (1 << width) - 1
        writer.put_table(file.uniform_table(1 << width), part, parts_of(here))


def read_array(
    reader: file.ProgramReader, shape: tuple[int, ...], bits: int, leading: str | None = None
) -> np.ndarray:
    """Reads what `write_array` wrote, int32 of the given shape; nothing larger is allocated."""
    count = math.prod(shape)
    if not count:
        return np.zeros(shape, np.int32)
    prior = integers.read_choice(reader, _PRIORS)
    if prior == "zeros":
        return np.zeros(shape, np.int32)
    parts_of = _parts_of(shape, leading)
    if prior in _ADAPTIVE:
        return adaptive.read(reader, count, bits, prior == "local", parts_of).reshape(shape)
    parameters = tuple(integers.read_choice(reader, options) for options in _options(prior, bits))
    firsts, raw = priors.buckets(bits)
    table = _table(prior, bits, parameters)
    symbols = reader.take_table(table, count, parts_of(np.arange(count))) - len(raw)
    index = np.abs(symbols)
    magnitudes = np.concatenate([[0], firsts])[index]
    digits = np.concatenate([[0], raw])[index]
    for number, shift, width in _raw_parts(bits):
        here = np.flatnonzero(digits == number)
        part = reader.take_table(file.uniform_table(1 << width), len(here), parts_of(here))
        magnitudes[here] += part.astype(np.int64) << shift
    return (np.sign(symbols) * magnitudes).astype(np.int32).reshape(shape)


def _parts_of(shape: tuple[int, ...], leading: str | None) -> Callable[[np.ndarray], ledger.Parts]:
    """Returns what maps places in the flat array to what the ledger books them under."""
    if leading is None:
        return lambda places: {}
    size = math.prod(shape[1:])
    return lambda places: {leading: places // size}


def _options(prior: str, bits: int) -> tuple[range, ...]:
    """Returns what each parameter of a prior can be."""
    return (priors.ZEROS, range(priors.num_scales(bits))) if prior in priors.FITTED else ()


def _raw_parts(bits: int) -> list[tuple[int, int, int]]:
    """Returns (digits of the bucket, place of the part's lowest, its width) for each part of raw digits."""
    most = int(priors.buckets(bits).digits[-1])
    return [
        (number, shift, min(_RAW_BITS, number - shift))
        for number in range(1, most + 1) for shift in range(0, number, _RAW_BITS)]


def _bits(freqs: np.ndarray) -> float:
    return float(np.sum(arithmetic.TOTAL_BITS - np.log2(freqs)))


def _choices(counts: np.ndarray, bits: int) -> list[_Choice]:
    """Returns the priors with a table and what they cost an array of symbols of the given counts."""
    half = len(counts) // 2
    folded = np.concatenate([counts[half : half + 1], counts[half + 1 :] + counts[:half][::-1]])
    raw_bits = float(folded[1:] @ priors.buckets(bits).digits)
    choices = []
    for prior, parameters in [
        ("uniform", ()), *((prior, priors.fit(prior, bits, folded)) for prior in priors.FITTED)]:
        freqs = np.diff(_table(prior, bits, parameters))
        header_bits = sum(math.log2(len(options)) for options in _options(prior, bits))
        cost = header_bits + raw_bits + float(counts @ (arithmetic.TOTAL_BITS - np.log2(freqs)))
        choices.append(_Choice(cost, prior, parameters))
    return choices
