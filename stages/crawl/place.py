"""Where files lie: content hashes, one owner a video, and renames into place."""

import re
from pathlib import Path

from pipeline.base.ids import disk_name, safe_video_id
from pipeline.base.reasons import Reason, Reject
from pipeline.storage import storage_of, tombstone_of

OWNER = ".owner"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # inputs percent-encode them


def file_id(sha256: str) -> str:
    """The video id of content that no site names."""
    return safe_video_id(f"file:{sha256[:16]}")


def folder_of(video_id: str) -> str:
    """`raw/<2 hex>`: a thousand videos do not fill one folder."""
    return f"raw/{disk_name(video_id)[-10:-8]}"


def owner_of(run: Path, video_id: str) -> str | None:
    """The unit that owns a video; None when nobody does yet, or what is noted can be no unit."""
    return noted_owner(run, owner_key(video_id))


def noted_owner(run: Path, key: str) -> str | None:
    """What such a note says; None where there is none, or it holds what no unit is called."""
    try:
        text = storage_of(run).read_text(key)
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if text and not _CONTROL.search(text) else None


def owner_key(video_id: str) -> str:
    """The key of the note of who owns a video."""
    return f"{folder_of(video_id)}/{disk_name(video_id)}{OWNER}"


def claim(run: Path, video_id: str, unit: str) -> None:
    """Make this unit the owner of a video; the first to ask owns it for good, also in later runs.

    Raises:
        Reject: DUPLICATE when another unit owns it.
    """
    first = storage_of(run).claim(owner_key(video_id), unit)
    if first != unit:
        raise Reject(Reason.DUPLICATE, f"the same video as {first[:200]}")


def place_of(video_id: str, path: Path) -> str:
    """The key of a video's verified file."""
    suffix = path.suffix if path.suffix[1:].isalnum() and len(path.suffix) <= 6 else ".bin"
    return f"{folder_of(video_id)}/{disk_name(video_id)}{suffix}"


def put(run: Path, key: str, path: Path) -> None:
    """Move a verified file to its key, where it may have been before."""
    storage = storage_of(run)
    storage.put(path, key)
    storage.delete(tombstone_of(key))
