"""Writing files so that a kill at any moment leaves either the old file or the new one."""

import errno
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.base.reasons import Failure, Reason

TEMPORARY = ".writing-"  # names that begin so are leftovers of a kill; `csg405 gc` removes them
DISCARDED = ".discarded"
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def replacing(path: Path, *, flush_folder: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it is fsynced and renamed over `path`.

    The temporary file keeps the target's suffix, because writers look at it. It is removed when the block fails.

    Args:
        flush_folder: so that a power cut cannot bring the old file back; who writes many files does so once, after the last.
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex[:12]}{path.suffix}"
    in_place = False
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
        in_place = True
        if flush_folder:
            sync(path.parent)
    # a full disk names no file, others the temporary one; what is read in the block names neither
    except OSError as error:
        if error.filename == str(temporary) or (error.filename is None and error.errno in _OF_WRITING):
            error.filename = str(path)
        raise
    finally:
        if not in_place:
            temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each flushed to the disk: after a power cut the path to what lies in it is there."""
    if folder.is_dir():  # as nearly always: asking for each folder above it costs more than the rest of a small file
        return
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        sync(place.parent)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk; folders too, because a rename lives in the folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all(folders: Iterable[Path]) -> None:
    """Flush folders, each once; one that is gone with all in it has nothing to flush."""
    for folder in sorted(set(folders)):
        if folder.is_dir():
            sync(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_if_changed(path: Path, content: bytes) -> bool:
    """Write one of many small files of a folder, atomically, unless it holds that already; returns whether it was written.

    The folder is not flushed: `sync` it after the last.
    """
    try:
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return False
    except OSError:  # not there, or not readable: writing says what is wrong
        pass
    with replacing(path, flush_folder=False) as temporary:
        temporary.write_bytes(content)
    return True


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a small file; empty where the file is missing or holds something else. Raises OSError of the disk."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def check_writable(folder: Path) -> None:
    """Raise the OSError that writing into a folder, which may have to be made first, would meet."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


def failure_of(error: OSError) -> Failure | None:
    """A full disk or a read-only folder as a `Failure` that says what to do; None for other errors."""
    where = error.filename or "the run folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(
            Reason.DISK_FULL, f"no space left while writing {where}: free some and run the same command again"
        )
    if error.errno == errno.ENAMETOOLONG:
        return Failure(Reason.NOT_WRITABLE, f"{where}: its name is too long: choose a shorter one, then run again")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return Failure(Reason.NOT_WRITABLE, f"{where} cannot be written: check its owner and mount, then run again")
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return Failure(Reason.NOT_WRITABLE, f"{where}: a file stands where a folder should be; move it, then run again")
    return None


def tombstone_of(path: Path) -> Path:
    """What stands beside a file that was freed on purpose, so that it is not taken for lost."""
    return path.with_name(path.name + DISCARDED)
