"""Where raw videos, clips, previews and shards lie: a disk now, an object store later. Nobody else joins a run's folder to them."""

from pathlib import Path

from pipeline.storage.base import Entry, Storage
from pipeline.storage.disk import DiskStorage

__all__ = ["DiskStorage", "Entry", "Storage", "storage_of"]


def storage_of(run: Path) -> Storage:
    """The storage of a run."""
    return DiskStorage(run)
