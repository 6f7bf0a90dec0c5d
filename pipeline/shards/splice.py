"""Parquet files put together from row groups as they lie in other files, byte for byte what one writer would have written.

PyArrow copies no row group: it decodes and encodes it, which takes ten times as long as to copy and hash its bytes. What it writes
for a row group does not depend on where this stands, but for the offsets in the footer. So each group is written into a file of its
own in memory, or taken from one that is there, and of the footer the offsets alone are changed. They are found by what PyArrow
itself reads there (numbers in Thrift's compact protocol, as zigzag varints); where a footer is laid out otherwise, `CannotSplice`
is raised.
"""

import hashlib
import io
import json
import logging
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.hashes import sha256_of
from pipeline.base.version import version_of
from pipeline.shards.opened import FOOTER_END, MAGIC, ShardFile
from pipeline.shards.written import Stored

log = logging.getLogger(__name__)

_I64, _NEXT_BUT_ONE_I64, _STRUCTS, _STOP = (
    b"\x16",
    b"\x26",
    b"\x19",
    b"\x00",
)  # heads of fields: how far after the one before, type
_NO_GROUPS = _I64 + b"\x00" + _STRUCTS + b"\x0c"  # of a file's footer: 0 rows, an empty list of structs
_PIECE = 64 << 20


class CannotSplice(ValueError):
    """Raised for a footer that is laid out otherwise than those that are known here."""


@dataclass(frozen=True)
class Block:
    """One row group as it lies in a file.

    Attributes:
        start, stop: its bytes.
        rows: how many.
        offsets: numbers in what the footer says of it that count from the file's start.
        between: what stands before, between and after them there.
    """

    start: int
    stop: int
    rows: int
    offsets: tuple[int, ...]
    between: tuple[bytes, ...]

    def at(self, start: int) -> bytes:
        """What a footer says of it where it begins at `start`."""
        moved = [_number(offset - self.start + start) for offset in self.offsets]
        return b"".join(part for pair in zip(self.between, [*moved, b""], strict=True) for part in pair)

    def checksum(self, body: int) -> int:
        """CRC-32 of its bytes, which have this one, and of what the footer says of it, wherever it stands."""
        return zlib.crc32(b"".join(self.between), body)


def blocks_of(footer: bytes, about: pq.FileMetaData) -> list[Block]:
    """The row groups that a footer describes. Raises CannotSplice."""
    try:
        return list(_blocks(footer, about))
    except ValueError as error:
        raise CannotSplice(str(error)) from error


def _blocks(footer: bytes, about: pq.FileMetaData) -> Iterator[Block]:
    if not about.num_row_groups:
        return
    head = _list_head(about.num_rows, about.num_row_groups)
    at = footer.index(head) + len(head)
    for number in range(about.num_row_groups):
        block, at = _block(footer, at, about.row_group(number))
        yield block


def _block(footer: bytes, first: int, group: pq.RowGroupMetaData) -> tuple[Block, int]:
    """A group whose description begins at `first`, and where that ends."""
    between, offsets, at, size, cut = [], [], first, 0, first
    for number in range(group.num_columns):
        column = group.column(number)
        here, dictionary = column.total_compressed_size, column.dictionary_page_offset
        places = (column.data_page_offset,) if dictionary is None else (column.data_page_offset, dictionary)
        packed, heads = _I64 + _number(here), [_NEXT_BUT_ONE_I64 + _number(place) for place in places]
        at = footer.index(packed + b"".join(heads), at) + len(packed)
        size += here
        for place, head in zip(places, heads, strict=True):
            between.append(footer[cut : at + 1])
            offsets.append(place)
            at = cut = at + len(head)
    start = min(offsets)
    before = _I64 + _number(group.total_byte_size) + _I64 + _number(group.num_rows) + _NEXT_BUT_ONE_I64
    after = _I64 + _number(size) + _STOP
    at = footer.index(before + _number(start) + after, at) + len(before)
    between += [footer[cut:at], after]
    offsets.append(start)
    return Block(start, start + size, group.num_rows, tuple(offsets), tuple(between)), at + len(_number(start) + after)


def _list_head(rows: int, groups: int) -> bytes:
    """What stands in a footer before its row groups."""
    length = bytes([groups << 4 | 0xC]) if groups < 15 else b"\xfc" + _unsigned(groups)
    return _I64 + _number(rows) + _STRUCTS + length


def _number(value: int) -> bytes:
    return _unsigned(value << 1)  # zigzag; none of them is negative


