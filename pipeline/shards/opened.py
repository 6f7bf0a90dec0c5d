"""One shard's bytes: read once, hashed as they pass, and handed to Arrow from memory.

Not memory-mapped: a disk that fails under a map kills the process, and what was hashed and what is decoded must be the same bytes.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.shards.footer_memory import BadFooter, check_memory
from pipeline.shards.format import ShardError

FOOTER_END = 8  # its length, and the magic
MAGIC = b"PAR1"
_PIECE = 1 << 20  # stays in the cache of the processor while it is hashed
_FOOTER_BYTES = 64 << 20  # of ours, one of half as many takes the memory that is left to it
_TOO_MANY = "it is damaged, or holds more rows than a file may: a higher `shards.buckets` makes more and smaller files"


class ShardFile:
    """A file for `pyarrow.parquet.ParquetFile`.

    Reads come from the footer, from the window that `advance` loaded, or from the disk. Bytes are hashed in order, each once.

    Attributes:
        size: of the file, bytes.
        body: bytes before the footer.
        handle: of the open file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.closed = path, False
        self.handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.size = os.fstat(self.handle).st_size
        self._at, self._hashed, self._digest = 0, 0, hashlib.sha256()
        self._window, self._start = memoryview(b""), 0
        self._footer, self.body = self._read_footer()

    def _read_footer(self) -> tuple[memoryview, int]:
        end = self._exactly(max(0, self.size - FOOTER_END), min(self.size, FOOTER_END))
        length = int.from_bytes(end[:4], "little")
        if bytes(end[4:]) != MAGIC or length + FOOTER_END + len(MAGIC) > self.size:
            raise ShardError(f"{self.path} is no Parquet file, or cut short")
        if length > _FOOTER_BYTES:
            raise ShardError(
                f"{self.path} has a footer of {length} bytes, {_FOOTER_BYTES} are read at most: {_TOO_MANY}"
            )
        body = self.size - FOOTER_END - length
        footer = self._exactly(body, self.size - body)
        try:
            check_memory(footer[:length])
        except BadFooter as error:
            raise ShardError(f"{self.path} has a footer that {error}: {_TOO_MANY}") from None
        return footer, body

    def view(self, start: int, stop: int) -> memoryview:
        """The bytes from `start` to `stop`. Raises ShardError where the file ends before."""
        for held, first in ((self._window, self._start), (self._footer, self.body)):
            if first <= start and stop <= first + len(held):
                return held[start - first : stop - first]
        return self._exactly(start, stop - start)

    def advance(self, start: int, stop: int) -> None:
        """Hash up to `stop`, and hold from `start` on."""
        self._window, self._start = memoryview(b""), 0  # before the next one is allocated
        self._hash_until(start)
        self.hold(start, stop)
        self._digest.update(self._window[self._hashed - start :])
        self._hashed = max(self._hashed, stop)

    def hold(self, start: int, stop: int) -> None:
        """Load the bytes from `start` to `stop`, without hashing them."""
        self._window, self._start = memoryview(b""), 0
        self._window, self._start = self._exactly(start, stop - start), start

    def pieces(self, start: int, stop: int) -> Iterator[memoryview]:
        """The bytes from `start` to `stop`, a piece at a time, from the disk. Raises as `view`."""
        for first in range(start, stop, _PIECE):
            yield self._exactly(first, min(_PIECE, stop - first))

    def sha256(self) -> str:
        """Of the whole file, in hex; what was not hashed yet is read."""
        self._window, self._start = memoryview(b""), 0
        self._hash_until(self.body)
        digest = self._digest.copy()
        digest.update(self._footer)
        return digest.hexdigest()

    def _hash_until(self, stop: int) -> None:
        while self._hashed < stop:
            piece = self._exactly(self._hashed, min(_PIECE, stop - self._hashed))
            self._digest.update(piece)
            self._hashed += len(piece)

    def _exactly(self, start: int, length: int) -> memoryview:
        parts: list[bytes] = []
        while length > 0:
            try:
                part = os.pread(self.handle, length, start)
            except OSError as error:
                error.filename = str(self.path)
                raise
            if not part:
                raise ShardError(f"{self.path} was cut short while it was read")
            parts.append(part)
            start, length = start + len(part), length - len(part)
        return memoryview(parts[0] if len(parts) == 1 else b"".join(parts))

    # What Arrow asks of a file.

    def read(self, length: int = -1) -> memoryview:
        stop = self.size if length < 0 else min(self.size, self._at + length)
        found = self.view(self._at, max(stop, self._at))
        self._at += len(found)
        return found

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        self._at = place + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        """Nothing is written."""

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self.handle)


@contextmanager
def opened(path: Path) -> Iterator[ShardFile]:
    """Open a shard to be read. Raises ShardError when it has no footer, or one that takes more memory than a shard's may."""
    file = ShardFile(path)
    try:
        yield file
    finally:
        file.close()
