"""A shard that is there already, of which row groups are copied and rows are used again: what was written once is not made anew.

What its row groups held stands in the table `shards`, as hashes of the rows' inputs, so nothing in the file is believed: a group
counts where its bytes and its footer have the checksum that they were written with.
"""

import logging
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
        found = stored and self._read(stored)
        if not found:
            return None
        block, body = self._blocks[found[0]], found[1]
        out.copy(block, body, self._file.handle)
        return stored

    def rows(self, wanted: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """(number among those wanted, the row as it is stored) of the rows that are there."""
        for number, row in enumerate(wanted):
            stored, at = self._place.get(row, (None, 0))
            table = self._decoded(stored) if stored else None
            if table is not None:
                yield number, table.slice(at, 1)

    def _decoded(self, stored: Stored) -> pa.Table | None:
        if stored not in self._tables:
            found = self._read(stored)
            with damage_told(self._file.path):
                table = found and self._parquet.read_row_group(found[0], use_threads=False)
            while len(self._tables) >= _DECODED:
                self._tables.pop(next(iter(self._tables)))
            self._tables[stored] = table or None
        return self._tables[stored]

    def _read(self, stored: Stored) -> tuple[int, memoryview] | None:
        """The number and bytes of a row group that holds what was written."""
        for number in self._by_size.get(stored.bytes, ()):
            block: Block = self._blocks[number]
            self._file.hold(block.start, block.stop)
            body = self._file.view(block.start, block.stop)
            if block.checksum(body) == stored.crc32:
                return number, body
        if not self._warned:
            log.warning(
                "%s does not hold all that was written into it: what is missing is packed anew", self._file.path
            )
        self._warned = True
        return None


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
