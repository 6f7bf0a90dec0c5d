"""Compaction: joining the small parts of a table into few large files.

A driver does so by itself where its parts have become many; `csg405 compact` does at any time.
"""

import logging
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.progress import doing
from pipeline.tables import people, pointer
from pipeline.tables.arrow import numbers, stored_schema
from pipeline.tables.erased import Erased
from pipeline.tables.lock import Occupied, driving
from pipeline.tables.outcome import OUTCOME
from pipeline.tables.parts import ROWS_FORMAT, read_pieces, row_group_size, write_parquet
from pipeline.tables.pointer import Pointer
from pipeline.tables.seal import name_of, seal
from pipeline.tables.store import SPEAK_OF_CHANNELS, Store
from pipeline.tables.table import SIDES, Table

log = logging.getLogger(__name__)

MANY_PARTS = 1000  # of a side: to open each costs a command a second
# Of all files of a table that a driver joins by itself: a minute's work, and room for a second copy.
LIGHT_BYTES = 1 << 30
MERGED_BYTES = 512 << 20  # of a merged file before compression: a reader must hold the index of its row groups
PIECE_BYTES = 16 << 20
# Of the parts of a kind without heavy columns that is held at once, and each of its files read once; a million measures of sound in
# ten thousand parts have 46 MB.
AT_ONCE_BYTES = 128 << 20


def compact_if_many(store: Store, kind: str) -> bool:
    """Compact a table of more than a thousand parts, once its driver is done, and no other writes to it; whether it was.

    Large tables are left to `csg405 compact`, which takes long there and needs room. Rows of people who opted out are kept: they
    count again once they are let in, and `csg405 compact` erases them. Nothing is raised: what was committed stays as it was.
    """
    table = store.table(kind)
    parts = [table.parts(side) for side in SIDES]
    if max(map(len, parts)) <= MANY_PARTS:
        return False
    size = sum(path.stat().st_size for side in parts for path in side)
    if size > LIGHT_BYTES:
        count = sum(map(len, parts))
        log.info("%s lies in %d files of %.1f GB: csg405 compact %s joins them", kind, count, size / 1e9, kind)
        return False
    try:
        with doing("joining small files"):
            before, after = compact(Store(store.run), kind)
    except Occupied:
        return False
    except (OSError, UserError) as error:  # such as a full disk, or damage, which whoever reads the rows is told
        log.warning("%s stays in many files, since they could not be joined: %s", kind, error)
        return False
    log.info("%s: %d files joined into %d", kind, before, after)
    return True


def compact(store: Store, kind: str, erased: Erased | None = None) -> tuple[int, int]:
    """Join a kind's parts into one file a side, keeping winning rows and outcomes only; what is known of who opted out goes.

    The new files count once `generation.json` names them, which is written last; a kill before that changes nothing.

    Args:
        store: of the run.
        kind: of table.
        erased: works of which nothing stays, whatever opt-outs need; a table that says nothing of them is left as it is.

    Returns: (parts before, parts after).
    """
    table = store.table(kind)
    with driving(store.run, kind):
        old = {side: table.parts(side) for side in SIDES}
        before = sum(len(parts) for parts in old.values())
        if erased and not erased.is_in(part for parts in old.values() for part in parts):
            return before, before
        wanted = stored_schema(table.kind).names if _is_light(table, old["rows"]) else []
        outcomes = _kept_outcomes(store, kind)  # before the rows, which are compared with what was read of these
        rows = _kept_rows(store, kind, [*wanted, *(erased.columns(kind) if erased else ())])
        if erased:
            outcomes, rows = erased.outcomes_without(outcomes), erased.rows_without(rows)
        elif all(len(parts) <= 1 for parts in old.values()):
            stays = len(rows) == len(table.rows([])) and len(outcomes) == len(table.winners())
            if stays:
                return before, before
        merged = _merge(table, old, outcomes, rows)
        pointer.write(table.folder, merged)
        return before, len(merged.rows) + len(merged.outcomes)


def _merge(table: Table, old: dict[str, list[Path]], outcomes: pa.Table, kept: pa.Table) -> Pointer:
    """Write merged files: rows, then outcomes with the pointer in them. Returns the pointer, which is not written yet."""
    listed = [[path.name for path in (table.folder / side).glob("merged-*.parquet")] for side in SIDES]
    today = table.generation()
    # also above what kills left: the newest that reads is right
    number = max(today.generation, pointer.newest(*listed)) + 1
    stem = f"merged-{number:06d}-{uuid.uuid4().hex[:8]}"
    counts = _merge_rows(table, kept, old["rows"], stem)
    name = f"{stem}.parquet"
    # Parts that an earlier generation replaced stay named until gc removes them, or they would count again.
    gone = {part.name for parts in old.values() for part in parts} | today.replaced
    still = frozenset(one for one in gone if any((table.folder / side / one).exists() for side in SIDES))
    merged = Pointer(number, tuple(counts), (name,), still, {**counts, name: len(outcomes)})
    write_parquet(pointer.noted(outcomes, merged), table.folder / "outcomes" / name)
    return merged


