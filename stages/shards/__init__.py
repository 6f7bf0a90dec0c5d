"""Parquet shards: everything known of the kept samples, joined and packed; a bucket is rewritten only when it changes."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.base.units import Row
from pipeline.base.version import version_of
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.shards import removal
from pipeline.shards.features import HUB
from pipeline.shards.format import VERSION, shard_measures, shard_schema
from pipeline.shards.index import INDEX, build_index, index_texts
from pipeline.storage import Storage
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import OUTCOME, RETRY, Outcome
from pipeline.tables.store import Store
from pipeline.views.nets import as_json, made_by
from pipeline.views.packed import row_groups
from stages.shards.columns import BEFORE, FEATURES, FOLDER, PUBLISHED, SAMPLE
from stages.shards.settings import SOURCE, ShardsSettings
from stages.shards.splits import by_source, units

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_KEYS = ("person_id", "clip_id", "video_id")
_LISTED = ("bucket", "split", "sha256", "bytes", "rows", "seconds")  # in the index, beside the file's name


def _reads() -> tuple[Reads, ...]:
    """What a row is made of; kinds that later stages add bring their measures by themselves."""
    measures = tuple(Reads(kind, (KINDS[kind].key, *names)) for kind, names in shard_measures().items())
    return (
        Reads("samples", (*_KEYS, *SAMPLE)),
        Reads("videos", ("video_id", "width", "height", *PUBLISHED)),
        Reads("clips", ("clip_id", "start_seconds")),
        Reads("persons", ("person_id", "video_id", "person")),
        *measures,
        Reads("audio_features", ("person_id", *FEATURES)),
    )


_READS = _reads()
_LIGHT = {
    "samples": ["person_id", "video_id"],
    "videos": ["video_id", "channel", "channel_id"],
    "persons": ["video_id"],
    "speakers": ["person_id", "speaker"],
    "twins": ["video_id", "near_cluster_id"],
}


class Shards(ShardsSettings, Stage):
    """Kept samples -> `shards/{train,validation,test}-NNNNN-of-NNNNN.parquet` and `shards/_index.json`.

    A unit is a bucket of a split. A video's bucket is a hash of its id, its split a hash of its group, so that a new verdict
    touches one file, and no video or channel is ever in two splits. By speaker, videos that have one in common stay together, and
    those that share one with either of them, and so on; a kept person without a speaker stays with the video. By source, so do
    those that share a channel or footage (`twins`).
    """

    name: ClassVar[str] = "shards"
    version: ClassVar[int] = 4
    in_columns: ClassVar[bool] = True
    summary: ClassVar[str] = "everything known of the kept samples, packed into Parquet files"
    writes: ClassVar[str] = "shards"
    resources: ClassVar[Resources] = Resources(seconds=1800, memory_gb=8)
    leaves: ClassVar[tuple[str, ...]] = (f"{FOLDER}/{INDEX}", f"{FOLDER}/{HUB}")

    @property
    def reads(self) -> tuple[Reads, ...]:  # type: ignore[override]
        """What a row is made of; twins only where splits go by them, so that they make no other run's shards anew."""
        return (*_READS, Reads("twins", ("video_id", "near_cluster_id"))) if self.split_by == SOURCE else _READS

    def group(self, tables: "Mapping[str, pa.Table]") -> list[str | None]:
        return units(self, tables)

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        removal.complete_stored(context.storage, FOLDER)  # one that was cut short would undo later what is written now
        yield {BEFORE: row_groups(Store(context.run, damages={}))}

    def finish(self, context: Context, store: Store) -> None:
        """Write the index, last; then remove shards that it does not list."""
        tables = {kind: store.read(kind, columns) for kind, columns in _LIGHT.items()}
        wanted = set(self.group(tables))
        for line in by_source(self, tables).told if self.split_by == SOURCE else ():
            log.warning(line)
        rows = store.read("shards").to_pylist()
        entries = [row for row in rows if row["bucket"] in wanted]
        _forget(store, {row["bucket"] for row in rows} - wanted)
        removal.complete_stored(context.storage, FOLDER)
        there = [entry.key for entry in context.storage.list(FOLDER)]
        if entries or there:
            _write_index(context.storage, self._index(entries, as_json(made_by(store))))
            _remove_others(context.storage, there, {entry["path"] for entry in entries})

    def _index(self, entries: list[Row], nets: dict[str, Any]) -> dict[str, Any]:
        return build_index(
            [{name: entry[name] for name in _LISTED} | {"path": Path(entry["path"]).name} for entry in entries],
            [_described(field) for field in shard_schema()],
            version=".".join(map(str, VERSION)),
            csg405=version_of(),
            settings=self.result_settings(),
            nets=nets,
        )


def _forget(store: Store, buckets: set[str]) -> None:
    """Mark buckets that emptied as not done: their files go, and a verdict that comes back must write them again."""
    table = store.table("shards")
    won = table.winners(OUTCOME.names).to_pylist() if buckets else []
    marks = [
        Outcome(row["unit"], row["stage"], row["fingerprint"], RETRY, attempt=row["attempt"] + 1, at=row["at"])
        for row in won
        if row["unit"] in buckets
    ]
    if marks:
        table.append([], marks)


def _described(field: "pa.Field") -> dict[str, str]:
    notes = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return {"name": field.name, "type": str(field.type), "unit": notes.get("unit", ""), "text": notes.get("text", "")}


def _write_index(storage: Storage, content: Mapping[str, Any]) -> None:
    for name, text in index_texts(content).items():
        if text:
            with storage.writing(f"{FOLDER}/{name}") as path:
                path.write_text(text, encoding="utf-8")
        else:
            storage.delete(f"{FOLDER}/{name}")


def _remove_others(storage: Storage, there: Iterable[str], keys: set[str]) -> None:
    for key in there:
        if key.endswith(".parquet") and key not in keys:
            log.info("removing %s: no sample is in it any more", key)
            storage.delete(key)
