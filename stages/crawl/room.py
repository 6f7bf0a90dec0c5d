"""Room on the disk: the floor under what stays free, the ceiling over what downloads take."""

import os
import shutil
from pathlib import Path

from pipeline.base.reasons import Failure, Reason
from pipeline.sources.web.settings import Web
from pipeline.storage import storage_of, where_of

GIGABYTE = 1 << 30


def check_room(run: Path, web: Web, coming: float = 0.0) -> None:
    """Raise Failure(DISK_LIMIT) when a download of `coming` bytes would go below the floor or above the ceiling."""
    where = where_of(run)
    free = min(shutil.disk_usage(path).free for path in (run, *([_there(where.cache_folder)] if where else [])))
    if free - coming < web.min_free_gigabytes * GIGABYTE:
        raise Failure(
            Reason.DISK_LIMIT,
            f"{free / GIGABYTE:.1f} GiB are free, the next video takes {coming / GIGABYTE:.2f}, and "
            f"web.min_free_gigabytes={web.min_free_gigabytes:g} are to stay free",
        )
    if web.max_raw_gigabytes:
        storage = storage_of(run)
        elsewhere = storage.scratches() if storage.remote else ()  # on a disk they lie in the folder itself
        held = sum(storage.sizes("raw").values()) + sum(map(bytes_in, elsewhere))
        if held + coming > web.max_raw_gigabytes * GIGABYTE:
            raise Failure(
                Reason.DISK_LIMIT,
                f"downloads take {held / GIGABYTE:.2f} GiB, the next video {coming / GIGABYTE:.2f}, and "
                f"web.max_raw_gigabytes={web.max_raw_gigabytes:g}",
            )


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that is there: it lies on the same disk."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def bytes_in(folder: Path) -> int:
    """Bytes of all files in a folder and its subfolders; of those that vanish meanwhile, none."""
    total, waiting = 0, [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue
    return total
