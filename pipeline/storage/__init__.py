"""Where raw videos, clips, previews and shards lie: a disk now, an object store later. Nobody else joins a run's folder to them."""

from pathlib import Path

from pipeline.storage.base import FOLDERS, Entry, Storage, tombstone_of
from pipeline.storage.disk import DiskStorage

__all__ = ["FOLDERS", "DiskStorage", "Entry", "Storage", "storage_of", "tombstone_of"]


def storage_of(run: Path) -> Storage:
    """The storage of a run, or of a folder that is laid out like one: a published copy, an evaluation."""
    return DiskStorage(run)
