"""The one way to read a shard: row groups as Arrow tables, checked before and after they are decoded, hashed as they pass.

Shards come from strangers too. What does not hold what the format promises is refused in one line that names the shard, and clip
and column where it is about one; `pipeline/shards/README.md` lists it. A read error of the disk is raised as it is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.text import printable
from pipeline.shards.footer import HEAVY, Group, Promise, groups_of, one_group
from pipeline.shards.format import ShardError
from pipeline.shards.opened import ShardFile, opened
from pipeline.shards.rows import Rows

KEYS = (
    "clip_id",
    "person",
    "frames",
)  # read with the lists over frames and the sound, which are as long as `frames` says
_AT_ONCE_BYTES = 64 << 20  # a row group that takes more is decoded row by row; one of 4 clips of 15 s takes 6 MB
_THRIFT_STRING_BYTES = 16 << 20
_THRIFT_CONTAINER = 1 << 14  # row groups of a shard, or columns; 4,500 of our groups take what a footer may take


class Reader:
    """Reads one shard.

    Args:
        path: of the Parquet file.
        rows: that the index lists; None where none does.
        seen: `<clip_id>#<person>` of what was read so far; a second one is refused.

    Attributes:
        sha256: of the bytes that were read, once all tables with heavy columns were; "" otherwise.
    """

    def __init__(self, path: Path, rows: int | None = None, seen: set[str] | None = None) -> None:
        self.path, self.rows, self.seen, self.sha256 = path, rows, set() if seen is None else seen, ""

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Row groups, or parts of large ones, with the asked columns that the shard has and `KEYS` where they are needed.

        The file's bytes are all read, and hashed, where a list over frames or the sound is asked for; otherwise only those of
        the columns.

        Raises:
            ShardError: the shard is damaged, or not what the format promises.
        """
        with opened(self.path) as file:
            with damage_told(self.path):
                parquet = parquet_of(file)
                schema = parquet.schema_arrow
                groups = self._groups(file, parquet, schema)
            names = [name for name in schema.names if columns is None or name in columns]
            whole = any(name in (*HEAVY, "audio") for name in names)
            if whole:
                names += [name for name in KEYS if name not in names]
            for number, group in enumerate(groups):
                if whole:
                    file.advance(group.start, group.stop)
                yield from self._group(file, parquet, schema, number, group, names)
            if whole:
                self.sha256 = file.sha256()

    def group_rows(self) -> list[int]:
        """Rows of each row group, as the footer has them. Raises ShardError."""
        with opened(self.path) as file, damage_told(self.path):
            parquet = parquet_of(file)
            return [group.rows for group in self._groups(file, parquet, parquet.schema_arrow)]

    def group(self, number: int, columns: Sequence[str] | None = None) -> list[pa.Table]:
        """One row group, checked as `tables` checks it, but for the hash of the file.

        Raises:
            ShardError: the shard is damaged, or not what the format promises.
        """
        self.seen.clear()
        with opened(self.path) as file:
            with damage_told(self.path):
                parquet = parquet_of(file)
                schema = parquet.schema_arrow
                group = one_group(file, parquet, schema, self._rows_of(parquet), number)
            names = [name for name in schema.names if columns is None or name in columns]
            names += [name for name in KEYS if name not in names]
            file.hold(group.start, group.stop)
            return list(self._group(file, parquet, schema, number, group, names))

    def _groups(self, file: ShardFile, parquet: pq.ParquetFile, schema: pa.Schema) -> list[Group]:
        return groups_of(file, parquet, schema, self._rows_of(parquet))

    def _rows_of(self, parquet: pq.ParquetFile) -> int:
        """That the file has to have."""
        return int(parquet.metadata.num_rows) if self.rows is None else self.rows

    def _group(
        self, file: ShardFile, parquet: pq.ParquetFile, schema: pa.Schema, number: int, group: Group, names: list[str]
    ) -> Iterator[pa.Table]:
        where = f"{self.path}: row group {number}"
        with damage_told(self.path):
            frames = 0
            if "frames" in names:
                Promise(where, group, 0).check_pages(file, ["frames"], schema)
                first = Rows(self.path, parquet.read_row_group(number, columns=["frames"], use_threads=False))
                first.check()
                frames = sum(first.columns["frames"].to_pylist())
            promise = Promise(where, group, frames)
            if any(name in (*HEAVY, "audio") for name in names):
                promise.check_numbers(schema)
            promise.check_pages(file, names, schema)
        for table in self._decoded(parquet, schema, number, names, promise):
            with damage_told(self.path):
                rows = Rows(self.path, table)
                rows.check()
                if {"clip_id", "person"} <= rows.columns.keys():
                    self._note(rows)
            yield table

    def _decoded(
        self, parquet: pq.ParquetFile, schema: pa.Schema, number: int, names: list[str], promise: Promise
    ) -> Iterator[pa.Table]:
        if promise.bytes_of(names, schema) <= _AT_ONCE_BYTES:
            with damage_told(self.path):
                table = parquet.read_row_group(number, columns=names, use_threads=False)
            yield table
            return
        batches = parquet.iter_batches(1, row_groups=[number], columns=names, use_threads=False)
        while True:
            with damage_told(self.path):
                batch = next(batches, None)
            if batch is None:
                return
            yield pa.Table.from_batches([batch])

    def _note(self, rows: Rows) -> None:
        for name in rows.names():
            if name in self.seen:
                raise ShardError(f"{self.path}: clip {name} is there twice")
            self.seen.add(name)


def parquet_of(file: ShardFile) -> pq.ParquetFile:
    return pq.ParquetFile(
        pa.PythonFile(file, mode="r"),
        pre_buffer=False,
        page_checksum_verification=True,
        thrift_string_size_limit=_THRIFT_STRING_BYTES,
        thrift_container_size_limit=_THRIFT_CONTAINER,
        arrow_extensions_enabled=False,
    )


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Whatever Arrow says of damaged bytes, as ShardError."""
    try:
        yield
    except ShardError:
        raise
    except OSError as error:
        if error.errno is not None:  # of the disk, and no sign of damage
            raise
        raise _damaged(path, error) from error
    except (pa.ArrowException, ValueError, TypeError, LookupError, OverflowError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> ShardError:
    text: Any = next(iter(str(error).splitlines()), type(error).__name__)
    return ShardError(f"{path} is damaged ({printable(text)[:200]}): get it again, or write the shards again")
