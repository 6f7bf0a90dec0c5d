"""Joins what is known of the samples of a bucket and writes its shard."""

import json
from collections.abc import Iterator
from typing import Any

from pipeline.base.hashes import sha256_of
from pipeline.base.units import FPS, Row
from pipeline.base.version import version_of
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.shards.format import VERSION, shard_measures
from pipeline.shards.write import write_rows
from pipeline.tables.kinds import KINDS
from stages.shards.columns import FEATURES, FOLDER, PUBLISHED, SAMPLE
from stages.shards.settings import ShardsSettings


class ShardWriter:
    """Writes the shard of one bucket after the other."""

    def __init__(self, settings: ShardsSettings, context: Context) -> None:
        self._settings, self._storage = settings, context.storage

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the row of a bucket, once its shard is written."""
        split, bucket = unit.id.rsplit("-", 1)
        rows = list(_joined(unit))
        path = f"{FOLDER}/{split}-{bucket}-of-{self._settings.buckets:05d}.parquet"
        with self._storage.writing(path) as target:
            write_rows(target, rows)
            about = {"sha256": sha256_of(target), "bytes": target.stat().st_size}
        yield {
            "bucket": unit.id,
            "split": split,
            "path": path,
            **about,
            "rows": len(rows),
            "seconds": sum(row["frames"] for row in rows) / FPS,
        }


def _joined(unit: Unit) -> Iterator[dict[str, Any]]:
    """One dict of the shard's columns a sample, in the order of person ids."""
    videos = {row["video_id"]: row for row in unit.rows("videos")}
    clips = {row["clip_id"]: row for row in unit.rows("clips")}
    persons = {row["person_id"]: row for row in unit.rows("persons")}
    more = {
        kind: (KINDS[kind].key, {row[KINDS[kind].key]: row for row in unit.rows(kind)}) for kind in shard_measures()
    }
    features = {row["person_id"]: row for row in unit.rows("audio_features")}
    for sample in unit.rows("samples"):
        video, clip = videos[sample["video_id"]], clips[sample["clip_id"]]
        row = {name: sample[name] for name in ("clip_id", "video_id", *SAMPLE)}
        row |= {name: video[name] for name in PUBLISHED}
        row |= {
            "person": persons[sample["person_id"]]["person"],
            "start_seconds": clip["start_seconds"],
            "fps": FPS,
            "source_width": video["width"],
            "source_height": video["height"],
            **{name: features.get(sample["person_id"], {}).get(name) for name in FEATURES},
            "versions": _versions(),
        }
        for kind, (key, rows) in more.items():
            measured = rows.get(sample[key], {})
            row |= {name: measured.get(name) for name in shard_measures()[kind]}
        yield row


def _versions() -> str:
    return json.dumps({"csg405": version_of(), "shard": ".".join(map(str, VERSION))}, sort_keys=True)
