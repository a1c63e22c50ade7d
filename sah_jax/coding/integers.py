"""Universal codes: counts, choices, raw bits and decimals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sah_jax.coding import arithmetic, file

_MAX_EXPONENT = 63

# P(exponent >= k) = 1 / (k + 1): with the mantissa's raw bits, an integer n costs
# log2 n + about 2 log2 log2 n bits, whatever its size (Rissanen 1983; Elias 1975).
_EXPONENT_TABLE = np.array(
    [arithmetic.TOTAL - arithmetic.TOTAL // (k + 1) for k in range(_MAX_EXPONENT + 1)] + [arithmetic.TOTAL],
    np.int64)

_MANTISSAS = 99
_TENTHS = 16


def write_choice(writer: file.ProgramWriter, options: Sequence[Any], value: Any) -> None:
    """Codes which of at most 256 equally likely options `value` is.

    Raises:
      ValueError: `value` is not an option, or there are too many options.
    """
    if len(options) > file.TABLE_SIZE:
        raise ValueError(f"{len(options)} options are more than the {file.TABLE_SIZE} of a table")
    writer.put_table(file.uniform_table(len(options)), [list(options).index(value)])


def read_choice(reader: file.ProgramReader, options: Sequence[Any]) -> Any:
    """Reads what `write_choice` wrote."""
    return options[int(reader.take_table(file.uniform_table(len(options)), 1)[0])]


def write_bits(writer: file.ProgramWriter, value: int, bits: int) -> None:
    """Codes 0 <= value < 2**bits in exactly `bits` bits."""
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{value} does not fit in {bits} bits")
    while bits:
        low = min(bits, 8)
        writer.put_table(file.uniform_table(1 << low), [value & ((1 << low) - 1)])
        value, bits = value >> low, bits - low


def read_bits(reader: file.ProgramReader, bits: int) -> int:
    """Reads what `write_bits` wrote."""
    value, shift = 0, 0
    while bits:
        low = min(bits, 8)
        value |= int(reader.take_table(file.uniform_table(1 << low), 1)[0]) << shift
        shift, bits = shift + low, bits - low
    return value


def write_count(writer: file.ProgramWriter, value: int) -> None:
    """Codes an integer from 0 to 2**63 - 2 by its number of binary digits, then the digits."""
    exponent = (value + 1).bit_length() - 1
    if value < 0 or exponent >= _MAX_EXPONENT:
        raise ValueError(f"{value} is not a count from 0 to 2**63 - 2")
    writer.put_table(_EXPONENT_TABLE, [exponent])
    write_bits(writer, value + 1 - (1 << exponent), exponent)


def read_count(reader: file.ProgramReader, what: str, limit: int) -> int:
    """Reads what `write_count` wrote.

    Raises:
      UserError: the count is above `limit`; it says `what` was counted.
    """
    exponent = int(reader.take_table(_EXPONENT_TABLE, 1)[0])
    value = (1 << exponent) - 1 + read_bits(reader, exponent)
    if value > limit:
        raise reader.invalid(f"it claims {value} {what}, at most {limit} are possible")
    return value


def write_decimal(writer: file.ProgramWriter, value: float) -> None:
    """Codes a positive decimal m * 10**-e with 1 <= m <= 99, 0 <= e < 16, exactly.

    Raises:
      ValueError: `value` has no such form.
    """
    for exponent in range(_TENTHS) if 0 < value <= _MANTISSAS else ():
        mantissa = round(value * 10**exponent)
        if 1 <= mantissa <= _MANTISSAS and float(f"{mantissa}e-{exponent}") == value:
            write_choice(writer, range(_TENTHS), exponent)
            write_choice(writer, range(1, _MANTISSAS + 1), mantissa)
            return
    raise ValueError(f"{value} is not of the form m * 10**-e with 1 <= m <= 99 and 0 <= e < 16")


def read_decimal(reader: file.ProgramReader) -> float:
    """Reads what `write_decimal` wrote."""
    exponent = read_choice(reader, range(_TENTHS))
    return float(f"{read_choice(reader, range(1, _MANTISSAS + 1))}e-{exponent}")
