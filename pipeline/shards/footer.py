"""What a shard's footer promises, compared before a page is read: names and types, rows, and the memory that it will take."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.text import printable
from pipeline.base.units import FPS, LONGEST_CLIP_SECONDS
from pipeline.shards.format import VERSION_KEY, ShardError, check_version, shard_schema
from pipeline.shards.opened import MAGIC, ShardFile
from pipeline.shards.pages import DICTIONARY, BadPage, Page, pages

MOST_FRAMES = LONGEST_CLIP_SECONDS * FPS
MOST_ROWS = 64  # in a row group; ours have 4, and had 16 before version 4 of the stage
SINCE_MINOR_VERSIONS = frozenset({"channel_id", "channel_handle", "upload_date"})
HEAVY = ("keypoints", "scores", "local", "neck", "audio_features")
_NEVER_NULL = ("keypoints", "scores", "local", "neck")
_PAGE_BYTES = 32 << 20  # ours have 4 MB
_LIGHT_BYTES = 256 << 10  # of a column without lists over frames, in a row group: a dictionary makes 64 values of one
_REPEATED_BYTES = 128 << 20  # of such columns together, were each value the longest of its dictionary; ours take 1 MB
_LIST_LENGTH = 1024  # of what is no list over frames: a crop box has 4
_SAMPLE_BYTES = 4  # of FLAC, at most; 16-bit sound takes 2
_FLAC_HEAD = 64 << 10
CODECS = ("ZSTD", "UNCOMPRESSED", "SNAPPY")  # what shards are written with, and what other programs take
ENCODINGS = {0: "PLAIN", 2: "PLAIN_DICTIONARY", 3: "RLE", 8: "RLE_DICTIONARY", 9: "BYTE_STREAM_SPLIT"}
_FEWEST_COLUMNS = frozenset(shard_schema().names[: shard_schema().names.index("channel") + 1]) - SINCE_MINOR_VERSIONS


class Chunk(NamedTuple):
    """One column's bytes in one row group.

    Attributes:
        start, stop: within the file.
        values: how many, nulls and empty lists included.
        unpacked: bytes, as the footer has them.
        packed_is_unpacked: whether it is stored without compression.
    """

    start: int
    stop: int
    values: int
    unpacked: int
    packed_is_unpacked: bool


@dataclass(frozen=True)
class Group:
    """One row group: where it lies, and its chunks by column."""

    rows: int
    start: int
    stop: int
    chunks: Mapping[str, Chunk]


def groups_of(file: ShardFile, parquet: pq.ParquetFile, schema: pa.Schema, rows: int) -> list[Group]:
    """Row groups in the order of the file.

    Args:
        file: the bytes.
        parquet: opened on them.
        schema: as it gives it; it makes another with each asking.
        rows: that the index lists.

    Raises:
        ShardError: another version, columns that are missing or of another type, or numbers that do not fit each other.
    """
    path, about = file.path, parquet.metadata
    _check_file(path, about, schema, rows)
    groups = list(_groups(file, about, range(about.num_row_groups)))
    if sum(group.rows for group in groups) != rows:
        raise ShardError(f"{path} holds other row groups than its {rows} rows")
    return groups


def one_group(file: ShardFile, parquet: pq.ParquetFile, schema: pa.Schema, rows: int, number: int) -> Group:
    """One of them, by its number; the others are not looked at. Raises as `groups_of`."""
    _check_file(file.path, parquet.metadata, schema, rows)
    for group in _groups(file, parquet.metadata, range(number, number + 1)):
        return group
    raise ShardError(f"{file.path}: row group {number} is empty")


def _check_file(path: Path, about: pq.FileMetaData, stored: pa.Schema, rows: int) -> None:
    version = (stored.metadata or {}).get(VERSION_KEY, b"none")
    check_version(version[:100].decode("utf-8", "replace"), path)
    if len(set(stored.names)) != len(stored.names):
        raise ShardError(f"{path} has a column twice")
    if dotted := [name for name in stored.names if "." in name]:  # Parquet tells it from no part of another column
        raise ShardError(
            f"{path} is damaged: it has a column {printable(dotted[0])[:100]}, and names of columns have no dot"
        )
    ours = shard_schema()
    if missing := [name for name in ours.names if name in _FEWEST_COLUMNS and name not in stored.names]:
        raise ShardError(f"{path} has no column {missing[0]}")
    for field in stored:
        if field.name in ours.names and not field.type.equals(ours.field(field.name).type):
            found = str(field.type)[:100]
            raise ShardError(f"{path}: column {field.name} is {found}, not {ours.field(field.name).type}")
    if about.num_rows != rows:
        raise ShardError(f"{path} holds {about.num_rows} rows, and the index says {rows}")


def _groups(file: ShardFile, about: pq.FileMetaData, numbers: Iterable[int]) -> Iterator[Group]:
    """Those of these numbers, in their order."""
    last = len(MAGIC)
    names = [about.schema.column(at).path.partition(".")[0] for at in range(about.num_columns)]
    for number in numbers:
        group = about.row_group(number)
        where = f"{file.path}: row group {number}"
        if not 0 < group.num_rows <= MOST_ROWS and about.num_rows:
            raise ShardError(f"{where} has {group.num_rows} rows, a shard's has {MOST_ROWS} at most")
        if not group.num_rows:  # of a shard without clips: its columns lie nowhere
            continue
        chunks = {}
        for at, name in enumerate(names):
            if name in chunks:  # what is checked would be one, and what is decoded all
                raise ShardError(
                    f"{where} is damaged: column {printable(name)[:100]} has several parts, and a shard's have one"
                )
            chunks[name] = _chunk(where, name, group.column(at), last, file.body)
        start = min((chunk.start for chunk in chunks.values()), default=last)
        stop = max((chunk.stop for chunk in chunks.values()), default=last)
        if sum(chunk.stop - chunk.start for chunk in chunks.values()) > stop - start:
            raise ShardError(f"{where} has columns that share bytes")
        yield Group(group.num_rows, start, stop, chunks)
        last = stop


def _chunk(where: str, name: str, column: pq.ColumnChunkMetaData, first: int, last: int) -> Chunk:
    start, dictionary = column.data_page_offset, column.dictionary_page_offset
    if dictionary is not None and 0 < dictionary < start:
        start = dictionary
    stop = start + column.total_compressed_size
    if column.file_path or not first <= start <= stop <= last:
        raise ShardError(f"{where}: column {name} leads out of its place in the file")
    if column.compression not in CODECS:
        raise ShardError(
            f"{where}: column {name} is packed by {column.compression}, shards by zstd, snappy or not at all"
        )
    plain = column.compression == "UNCOMPRESSED"
    return Chunk(start, stop, column.num_values, column.total_uncompressed_size, plain)


class Promise:
    """What a row group may hold, from the frames of its clips.

    Args:
        where: shard and row group, for errors.
        group: the row group.
        frames: of its clips, in all.
    """

    def __init__(self, where: str, group: Group, frames: int) -> None:
        self.where, self.group, self.frames = where, group, frames

    def check_numbers(self, schema: pa.Schema) -> None:
        """The lists over frames agree, also those that nobody asked for."""
        for name in HEAVY:
            found, whole = self.group.chunks[name].values, self.frames * schema.field(name).type.value_type.list_size
            if found > whole + self.group.rows or (name in _NEVER_NULL and found != whole):
                self._refuse(name, f"holds {found} numbers, its clips have {self.frames} frames: {whole}")

    def check_pages(self, file: ShardFile, names: Iterable[str], schema: pa.Schema) -> None:
        """Raise ShardError when a column would take more memory or hold more values than these frames can."""
        repeated = 0
        for name in names:
            kind, values = schema.field(name).type, self.group.chunks[name].values
            if name not in HEAVY and values > self.group.rows * (_LIST_LENGTH if pa.types.is_nested(kind) else 1):
                self._refuse(name, f"holds {values} values in {self.group.rows} rows")
            found = self._check_pages(file, name, kind)
            if name not in (*HEAVY, "audio"):
                repeated += values * sum(page.unpacked for page in found if page.kind == DICTIONARY)
            if repeated > _REPEATED_BYTES:
                self._refuse(name, "repeats long values: it may take more memory than any shard's")

    def bytes_of(self, names: Iterable[str], schema: pa.Schema) -> int:
        """Memory that the decoded columns take, at most."""
        return sum(self._most_bytes(name, schema.field(name).type) for name in names)

    def _check_pages(self, file: ShardFile, name: str, kind: pa.DataType) -> list[Page]:
        chunk = self.group.chunks[name]
        try:
            found = list(pages(file.view(chunk.start, chunk.stop)))
        except BadPage as error:
            self._refuse(name, str(error))
        if sum(page.values for page in found if page.kind != DICTIONARY) != chunk.values:
            self._refuse(name, f"promises {chunk.values} values, and its pages hold others")
        for page in found:
            self._check_page(name, chunk, page)
        most = self._most_bytes(name, kind)
        if (total := sum(page.unpacked for page in found)) > most:
            self._refuse(name, f"unpacks to {total} bytes, its clips can have {most}")
        return found

    def _check_page(self, name: str, chunk: Chunk, page: Page) -> None:
        if page.encoding not in ENCODINGS:
            self._refuse(name, f"is encoded as no shard is ({page.encoding})")
        if page.kind == DICTIONARY and page.values > chunk.values:
            self._refuse(name, f"has a dictionary of {page.values} entries for {chunk.values} values")
        if chunk.packed_is_unpacked and page.packed != page.unpacked:
            self._refuse(name, "has pages of another size than stored")
        if not chunk.packed_is_unpacked and page.unpacked > _PAGE_BYTES:
            self._refuse(name, f"has a page of {page.unpacked} bytes, a shard's has {_PAGE_BYTES} at most")

    def _most_bytes(self, name: str, kind: pa.DataType) -> int:
        if name == "audio":
            return self.frames * 640 * _SAMPLE_BYTES + self.group.rows * _FLAC_HEAD
        if name not in HEAVY:
            return _LIGHT_BYTES
        item: Any = kind.value_type
        levels = 2 * (self.frames + self.group.rows)  # they repeat, so that they take next to nothing
        return int(self.frames * item.list_size * item.value_type.bit_width // 8 * 1.1) + levels + (64 << 10)

    def _refuse(self, name: str, problem: str) -> NoReturn:
        raise ShardError(f"{self.where}: column {name} {problem}")