def _kept_rows(store: Store, name: str, columns: Sequence[str] = ()) -> pa.Table:
    """Winning rows that a compaction keeps, with their places. Who published a video stays known: opt-outs by channel need it."""
    rows = store.table(name).rows if name in SPEAK_OF_CHANNELS else partial(store.rows, name)
    return rows(list(columns), places=True)


def _kept_outcomes(store: Store, name: str) -> pa.Table:
    """Winning outcomes that a compaction keeps. Those of people who opted out go with their rows."""
    won = store.table(name).winners(OUTCOME.names).select(OUTCOME.names)
    if name in SPEAK_OF_CHANNELS or not len(store.opted_out):
        return won
    left_out = set(store.opted_out.to_pylist())
    keep = [people.video_of(unit) not in left_out for unit in won["unit"].to_pylist()]
    return won.filter(pa.array(keep, pa.bool_()))


def _is_light(table: Table, parts: list[Path]) -> bool:
    """Whether all rows of these parts are held at once: where they are not, each file is read again for those that win."""
    return not table.kind.heavy and sum(part.stat().st_size for part in parts) <= AT_ONCE_BYTES


def _merge_rows(table: Table, kept: pa.Table, parts: list[Path], stem: str) -> dict[str, int]:
    """Copy the kept rows of the parts into files of bounded size. Returns {name: rows} of these, in order."""
    kind, schema = table.kind, stored_schema(table.kind)
    counts: dict[str, int] = {}
    pieces = _slices(kept, schema) if set(schema.names) <= set(kept.column_names) else _pieces(table, kept, parts)
    piece = next(pieces, None)
    while piece is not None:
        path = table.folder / "rows" / f"{stem}-{len(counts):04d}.parquet"
        size = rows = 0
        with files.replacing(path) as temporary:
            with pq.ParquetWriter(temporary, schema, **ROWS_FORMAT) as writer:
                while piece is not None and size < MERGED_BYTES:
                    writer.write_table(piece, row_group_size=row_group_size(piece, kind))
                    size, rows = size + piece.nbytes, rows + len(piece)
                    piece = next(pieces, None)
            seal(temporary, name_of(path))
        counts[path.name] = rows
    return counts


def _slices(kept: pa.Table, schema: pa.Schema) -> Iterator[pa.Table]:
    """Kept rows that were read with all their columns, in tables of a few megabytes."""
    whole = kept.select(schema.names)
    rows = max(1, len(whole) * PIECE_BYTES // max(1, whole.nbytes))
    for first in range(0, len(whole), rows):
        yield whole.slice(first, rows)


def _pieces(table: Table, kept: pa.Table, parts: list[Path]) -> Iterator[pa.Table]:
    """The kept rows in tables of a few megabytes: keypoints of a whole run do not fit in memory."""
    schema = stored_schema(table.kind)
    edges = np.searchsorted(kept["file"].to_numpy(), np.arange(len(parts) + 1, dtype=np.int32))
    places = kept["place"].to_numpy()
    held: list[pa.Table] = []
    wanted: list[npt.NDArray[np.int64]] = []
    rows = size = 0
    for number, part in enumerate(parts):
        mine, first = places[edges[number] : edges[number + 1]].astype(np.int64), 0
        for piece in read_pieces(part, PIECE_BYTES):
            here = mine[(mine >= first) & (mine < first + len(piece))] - first
            first += len(piece)
            if len(here):
                held.append(piece)
                wanted.append(here + rows)
                rows, size = rows + len(piece), size + piece.nbytes
            if size >= PIECE_BYTES:
                yield _taken(schema, held, wanted)
                held, wanted, rows, size = [], [], 0, 0
    if held:
        yield _taken(schema, held, wanted)


def _taken(schema: pa.Schema, tables: list[pa.Table], places: list[npt.NDArray[np.int64]]) -> pa.Table:
    """Rows of some tables, one behind the other, as one of `schema`: all at once, since each call of Arrow costs the same."""
    table = pa.concat_tables([schema.empty_table(), *tables], promote_options="default").select(schema.names)
    return table.take(numbers(np.concatenate(places))).combine_chunks()
