"""The program file: one stream of symbols, written and read field by field.

A file is data. Reading it decodes integers and nothing else; every count is checked against
a limit before anything of that size is allocated.
"""

import contextlib
from collections.abc import Iterator

import jax
import numpy as np

from sah_jax import coding, errors
from sah_jax.coding import arithmetic
from sah_jax.coding import ledger as ledger_lib

TABLE_SIZE = 256
"""The most symbols of a table; all are padded to it, so that one kernel serves them."""

_CHUNK = 4096  # symbols decoded by one call


def uniform_table(size: int) -> np.ndarray:
    """Returns the cumulative table, int64 [size + 1], of `size` equally likely symbols."""
    return np.arange(size + 1, dtype=np.int64) * arithmetic.TOTAL // size


class _Fields:
    """The field that symbols are booked under; shared by writer and reader."""

    def __init__(self):
        self.ledger = ledger_lib.Ledger()
        self._field = "header"

    @contextlib.contextmanager
    def field(self, name: str) -> Iterator[None]:
        """Books what is coded inside the block under `name`."""
        outer, self._field = self._field, name
        try:
            yield
        finally:
            self._field = outer

    def _book(self, freqs: np.ndarray, ideal_bits: np.ndarray | None, parts: ledger_lib.Parts | None) -> None:
        self.ledger.add(self._field, freqs, ideal_bits, parts)


class ProgramWriter(_Fields):
    """Collects a program's symbols; `close` turns them into bytes."""

    def __init__(self):
        super().__init__()
        self._starts: list[np.ndarray] = []
        self._freqs: list[np.ndarray] = []

    def put(
        self, starts: np.ndarray, freqs: np.ndarray, ideal_bits: np.ndarray | None = None,
        parts: ledger_lib.Parts | None = None,
    ) -> None:
        """Appends symbols by their intervals, uint32 [n]; see `Ledger.add` for the rest."""
        if not len(freqs):
            return
        self._starts.append(np.asarray(starts, np.uint32))
        self._freqs.append(np.asarray(freqs, np.uint32))
        self._book(freqs, ideal_bits, parts)

    def put_table(
        self, table: np.ndarray, symbols: np.ndarray, parts: ledger_lib.Parts | None = None
    ) -> None:
        """Appends symbols [n] that share one cumulative table [S + 1]."""
        symbols = np.asarray(symbols, np.int64).reshape(-1)
        self.put(table[symbols], table[symbols + 1] - table[symbols], parts=parts)

    def close(self) -> bytes:
        """Returns the file."""
        return arithmetic.encode(
            np.concatenate([np.zeros(0, np.uint32), *self._starts]),
            np.concatenate([np.zeros(0, np.uint32), *self._freqs]))


class ProgramReader(_Fields):
    """Takes a program's symbols from the bytes of a file, in the order they were put.

    Raises:
      UserError: the file is empty or oversized.
    """

    def __init__(self, data: bytes, name: str = "program"):
        super().__init__()
        if not 0 < len(data) <= coding.MAX_FILE_BYTES:
            raise errors.UserError(
                f"{name}: has {len(data)} bytes, expected 1 to {coding.MAX_FILE_BYTES}; "
                "give a program file written by sah_jax.")
        self._name = name
        self._data = np.frombuffer(data, np.uint8)
        self._cursor = 0
        self.commit(arithmetic.begin(self.window(arithmetic.HEAD_BYTES)))

    def window(self, symbols: int) -> np.ndarray:
        """Returns the stream's next bytes, enough for `symbols` symbols, zeros after its end."""
        size = symbols * arithmetic.MAX_SYMBOL_BYTES
        part = self._data[self._cursor : self._cursor + size]
        return np.pad(part, (0, size - len(part)))

    @property
    def size(self) -> int:
        """The number of bytes in the file: what a claim of its contents is held against."""
        return len(self._data)

    @property
    def state(self) -> arithmetic.State:
        """The coder's state; `taken` is 0, at the start of the next `window`."""
        return self._state

    def commit(
        self, state: arithmetic.State, freqs: np.ndarray = (), ideal_bits: np.ndarray | None = None,
        parts: ledger_lib.Parts | None = None,
    ) -> None:
        """Moves to the state after symbols were decoded; see `Ledger.add` for the rest."""
        state = jax.device_get(state)
        self._cursor += int(state.taken)
        self._state = arithmetic.State(state.offset, state.range, np.int32(0))
        # Zeros stand in for what lies beyond a file's end, but only so many of them.
        if self._cursor > len(self._data) + arithmetic.HEAD_BYTES:
            raise self.invalid(f"its {len(self._data)} bytes end before the program does")
        if len(freqs):
            self._book(np.asarray(freqs), ideal_bits, parts)

    def take_table(
        self, table: np.ndarray, count: int, parts: ledger_lib.Parts | None = None
    ) -> np.ndarray:
        """Decodes `count` symbols, int32, that share one cumulative table of at most 256 symbols."""
        padded = np.full(TABLE_SIZE + 1, arithmetic.TOTAL, np.uint32)
        padded[: len(table)] = table
        chunks = []
        for first in range(0, count, _CHUNK):
            number = min(_CHUNK, count - first)
            # Two kernel shapes: a header's single symbols and an array's thousands.
            window = self.window(16 if number <= 16 else _CHUNK)
            state, symbols = arithmetic.decode_table(self._state, padded, np.int32(number), window)
            symbols = np.asarray(symbols)[:number]
            here = {axis: places[first : first + number] for axis, places in (parts or {}).items()}
            self.commit(state, np.asarray(table)[symbols + 1] - np.asarray(table)[symbols], parts=here)
            chunks.append(symbols)
        return np.concatenate(chunks) if chunks else np.zeros(0, np.int32)

    def invalid(self, what: str) -> errors.UserError:
        """Returns the error for content that no writer produces; the caller raises it."""
        return errors.UserError(
            f"{self._name}: {what}; the file is truncated or altered, or was made with another "
            "base model or numerics profile.")

    def finish(self) -> None:
        """Checks that the stream ends here, as every stream does that was decoded as it was coded."""
        if not arithmetic.ends_here(self._state, self._cursor, self._data):
            raise self.invalid(
                f"its {len(self._data)} bytes are not where the program they begin would end")
