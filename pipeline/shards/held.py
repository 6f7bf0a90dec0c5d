"""A shard that is there already, of which row groups are copied and rows are used again: what was written once is not made anew.

What its row groups held stands in the table `shards`, as hashes of the rows' inputs, so nothing in the file is believed: a group
counts where its bytes and its footer have the checksum that they were written with.
"""

import logging
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.shards.checked import damage_told, parquet_of
from pipeline.shards.format import ShardError
from pipeline.shards.opened import FOOTER_END, ShardFile, opened
from pipeline.shards.splice import Block, CannotSplice, Plain, Splicer, blocks_of
from pipeline.shards.written import Stored, Written, from_text

log = logging.getLogger(__name__)

_DECODED = 2  # row groups that are held: rows of one that was split are wanted twice, one after the other


class Held:
    """Row groups of a shard, by the hashes of their rows.

    Args:
        file: the open shard.
        groups: that were written into it.

    Raises:
        ShardError: the file is damaged.
        CannotSplice: its footer is laid out otherwise than those of today.
    """

    def __init__(self, file: ShardFile, groups: Sequence[Written]) -> None:
        self._file = file
        with damage_told(file.path):
            self._parquet: pq.ParquetFile = parquet_of(file)
            footer = bytes(file.view(file.body, file.size - FOOTER_END))
            self._blocks = blocks_of(footer, self._parquet.metadata)
        self._by_size: dict[int, list[int]] = {}
        for number, block in enumerate(self._blocks):
            self._by_size.setdefault(block.stop - block.start, []).append(number)
        self._whole = {group.rows: group.stored for group in groups}
        self._place = {row: (group.stored, at) for group in groups for at, row in enumerate(group.rows)}
        self._tables: dict[Stored, pa.Table | None] = {}
        self._warned = False

    def copy(self, rows: tuple[str, ...], out: Splicer | Plain) -> Stored | None:
        """Copy the row group of these rows, if it is there as it was written."""
        stored = self._whole.get(rows)
        if stored is None:
            return None
        blocks = [self._blocks[number] for number in self._by_size.get(stored.bytes, ())]
        if any(out.copy(block, self._file, stored.crc32) for block in blocks):
            return stored
        self._warn()
        return None

    def rows(self, wanted: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """(number among those wanted, the row as it is stored) of the rows that are there."""
        for number, row in enumerate(wanted):
            stored, at = self._place.get(row, (None, 0))
            table = self._decoded(stored) if stored else None
            if table is not None:
                yield number, table.slice(at, 1)

    def _decoded(self, stored: Stored) -> pa.Table | None:
        if stored not in self._tables:
            number, table = self._read(stored), None
            if number is not None:
                with damage_told(self._file.path):
                    table = self._parquet.read_row_group(number, use_threads=False)
            while len(self._tables) >= _DECODED:
                self._tables.pop(next(iter(self._tables)))
            self._tables[stored] = table
        return self._tables[stored]

    def _read(self, stored: Stored) -> int | None:
        """The number of a row group that holds what was written; its bytes are at hand."""
        for number in self._by_size.get(stored.bytes, ()):
            block: Block = self._blocks[number]
            self._file.hold(block.start, block.stop)
            if block.checksum(zlib.crc32(self._file.view(block.start, block.stop))) == stored.crc32:
                return number
        self._warn()
        return None

    def _warn(self) -> None:
        if not self._warned:
            log.warning(
                "%s does not hold all that was written into it: what is missing is packed anew", self._file.path
            )
        self._warned = True


@contextmanager
def held(path: Path, text: str | None) -> Iterator[Held | None]:
    """The shard at a path, with what the table says of its row groups; None where there is none that can be used again."""
    with ExitStack() as stack:
        found = None
        if text and path.is_file():
            try:
                found = Held(stack.enter_context(opened(path)), from_text(text))
            except (ShardError, CannotSplice, OSError) as error:  # all of it is in the tables as well
                log.warning("nothing of %s is used again: %s", path, error)
        yield found
