"""Listings of a run's folders, which the stages of one command ask for in turn."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.storage import Storage

_OLD_SECONDS = 60.0  # of a listing that is given again
_SETTLED_SECONDS = 2.0  # a folder changed so long ago changes its time with the next file: some disks count in seconds


@dataclass(frozen=True)
class _Known:
    """A listing, when it was made (monotonic seconds), and the times of its folders, as of `_times`."""

    at: float
    sizes: Mapping[str, int]
    times: dict[Path, int]


class Listings:
    """Sizes of files by folder; one is listed again once a file or folder came to it, or went, and after a minute.

    Files that rows name are replaced and never written into, so that the times of their folders tell of every change that is ours.
    Of others they do not: a file is truncated in place, or a mount keeps no times of folders. Hence the minute, for a store
    that lives for days. A file that is not in a listing may still be there: who looks for one asks for it by itself.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str], _Known] = {}

    def sizes(self, storage: Storage, folder: str) -> Mapping[str, int]:
        """{key: bytes} of a folder such as "clips"; of one that lies in a bucket, what that knows."""
        if storage.remote:
            return storage.sizes(folder)
        place = storage.folder(folder)
        if (place, folder) in self._known:
            known = self._known[place, folder]
            if time.monotonic() - known.at <= _OLD_SECONDS and _times(known.times) == known.times:
                return known.sizes
        at, began = time.monotonic(), time.time()
        sizes = storage.sizes(folder)
        parents = {key.rpartition("/")[0] for key in sizes}
        times = _times({place, *(place / parent.partition("/")[2] for parent in parents)})
        if max(times.values()) < (began - _SETTLED_SECONDS) * 1e9:
            self._known[place, folder] = _Known(at, sizes, times)
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
