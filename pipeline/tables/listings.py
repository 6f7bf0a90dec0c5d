"""Listings of a run's folders, which the stages of one command ask for in turn."""

import time
from collections.abc import Mapping
from pathlib import Path

from pipeline.storage import Storage

_SETTLED_SECONDS = 2.0  # a folder changed so long ago changes its time with the next file: some disks count in seconds


class Listings:
    """Sizes of files by folder; one is listed again once a file or folder came to it, or went.

    Files that rows name are replaced and never written into, so that the times of their folders tell of every change. A file that
    is not in a listing may still be there: who looks for one asks for it by itself.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str], tuple[Mapping[str, int], dict[Path, int]]] = {}

    def sizes(self, storage: Storage, folder: str) -> Mapping[str, int]:
        """{key: bytes} of a folder such as "clips"; of one that lies in a bucket, what that knows."""
        if storage.remote:
            return storage.sizes(folder)
        place = storage.folder(folder)
        if (place, folder) in self._known:
            sizes, times = self._known[place, folder]
            if _times(times) == times:
                return sizes
        began = time.time()
        sizes = storage.sizes(folder)
        parents = {key.rpartition("/")[0] for key in sizes}
        times = _times({place, *(place / parent.partition("/")[2] for parent in parents)})
        if max(times.values()) < (began - _SETTLED_SECONDS) * 1e9:
            self._known[place, folder] = sizes, times
        return sizes


def _times(folders: set[Path] | dict[Path, int]) -> dict[Path, int]:
    """When a file or folder last came to each, or went, nanoseconds since 1970; 0 where the folder is not there."""
    found = dict.fromkeys(folders, 0)
    for folder in folders:
        try:
            found[folder] = folder.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found
