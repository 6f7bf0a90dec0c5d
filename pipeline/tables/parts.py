"""Parts: Parquet files of rows or outcomes, written atomically, read by the thousand or row by row."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base import files
from pipeline.base.damage import Damaged
from pipeline.base.errors import StageError
from pipeline.tables import losses
from pipeline.tables.arrow import numbers, to_python
from pipeline.tables.hashing import flat
from pipeline.tables.kinds import Kind
from pipeline.tables.seal import DamagedFile, name_of, opened, seal, told

ROW_GROUP_BYTES = 1 << 20
READ_THREADS = 4
MISSING = "is missing"
ROWS_FORMAT: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": ["unit", "commit"],
    "write_page_checksum": True,
}
# Outcomes are read whole and by the thousand parts: what costs is what stands around the data.
OUTCOMES_FORMAT: dict[str, Any] = {
    "compression": "snappy",
    "use_dictionary": False,
    "write_statistics": False,
    "store_schema": False,
    "write_page_checksum": True,
}


@dataclass(frozen=True)
class Reading:
    """What came of reading parts.

    Attributes:
        table: of all that read.
        bad: {part: what is wrong with it, as a clause} of those that did not.
    """

    table: pa.Table
    bad: dict[Path, str]


def read_parts(
    parts: list[Path],
    names: list[str],
    schema: pa.Schema,
    *,
    places: bool = False,
    counts: Mapping[str, int] = MappingProxyType({}),
) -> Reading:
    """Parts as one table of `schema`: columns that older parts lack are null. `places` adds `file` and `place` columns.

    Args:
        parts: files.
        names: columns to read.
        schema: of the table.
        places: say of each row where it lies.
        counts: rows that files of these names must have.

    Raises: DiskError where the disk cannot read a file.
    """
    bad: dict[Path, str] = {}

    def read(number: int) -> pa.Table | None:
        part = parts[number]
        try:
            table = _read_part(part, names, counts.get(part.name))
        except DamagedFile as error:
            bad[part] = str(error)
            return None
        if places:
            table = table.append_column("file", numbers(np.full(len(table), number, np.int32)))
            table = table.append_column("place", numbers(np.arange(len(table), dtype=np.int32)))
        return table

    if len(parts) <= READ_THREADS:
        tables = [read(number) for number in range(len(parts))]
    else:  # small files by the thousand: what costs is to open each
        with ThreadPoolExecutor(READ_THREADS) as pool:
            tables = list(pool.map(read, range(len(parts))))
    full = schema
    if places:
        full = full.append(pa.field("file", pa.int32())).append(pa.field("place", pa.int32()))
    empty = pa.Table.from_batches([], full)
    good = [table for table in tables if table is not None]
    table = pa.concat_tables([empty, *good], promote_options="default") if good else empty
    chunked = [table.select([name]) for name in full.names]
    del table, tables, good  # so that of a column's many pieces none is left where its one is there
    for at, column in enumerate(chunked):
        chunked[at] = column.combine_chunks()
        del column
    return Reading(pa.table([column[0] for column in chunked], full), bad)


def _read_part(part: Path, names: list[str], count: int | None) -> pa.Table:
    try:
        source = opened(part)
    except FileNotFoundError:
        raise DamagedFile(MISSING) from None
    with told(part):
        table = source.read(columns=names, use_threads=False)
    if "commit" not in table.column_names:  # every part has it, and a reader names it: this is something else
        raise DamagedFile("is no part of a table")
    if count is not None and len(table) != count:
        raise DamagedFile(f"holds {len(table):,} of {count:,} rows")
    return table


def row_group_size(table: pa.Table, kind: Kind | None) -> int:
    """Rows a group: few where rows are heavy, so that one person's keypoints are read without those of a hundred others."""
    rows = max(1, len(table))
    return max(1, int(ROW_GROUP_BYTES / max(1, table.nbytes / rows))) if kind is not None and kind.heavy else rows


def write_parquet(table: pa.Table, path: Path, kind: Kind | None = None) -> None:
    """Write beside the target, seal, fsync, rename."""
    with files.replacing(path) as temporary:
        options = OUTCOMES_FORMAT if kind is None else ROWS_FORMAT
        if table.schema.metadata:  # which Arrow leaves out together with its schema
            options = {**options, "store_schema": True}
        pq.write_table(table, temporary, row_group_size=row_group_size(table, kind), **options)
        seal(temporary, name_of(path))


@lru_cache(maxsize=32)
def _open_part(path: str) -> pq.ParquetFile:
    return opened(Path(path))


def read_places(places: Iterable[tuple[str, int]], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Columns of single rows, by (Parquet file, row number): what a worker fetches for its unit.

    Raises: Damaged where a file is missing or not what was written. DiskError where the disk cannot read it.
    """
    wanted: dict[tuple[str, int], list[tuple[int, int]]] = {}  # by row group, so that each is read once
    ends: dict[str, list[int]] = {}
    for number, (path, place) in enumerate(places):
        if path not in ends:
            with _damage_of(path):
                about = _open_part(path).metadata
            ends[path] = list(accumulate(about.row_group(group).num_rows for group in range(about.num_row_groups)))
        group = bisect_right(ends[path], place)
        first = ends[path][group - 1] if group else 0
        wanted.setdefault((path, group), []).append((number, place - first))
    found: dict[int, dict[str, Any]] = {}
    for (path, group), rows in wanted.items():
        with _damage_of(path):
            table = _open_part(path).read_row_group(group, columns=list(columns), use_threads=False)
            table = table.take(numbers(np.array([at for _, at in rows], np.int64)))
        names = table.column_names
        values = [to_python(flat(table[name]), table.schema.field(name).type) for name in names]
        for (number, _), row in zip(rows, zip(*values, strict=True), strict=True):
            known = dict(zip(names, row, strict=True))
            found[number] = {name: known.get(name) for name in columns}
    return [found[number] for number in sorted(found)]


def read_pieces(part: Path, piece_bytes: int) -> Iterator[pa.Table]:
    """A part in order: whole where it is no larger than a piece, else in batches of about that size. Raises as `read_places`."""
    with _damage_of(str(part)):
        source = opened(part)
        about = source.metadata
        size = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
        if size <= piece_bytes:
            yield source.read(use_threads=False)
            return
        for batch in source.iter_batches(max(1, about.num_rows * piece_bytes // size)):
            yield pa.Table.from_batches([batch])


@contextmanager
def _damage_of(path: str) -> Iterator[None]:
    """Say of a part that does not read which it is, and of which run; of a file from elsewhere, its name."""
    part, problem = Path(path), ""
    try:
        with told(part):
            yield
    except FileNotFoundError:
        problem = MISSING
    except DamagedFile as error:
        problem = str(error)
    if problem and losses.is_part(part):
        raise Damaged(losses.of_part(part, problem), losses.run_of(part))
    if problem:
        raise StageError(f"{part} {problem}")
