"""Which split each video of a release is in."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from pipeline.shards.format import SPLITS
from pipeline.shards.release import ALL_LINKS
from pipeline.shards.release.reading import open_release, tables_of


def published_splits(release: Path) -> Mapping[str, str]:
    """video_id -> train, validation or test. Raises ShardError: it is no release, or damaged."""
    return _of_release(release, open_release(release).sha256)


@lru_cache(maxsize=1)
def _of_release(release: Path, sha256: str) -> Mapping[str, str]:
    """The same; a release with this index never changes."""
    found = open_release(release)
    tables = (table for path in found.files(ALL_LINKS) for table in tables_of(found.check(path), ALL_LINKS))
    rows = (row for table in tables for row in table.select(["video_id", "split"]).to_pylist())
    return {row["video_id"]: row["split"] for row in rows if row["split"] in SPLITS}
