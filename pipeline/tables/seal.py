"""Seals of Parquet files: a few bytes between pages and footer that tell a file from a damaged, or another, one.

Page checksums cover pages and nothing else: a flipped bit in the footer renames a column, and its values are null. A seal holds the
CRC-32 of what stands before it, of the footer behind it, and of the file's name. Readers of Parquet find the footer from the end of
the file and pages by their offsets, so they pass over it. Files of older versions have none.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.errors import UserError

SMALL_BYTES = 1 << 20  # a file of up to this size is read whole and checked whole, whatever is wanted of it
_PARQUET = b"PAR1"
_MAGIC = b"CSG405-1"
_SEAL = struct.Struct("<8sIII")  # magic; CRC-32 of what stands before, of what stands behind, of the name
_END = struct.Struct("<I4s")  # of a Parquet file: bytes of its footer, magic
_CHUNK = 1 << 20
_TAIL_BYTES = 1 << 16


class DamagedFile(Exception):
    """Raised for a file that does not hold what was written into it; the message is a clause that follows its name."""


class DiskError(UserError):
    """Raised where the disk does not give a file's bytes: that says nothing of the file, which is never taken for damaged."""


@dataclass(frozen=True)
class _Found:
    """A file's seal, and whether the bytes behind it are those that were written."""

    body: int
    body_bytes: int
    footer_fits: bool
    name_fits: bool


def seal(path: Path, name: str) -> None:
    """Put a seal into a Parquet file that was just written; `name` is what it will be called (see `name_of`)."""
    with path.open("r+b") as file:
        start = _footer_start(file)
        body = _crc_of(file, start)
        file.seek(start)
        footer = file.read()
        file.seek(start)
        file.write(_SEAL.pack(_MAGIC, body, zlib.crc32(footer), zlib.crc32(name.encode())) + footer)


def name_of(path: Path) -> str:
    """What a seal calls a part: kind, side and file name, so that a run may be copied and renamed."""
    return "/".join(path.parts[-3:])


def opened(path: Path) -> pq.ParquetFile:
    """Open a part; small ones are read and checked whole, of large ones the footer now and each page when it is read.

    Raises:
        DamagedFile: the file is not what was written.
        FileNotFoundError, DiskError.
    """
    with told(path), path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(0 if end <= SMALL_BYTES else max(0, end - _TAIL_BYTES))
        tail = file.read()
        found = _seal_in(tail, end, path) if end else None
        if found is None and end > len(tail):
            found = _seal_in(_longer_tail(file, end), end, path)
    _check(found)
    if end <= SMALL_BYTES:
        if found is not None and zlib.crc32(memoryview(tail)[: found.body_bytes]) != found.body:
            raise DamagedFile("does not hold the bytes that were written")
        source: object = pa.BufferReader(tail)
    else:
        source = path
    with told(path):
        return pq.ParquetFile(source, page_checksum_verification=True)


def check_whole(path: Path) -> None:
    """Compare every byte of a file with its seal; of one without, decode every page. Raises as `opened`."""
    parquet = opened(path)
    with told(path), path.open("rb") as file:
        end = file.seek(0, 2)
        found = _seal_in(_longer_tail(file, end), end, path)
        if found is not None and _crc_of(file, found.body_bytes) != found.body:
            raise DamagedFile("does not hold the bytes that were written")
    if found is None:
        with told(path):
            for _ in parquet.iter_batches(64, use_threads=False):
                pass


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what Arrow says of a damaged file into `DamagedFile`, and an error of the disk, which has a number, into `DiskError`."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno is not None:
            said = os.strerror(error.errno)
            text = f"{path} cannot be read ({said}): the disk says so, the file may be whole; run the same command when it reads"
            raise DiskError(text) from error
        raise DamagedFile(f"does not read ({_first_line(error)})") from error
    except (pa.ArrowException, KeyError, IndexError, ValueError, OverflowError) as error:
        raise DamagedFile(f"does not read ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def _check(found: _Found | None) -> None:
    if found is not None and not found.footer_fits:
        raise DamagedFile("does not hold the bytes that were written")
    if found is not None and not found.name_fits:
        raise DamagedFile("is another file under this name")


def _seal_in(tail: bytes, end: int, path: Path) -> _Found | None:
    """The seal, if these last bytes of a file reach back to one."""
    if len(tail) < _END.size + _SEAL.size:
        return None
    length, magic = _END.unpack_from(tail, len(tail) - _END.size)
    behind = length + _END.size
    at = len(tail) - behind - _SEAL.size
    if magic != _PARQUET or at < 0 or tail[at : at + len(_MAGIC)] != _MAGIC:
        at = tail.rfind(_MAGIC)  # a flip in the last eight bytes hides the footer, not the seal
        if at < 0 or len(tail) - at < _SEAL.size:
            return None
    _, body, footer, name = _SEAL.unpack_from(tail, at)
    fits = zlib.crc32(memoryview(tail)[at + _SEAL.size :]) == footer
    return _Found(body, end - len(tail) + at, fits, zlib.crc32(name_of(path).encode()) == name)


def _longer_tail(file: BinaryIO, end: int) -> bytes:
    """The last bytes of a file from where its seal should begin; all of a small one."""
    file.seek(max(0, end - _END.size))
    last = file.read()
    length = _END.unpack(last)[0] if len(last) == _END.size else 0
    wanted = min(length, end) + _END.size + _SEAL.size
    file.seek(max(0, end - wanted))
    return file.read()


def _footer_start(file: BinaryIO) -> int:
    end = file.seek(0, 2)
    file.seek(end - _END.size)
    length, magic = _END.unpack(file.read())
    assert magic == _PARQUET, "what was just written is no Parquet file"
    return int(end - _END.size - length)


def _crc_of(file: BinaryIO, size: int) -> int:
    """CRC-32 of the first bytes of a file."""
    file.seek(0)
    crc, left = 0, size
    while left and (chunk := file.read(min(_CHUNK, left))):
        crc, left = zlib.crc32(chunk, crc), left - len(chunk)
    return crc
