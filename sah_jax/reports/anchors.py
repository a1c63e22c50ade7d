"""How a study's page refers to its rows, so that every number links to what bears it out."""

from collections.abc import Sequence
from typing import Any

from sah_jax.complexity import frontier
from sah_jax.reports import style, tables

Row = frontier.Row

VERIFIED, UNVERIFIED, REPORTED = "verified", "not verified", "reported"


class Anchors:
    """The places of rows: of a program its entry, of a reported row its line in the table of points."""

    def __init__(self, rows: Sequence[Row]):
        """Gives every row a place, by its position in `rows`."""
        # By identity, because two reported files may have the same name; that needs the rows to stay.
        self._rows = tuple(rows)
        self._ids = {
            id(row): f"row-{number}" if row.reported else f"program-{number}"
            for number, row in enumerate(self._rows, start=1)}

    def of(self, row: Row) -> str:
        """Returns the id of the element that tells of a row, which must be one of these very rows."""
        return self._ids[id(row)]

    def link(self, row: Row, bits: int) -> dict[str, Any]:
        """Returns what a table shows of a row, with its length as the table counts it."""
        return {
            "bits": bits, "family": tables.format_family(row),
            "color": style.family_style(row.experiment_name).color,
            "estimate": tables.format_estimate(row), "anchor": self.of(row), "status": status(row)}


def status(row: Row) -> str:
    """Returns whether a row is verified, is not, or is reported by another system."""
    return REPORTED if row.reported else VERIFIED if row.verified else UNVERIFIED
