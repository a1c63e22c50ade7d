"""The ledger: which part of a program every bit of its file belongs to.

Every symbol is booked under a field and, where it has one, a place on some axes: the layer of
a stacked array, the example and the position of a token. A view adds the symbols up by one
of them; whatever the view, its integers sum to the size of the file.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sah_jax.coding import arithmetic

TERMINATION = "termination"
"""The field of what the coder itself needs: the rounding to whole bytes."""

LAYER, EXAMPLE, TOKEN = "layer", "example", "token"
"""The axes a symbol can have a place on."""

TOKEN_ID = "token_id"
"""Not an axis: which token of the vocabulary a symbol is."""

VIEWS = ("field", "tensor", LAYER, EXAMPLE, TOKEN)
"""The ways to add a ledger up. A stacked array is a field; `tensor` takes its layers apart."""

Parts = Mapping[str, np.ndarray]
"""For n symbols, int [n] by axis: the place of each; also by `TOKEN_ID`."""


class Entry(NamedTuple):
    """One field of a program file.

    bits: its share of the file, an integer.
    ideal_bits: -log2 of the probability its symbols had before they became integers.
    """

    field: str
    bits: int
    ideal_bits: float


class Part(NamedTuple):
    """One part of a program file in a view; like an entry, and the token where it is one."""

    name: str
    bits: int
    ideal_bits: float
    token_id: int | None


class _Booking(NamedTuple):
    """The symbols of one call, with their costs, float64 [n]."""

    field: str
    bits: np.ndarray
    ideal_bits: np.ndarray
    parts: Parts


class Ledger:
    """Adds up coded symbols, and shares a file's bits out among fields, layers, examples or tokens."""

    def __init__(self):
        self._bookings: list[_Booking] = []

    def add(
        self, field: str, freqs: np.ndarray, ideal_bits: np.ndarray | None = None, parts: Parts | None = None
    ) -> None:
        """Books symbols under a field.

        Args:
          field: its name.
          freqs: uint32 [n].
          ideal_bits: [n], what they cost under the float probabilities that the frequencies
            were rounded from; without any, the frequencies are the probabilities.
          parts: where on which axes they are.
        """
        bits = arithmetic.TOTAL_BITS - np.log2(np.asarray(freqs, np.float64))
        ideal = bits if ideal_bits is None else np.asarray(ideal_bits, np.float64)
        self._bookings.append(_Booking(field, bits, ideal, parts or {}))

    def entries(self, file_bytes: int) -> list[Entry]:
        """Returns the fields in coding order, their bits summing to exactly 8 * file_bytes.

        A field gets the whole bits between the running totals before and after it; what
        the coder needed beyond the symbols' information is the last entry. (By luck a file
        can be some bits shorter than that information; the last fields then get fewer.)
        """
        fields = dict.fromkeys(booking.field for booking in self._bookings)
        # Exact sums, so that writer and reader, who book symbols in other portions, agree.
        sums = [self.costs(field) for field in fields]
        shares = _share([bits for bits, _ in sums], file_bytes)
        ideals = [*(ideal for _, ideal in sums), 0.0]
        return list(map(Entry, [*fields, TERMINATION], shares, ideals))

    def view(self, by: str, file_bytes: int) -> list[Part]:
        """Returns the file's parts by one of `VIEWS`, their bits summing to exactly 8 * file_bytes.

        Symbols that have no place on the view's axis are counted by field.

        Raises:
          ValueError: there is no such view.
        """
        if by not in VIEWS:
            raise ValueError(f"view is {by!r}, expected one of {', '.join(VIEWS)}")
        parts: dict[str, tuple[list, list, int | None]] = {}
        for booking in self._bookings:
            for name, bits, ideal_bits, token_id in _grouped(booking, by):
                part = parts.setdefault(name, ([], [], token_id))
                part[0].append(bits)
                part[1].append(ideal_bits)
        shares = _share([_exact_sum(bits) for bits, _, _ in parts.values()], file_bytes)
        found = [Part(name, share, _exact_sum(ideal_bits), token_id) for share, (
            name, (_, ideal_bits, token_id)) in zip(shares, parts.items(), strict=False)]
        return [*found, Part(TERMINATION, shares[-1], 0.0, None)]

    @property
    def views(self) -> tuple[str, ...]:
        """The views that tell more than the fields do."""
        axes = {axis for booking in self._bookings for axis in booking.parts}
        return tuple(view for view in VIEWS if view in axes or (view == "tensor" and LAYER in axes))

    @property
    def ideal_bits(self) -> float:
        """The program's length without rounding of any kind."""
        return _exact_sum(booking.ideal_bits for booking in self._bookings)

    def costs(self, field: str) -> tuple[float, float]:
        """Returns what the symbols of a field cost by their frequencies, and ideally, in bits."""
        bookings = [booking for booking in self._bookings if booking.field == field]
        return _exact_sum(b.bits for b in bookings), _exact_sum(b.ideal_bits for b in bookings)


def _grouped(booking: _Booking, by: str) -> Iterator[tuple[str, np.ndarray, np.ndarray, int | None]]:
    """Yields name, bits and ideal bits of the symbols, and token of the parts in a booking, in order."""
    axis = LAYER if by == "tensor" else by
    if axis not in booking.parts:
        yield booking.field, booking.bits, booking.ideal_bits, None
        return
    path = (EXAMPLE, TOKEN) if by == TOKEN and EXAMPLE in booking.parts else (axis,)
    places, first, group = np.unique(
        np.stack([booking.parts[name] for name in path], axis=-1), axis=0, return_index=True,
        return_inverse=True)
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    # Layers and examples run through the fields; tokens and tensors are of one field.
    prefix = f"{booking.field}, " if by == "tensor" or path == (TOKEN,) else ""
    with_token = by == TOKEN and TOKEN_ID in booking.parts
    for index in np.argsort(first):
        name = prefix + " ".join(f"{axis} {place}" for axis, place in zip(path, places[index], strict=True))
        token_id = int(booking.parts[TOKEN_ID][first[index]]) if with_token else None
        yield name, booking.bits[members[index]], booking.ideal_bits[members[index]], token_id


def _share(sums: Sequence[float], file_bytes: int) -> list[int]:
    """Returns the whole bits of each part and, last, of the termination."""
    shares, before, given = [], 0.0, 0
    for bits in sums:
        before += bits
        until = min(math.floor(before), 8 * file_bytes)
        shares.append(until - given)
        given = until
    return [*shares, 8 * file_bytes - given]


def _exact_sum(parts: Iterable[np.ndarray]) -> float:
    return math.fsum(itertools.chain.from_iterable(part.tolist() for part in parts))
