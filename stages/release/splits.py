"""Which split each video of a run is in, as its shards say."""

from pipeline.shards.format import SPLITS
from pipeline.shards.read import open_shards
from pipeline.tables.store import Store


def splits_of(store: Store) -> dict[str, str]:
    """Video id -> split; empty where the run has no shards. Raises ShardError where they do not read."""
    if not len(store.read("shards", ["bucket"])):
        return {}
    folder = store.storage.folder("shards")
    return {row["video_id"]: split for split in SPLITS for row in open_shards(folder, split).rows(["video_id"])}
