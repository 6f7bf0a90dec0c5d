"""Which clips of a test set are tested on."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pipeline.shards.index import read_index
from pipeline.shards.read import open_shards
from stages.evaluate.subjects.settings import SubjectsSettings


def clips_of_shards(settings: SubjectsSettings) -> list[str]:
    """The persons of the split, by clip: names such as `yt:ID/0+250#0`."""
    rows = open_shards(Path(settings.source), settings.shards_split).rows(("clip_id", "person"))
    return [f"{row['clip_id']}#{row['person']}" for row in rows]


def hashes_of_shards(settings: SubjectsSettings) -> list[str]:
    """sha256 of the split's files, as the index of the shards has them."""
    files = read_index(Path(settings.source))["files"]
    return [entry["sha256"] for entry in files if settings.shards_split in (None, entry["split"])]


def drawn(names: Iterable[str], limit: int) -> list[str]:
    """At most `limit` of the names, sorted: those with the lowest hashes, so that each run draws the same; 0 takes all."""
    ordered = sorted(names)
    if not limit or limit >= len(ordered):
        return ordered
    return sorted(ordered, key=lambda name: hashlib.sha256(name.encode()).digest())[:limit]
