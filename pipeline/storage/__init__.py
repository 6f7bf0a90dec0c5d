"""Where raw videos, clips, previews and shards lie: a disk, or an object store. Nobody else joins a run's folder to them."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.base import install
from pipeline.base.errors import BadUse
from pipeline.storage.base import FOLDERS, Edited, Entry, Storage, tombstone_of
from pipeline.storage.disk import DiskStorage
from pipeline.storage.divided import Divided
from pipeline.storage.where import MARK, Where, where_of

__all__ = [
    "FOLDERS",
    "DiskStorage",
    "Edited",
    "Entry",
    "Storage",
    "Where",
    "divided",
    "opened",
    "storage_of",
    "tombstone_of",
    "where_of",
]

_opened: dict[tuple[int, Where, str, str], Storage] = {}  # of this process


def storage_of(run: Path) -> Storage:
    """The storage of a run, or of a folder that is laid out like one: a published copy, an evaluation."""
    if not os.path.exists(f"{run}/{MARK}"):  # noqa: PTH110 - asked for a hundred thousand times
        return DiskStorage(run)
    where = where_of(run)
    return DiskStorage(run) if where is None else divided(where, run)


def divided(where: Where, run: Path) -> Storage:
    """The storage of a run that is at an address, whether the run's folder is on this machine or not."""
    return Divided(opened(where), run)


def opened(where: Where) -> Storage:
    """The storage at an address, the same object for all who ask in this process."""
    if urlsplit(where.url).scheme == "file":
        return DiskStorage(Path(unquote(urlsplit(where.url).path)))
    try:
        from pipeline.storage.objects import ObjectStorage
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        advice = install.with_extra("storage")
        raise BadUse(f"{where.url}: reading a bucket needs the extra `storage`: {advice}") from None

    key = os.getpid(), where, str(where.cache_folder), os.environ.get("AWS_ENDPOINT_URL", "")
    if key not in _opened:
        _opened[key] = ObjectStorage(where)
    return _opened[key]
