"""Units of work, as a worker sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.base.units import Row


class Unit:
    """One piece of work: its id and the rows that the stage declared to read.

    `rows(kind)` are dicts of the declared columns. Heavy columns (keypoints, sound) are fetched from the table
    on first use, in the worker: (frames, width) arrays for lists over frames, bytes for binary.
    """

    def __init__(self, id: str, light: Mapping[str, list[Row]], heavy: "Mapping[str, HeavyRows] | None" = None) -> None:
        self.id = id
        self._light = light
        self._heavy = dict(heavy or {})

    def rows(self, kind: str) -> list[Row]:
        """The unit's rows of this kind, in key order; empty when the table has none for it."""
        rows = self._light.get(kind, [])
        pending = self._heavy.pop(kind, None)
        if pending is not None:
            for row, values in zip(rows, pending.load(), strict=True):
                row.update(values)
        return rows

    def carrying_rows(self) -> "Unit":
        """The same unit with its heavy rows in it, for a worker that does not see the run's tables."""
        for kind in list(self._heavy):
            self.rows(kind)
        return self

    def row(self, kind: str) -> Row:
        """The only row of this kind; LookupError when there is none or more than one."""
        rows = self.rows(kind)
        if len(rows) != 1:
            raise LookupError(f"{self.id} has {len(rows)} rows of {kind}, not one")
        return rows[0]


class HeavyRows(Protocol):
    """The heavy columns of a unit's rows, in the order of its light ones."""

    def load(self) -> list[Row]:
        """{column: value} of each row."""
        ...


@dataclass(frozen=True)
class StoredRows:
    """Heavy columns that lie in Parquet files: read where the unit is processed, not sent through a pipe.

    Attributes:
        columns: names.
        places: (Parquet file, row number in it) of each row.
    """

    columns: tuple[str, ...]
    places: list[tuple[str, int]]

    def load(self) -> list[Row]:
        from pipeline.tables.parts import read_places

        return read_places(self.places, self.columns)
