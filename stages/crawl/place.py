"""Where files lie: content hashes, one owner a video, and renames into place."""

import os
import uuid
from pathlib import Path

from pipeline.base import files
from pipeline.base.ids import disk_name, safe_video_id
from pipeline.base.reasons import Reason, Reject


def file_id(sha256: str) -> str:
    """The video id of content that no site names."""
    return safe_video_id(f"file:{sha256[:16]}")


def folder_of(run: Path, video_id: str) -> Path:
    """`raw/<2 hex>`: a thousand videos do not fill one folder."""
    return run / "raw" / disk_name(video_id)[-10:-8]


def owner_of(run: Path, video_id: str) -> str | None:
    """The unit that owns a video; None when nobody does yet."""
    try:
        return _owner_file(run, video_id).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _owner_file(run: Path, video_id: str) -> Path:
    return folder_of(run, video_id) / f"{disk_name(video_id)}.owner"


def claim(run: Path, video_id: str, unit: str) -> None:
    """Make this unit the owner of a video; the first to ask owns it for good, also in later runs.

    Raises:
        Reject: DUPLICATE when another unit owns it.
    """
    owner = _owner_file(run, video_id)
    owner.parent.mkdir(parents=True, exist_ok=True)
    mine = owner.parent / f"{files.TEMPORARY}{uuid.uuid4().hex[:12]}"
    try:
        mine.write_text(unit, encoding="utf-8")
        os.link(mine, owner)  # fails when the name is taken, and never shows a half-written file
    except FileExistsError:
        first = owner.read_text(encoding="utf-8")
        if first != unit:
            raise Reject(Reason.DUPLICATE, f"the same video as {first[:200]}") from None
    finally:
        mine.unlink(missing_ok=True)


def place_of(run: Path, video_id: str, path: Path) -> Path:
    """Where a video's verified file belongs, relative to the run."""
    suffix = path.suffix if path.suffix[1:].isalnum() and len(path.suffix) <= 6 else ".bin"
    return (folder_of(run, video_id) / (disk_name(video_id) + suffix)).relative_to(run)


def put(run: Path, place: Path, path: Path) -> None:
    """Move a verified file to its place (relative to the run), where it may have been before."""
    target = run / place
    target.parent.mkdir(parents=True, exist_ok=True)
    files.sync(path)
    path.replace(target)
    files.sync(target.parent)
    files.tombstone_of(target).unlink(missing_ok=True)