def _unsigned(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def footer_of(data: memoryview) -> bytes:
    """The footer of a file in memory, without its length and the magic."""
    length = int.from_bytes(data[-FOOTER_END:-4], "little")
    return bytes(data[-FOOTER_END - length : -FOOTER_END])


class Splicer:
    """Writes a file group by group.

    Args:
        out: the file, open for writing without a buffer.
        layout: of its columns.
        encoding: options of `pyarrow.parquet.ParquetWriter`.

    Attributes:
        rows, bytes, copied: what was written so far, and how many of the bytes were there before.
    """

    def __init__(self, out: BinaryIO, layout: pa.Schema, encoding: Mapping[str, Any]) -> None:
        self.layout, self.encoding = layout, encoding
        self.rows, self.bytes, self.copied = 0, 0, 0
        self._out, self._digest = out, hashlib.sha256()
        self._about, self._rows = list[bytes](), list[int]()
        self._write(memoryview(MAGIC))

    def add(self, table: pa.Table) -> Stored:
        """Encode a row group."""
        about = list[pq.FileMetaData]()
        data = memoryview(_alone(table, self.layout, self.encoding, about))
        (block,) = blocks_of(footer_of(data), about[0])
        body = data[block.start : block.stop]
        self._note(block)
        self._write(body)
        return Stored(len(body), block.checksum(zlib.crc32(body)))

    def copy(self, block: Block, file: ShardFile, crc32: int) -> bool:
        """Copy a row group of another file of the same layout, if it has this checksum there; whether it had.

        Pieces are hashed and written while they are at hand, and taken back where their checksum turns out to be another.
        """
        digest, body = self._digest.copy(), 0
        for piece in file.pieces(block.start, block.stop):
            body = zlib.crc32(piece, body)
            digest.update(piece)
            _write_all(self._out, piece)
        if block.checksum(body) != crc32:
            self._out.truncate(self._out.seek(self.bytes))
            return False
        self._digest = digest
        self._note(block)
        self.bytes += block.stop - block.start
        self.copied += block.stop - block.start
        return True

    def close(self) -> str:
        """Write the footer. Returns: the file's sha256, in hex."""
        frame = footer_of(memoryview(_alone(None, self.layout, self.encoding)))
        before, found, after = frame.partition(_NO_GROUPS)
        if not found:
            raise CannotSplice("a file without rows has another footer")
        head = _list_head(self.rows, len(self._about)) if self._about else _NO_GROUPS
        footer = before + head + b"".join(self._about) + after
        end = footer + len(footer).to_bytes(4, "little") + MAGIC
        about = pq.read_metadata(pa.py_buffer(MAGIC + end))
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        if [group.num_rows for group in groups] != self._rows or about.num_rows != self.rows:
            raise CannotSplice("the footer reads otherwise than it was put together")
        self._write(memoryview(end))
        return self._digest.hexdigest()

    def _note(self, block: Block) -> None:
        self._about.append(block.at(self.bytes))
        self._rows.append(block.rows)
        self.rows += block.rows

    def _write(self, data: memoryview) -> None:
        self.bytes += len(data)
        self._digest.update(data)
        _write_all(self._out, data)


def _alone(
    table: pa.Table | None,
    layout: pa.Schema,
    encoding: Mapping[str, Any],
    about: list[pq.FileMetaData] | None = None,
) -> pa.Buffer:
    """A file with this row group alone, or with none; what its footer says is added to `about`, as reading it takes long."""
    out = pa.BufferOutputStream()
    with pq.ParquetWriter(out, layout, metadata_collector=about, **encoding) as writer:
        if table is not None:
            writer.write_table(table, row_group_size=max(1, len(table)))
    return out.getvalue()


def _write_all(out: BinaryIO, data: memoryview) -> None:
    while len(data):
        data = data[out.write(data[:_PIECE]) :]


class Plain:
    """As `Splicer`, for a PyArrow whose footers are laid out otherwise: nothing is copied.

    Args:
        path: of the file.
        layout: of its columns.
        encoding: options of `pyarrow.parquet.ParquetWriter`.
    """

    copied = 0

    def __init__(self, path: Path, layout: pa.Schema, encoding: Mapping[str, Any]) -> None:
        self._path, self._writer = path, pq.ParquetWriter(path, layout, **encoding)

    def add(self, table: pa.Table) -> Stored:
        """Encode a row group; it cannot be found again."""
        self._writer.write_table(table, row_group_size=len(table))
        return Stored(0, 0)

    def copy(self, block: Block, file: ShardFile, crc32: int) -> bool:
        raise CannotSplice("this PyArrow writes other footers")

    def close(self) -> str:
        """Write the footer. Returns: the file's sha256, in hex."""
        self._writer.close()
        return sha256_of(self._path)


@contextmanager
def spliced(path: Path, layout: pa.Schema, encoding: Mapping[str, Any]) -> "Iterator[Splicer | Plain]":
    """A writer of a new file by row groups; the caller closes it before the block ends."""
    if can_splice(layout, encoding):
        with path.open("wb", buffering=0) as out:
            yield Splicer(out, layout, encoding)
    else:
        log.warning("PyArrow %s writes footers that are not known here: no row group is copied", version_of("pyarrow"))
        yield Plain(path, layout, encoding)


def can_splice(layout: pa.Schema, encoding: Mapping[str, Any]) -> bool:
    """Whether files put together are those that PyArrow writes, to the byte: tried on one of two groups, once a process."""
    return _tried(layout, json.dumps(encoding))


@cache
def _tried(layout: pa.Schema, encoding_as_text: str) -> bool:
    encoding = json.loads(encoding_as_text)
    words = {field.name: pa.array(["word"]) for field in layout if pa.types.is_string(field.type)}
    row = pa.table([words.get(field.name, pa.nulls(1, field.type)) for field in layout], schema=layout)
    whole, out = pa.BufferOutputStream(), io.BytesIO()
    with pq.ParquetWriter(whole, layout, **encoding) as writer:
        for _ in range(2):
            writer.write_table(row, row_group_size=1)
    try:
        splicer = Splicer(out, layout, encoding)
        for _ in range(2):
            splicer.add(row)
        splicer.close()
    except CannotSplice:
        return False
    return bool(out.getvalue() == whole.getvalue().to_pybytes())
