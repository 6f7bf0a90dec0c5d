"""Units of work, as a worker sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from pipeline.base.units import Row
from pipeline.tables.parts import read_places

if TYPE_CHECKING:
    Light = Mapping[str, "list[Row] | pa.Table"]


class Unit:
    """One piece of work: its id and the rows that the stage declared to read.

    `rows(kind)` are dicts of the declared columns. Heavy columns (keypoints, sound) are fetched from the table
    on first use, in the worker: (frames, width) arrays for lists over frames, bytes for binary.

    Args:
        id: of the unit.
        light: each kind's rows without heavy columns: dicts, or for a stage that works `in_columns` Arrow tables.
        heavy: where the heavy columns of the same rows are.
    """

    def __init__(self, id: str, light: "Light", heavy: "Mapping[str, HeavyRows] | None" = None) -> None:
        self.id = id
        self._light = dict(light)
        self._heavy = dict(heavy or {})

    def rows(self, kind: str) -> list[Row]:
        """The unit's rows of this kind, in key order; empty when the table has none for it."""
        light = self._light.get(kind, [])
        in_columns = not isinstance(light, list)
        rows: list[Row] = light if isinstance(light, list) else light.to_pylist()
        # of columns nothing is remembered: as a table they are asked for again, with their types
        pending = self._heavy.get(kind) if in_columns else self._heavy.pop(kind, None)
        if pending is not None:
            for row, values in zip(rows, pending.load(), strict=True):
                row.update(values)
        return rows

    def table(self, kind: str) -> pa.Table:
        """The rows as a table of their light columns, and the hash beside each heavy one, of a stage that works `in_columns`."""
        rows = self._light.get(kind, [])
        return pa.Table.from_pylist(rows) if isinstance(rows, list) else rows

    def heavy(self, kind: str, rows: Sequence[int]) -> list[Row]:
        """The heavy columns of some rows, by their numbers in `table`: so that no more is held than what is worked on."""
        pending = self._heavy.get(kind)
        return [{} for _ in rows] if pending is None else pending.load(rows)

    def carrying_rows(self) -> "Unit":
        """The same unit with its heavy rows in it, for a worker that does not see the run's tables."""
        self._heavy = {kind: CarriedRows(heavy.load()) for kind, heavy in self._heavy.items()}
        return self

    def row(self, kind: str) -> Row:
        """The only row of this kind; LookupError when there is none or more than one."""
        rows = self.rows(kind)
        if len(rows) != 1:
            raise LookupError(f"{self.id} has {len(rows)} rows of {kind}, not one")
        return rows[0]


class HeavyRows(Protocol):
    """The heavy columns of a unit's rows, in the order of its light ones."""

    def load(self, rows: Sequence[int] | None = None) -> list[Row]:
        """{column: value} of each row, or of those with these numbers."""
        ...


@dataclass(frozen=True)
class CarriedRows:
    """Heavy columns that travel with the unit."""

    values: list[Row]

    def load(self, rows: Sequence[int] | None = None) -> list[Row]:
        return self.values if rows is None else [self.values[row] for row in rows]


@dataclass(frozen=True)
class StoredRows:
    """Heavy columns that lie in Parquet files: read where the unit is processed, not sent through a pipe.

    Attributes:
        columns: names.
        places: (Parquet file, row number in it) of each row.
    """

    columns: tuple[str, ...]
    places: list[tuple[str, int]]

    def load(self, rows: Sequence[int] | None = None) -> list[Row]:
        return read_places(self.places if rows is None else [self.places[row] for row in rows], self.columns)
