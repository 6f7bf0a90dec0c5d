"""Joins what is known of the samples of a bucket and writes its shard: row groups that stay are copied, new rows are packed."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.shards.format import shard_schema
from pipeline.shards.grouping import groups_of
from pipeline.shards.held import Held, held
from pipeline.shards.opened import opened
from pipeline.shards.splice import spliced
from pipeline.shards.write import encoding
from pipeline.shards.written import Written, as_text
from pipeline.tables.arrow import numbers
from stages.shards import Shards
from stages.shards.columns import BEFORE, FOLDER
from stages.shards.rows import BucketRows
from stages.shards.settings import ShardsSettings

log = logging.getLogger(__name__)


class ShardWriter:
    """Writes the shard of one bucket after the other.

    Args:
        settings: of the stage.
        context: with the run's storage.
        version: of the stage.
    """

    def __init__(self, settings: ShardsSettings, context: Context, version: int) -> None:
        self._settings, self._storage, self._version = settings, context.storage, version
        self._before: Mapping[str, str] = context.given.get(BEFORE, {})

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the row of a bucket, once its shard is written."""
        split, bucket = unit.id.rsplit("-", 1)
        path = f"{FOLDER}/{split}-{bucket}-of-{self._settings.buckets:05d}.parquet"
        rows = BucketRows(unit, self._version)
        with self._storage.writing(path) as target:
            about = self._write(target, rows, path, self._before.get(unit.id))
            size = target.stat().st_size
        yield {"bucket": unit.id, "split": split, "path": path, "bytes": size, "rows": len(rows), **about}

    def _write(self, target: Path, rows: BucketRows, path: str, before: str | None) -> Row:
        hashes, done, packed = rows.hashes(), list[Written](), 0
        there = self._storage.local(path) if before else target
        with held(there, before) as old, spliced(target, shard_schema(), encoding(shard_schema())) as out:
            for group in groups_of(rows.samples["video_id"], rows.samples["person_id"]):
                own = tuple(hashes[row] for row in group)
                stored = old and old.copy(own, out)
                if not stored:
                    table, made = _assembled(group, own, rows, old)
                    stored, packed = out.add(table), packed + made
                done.append(Written(stored, own))
            sha256 = out.close()
        with opened(target):  # raises where no reader would take it
            pass
        log.info("%s: %d of %d samples packed, %.1f MB copied", path, packed, len(rows), out.copied / 1e6)
        return {"sha256": sha256, "seconds": rows.seconds, "row_groups": as_text(done)}


def _assembled(
    group: npt.NDArray[np.int64], hashes: tuple[str, ...], rows: BucketRows, old: Held | None
) -> tuple[pa.Table, int]:
    """The rows of a group, those that are stored already as they are, and how many are new."""
    found = dict(old.rows(hashes)) if old else {}
    new = [number for number in range(len(group)) if number not in found]
    stored = [found[number] for number in sorted(found)]
    tables = [pa.concat_tables(stored).combine_chunks().cast(shard_schema())] if stored else []
    tables += [rows.table(group[new].tolist())] if new else []
    if len(tables) == 1:  # in its order already
        return tables[0].combine_chunks(), len(new)
    order = np.argsort([*sorted(found), *new])
    return pa.concat_tables(tables).take(numbers(order)).combine_chunks(), len(new)


def open_worker(stage: Shards, context: Context) -> ShardWriter:
    """What does the stage's work."""
    return ShardWriter(stage, context, stage.version)
