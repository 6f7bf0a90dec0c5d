"""Storage on a disk of this machine, or one that all machines share: keys are paths, and nothing is copied."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path, PurePosixPath

import filelock

from pipeline.base import files
from pipeline.base.hashes import sha256_of
from pipeline.storage.base import Edited, Entry, own_key

_SCRATCH = "raw/tmp-"  # on the disk of the files themselves, so that putting is a renaming
# What file systems without hard links (exFAT, many FUSE and network ones) answer, each in its own way.
_NO_LINKS = frozenset(
    (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL)
)


class DiskStorage:
    """Files of a run, in its folder.

    Args:
        run: the run's folder.
    """

    remote = False

    def __init__(self, run: Path) -> None:
        self.run = run

    def local(self, key: str) -> Path:
        """The file's path: below the run, or where it was found."""
        return self.run / key

    def folder(self, name: str) -> Path:
        """The folder itself."""
        return self.run / name

    def contained(self, key: str) -> Path | None:
        """The file's path; None outside of the folder that the key begins with, which may be a link to another disk."""
        steps = PurePosixPath(key).parts
        if len(steps) < 2 or steps[0] == "/" or ".." in steps or "\0" in key:
            return None
        path = self.local(key).resolve()
        return path if path.is_relative_to(self.folder(steps[0]).resolve()) else None

    def editing(self, name: str) -> AbstractContextManager[Edited]:
        """The folder itself: what is changed in it lasts as soon as it is changed."""
        return nullcontext(Edited(self.folder(name), lambda: None))

    def release(self) -> None:
        """Nothing: files are read where they lie."""

    def copied_bytes(self) -> int:
        """None: files are read where they lie."""
        return 0

    def named(self, key: str) -> str:
        """Its path."""
        return f"{self.run}/{key}"

    def size(self, key: str) -> int | None:
        """Bytes of a file."""
        try:
            return self.local(key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def sizes(self, folder: str) -> Mapping[str, int]:
        """Sizes by one walk of the folder."""
        return {entry.key: entry.bytes for entry in _below(str(self._own(folder)), folder)}

    def sha256(self, key: str) -> str | None:
        """The hash of a file."""
        try:
            return sha256_of(self.local(key))
        except FileNotFoundError:
            return None

    def read_text(self, key: str) -> str:
        """A small text."""
        return self.local(key).read_text(encoding="utf-8")

    def exists(self, key: str) -> bool:
        """Whether there is a file of this key."""
        return self.local(key).is_file()

    def copy(self, key: str, target: Path) -> bool:
        """Copy a file as it is; whether it was there."""
        try:
            shutil.copyfile(self.local(key), target)
        except FileNotFoundError:
            return False
        return True

    def put(self, path: Path, key: str) -> None:
        """Rename a file to its key's path, durably. OSError when they lie on different disks."""
        target = self._own(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        files.sync(path)
        path.replace(target)
        files.sync(target.parent)

    def writing(self, key: str) -> AbstractContextManager[Path]:
        """A temporary path beside the key's."""
        return files.replacing(self._own(key))

    def claim(self, key: str, words: str) -> str:
        """Write a small text unless there is one; the text that is there then. It is never seen half-written."""
        target = self._own(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        mine = target.parent / f"{files.TEMPORARY}{uuid.uuid4().hex[:12]}"
        try:
            mine.write_text(words, encoding="utf-8")
            os.link(mine, target)  # fails when the name is taken
        except FileExistsError:
            return target.read_text(encoding="utf-8") or self._claim_under_lock(target, mine, words)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return self._claim_under_lock(target, mine, words)
        finally:
            mine.unlink(missing_ok=True)
        return words

    def _claim_under_lock(self, target: Path, mine: Path, words: str) -> str:
        """Claim where there are no hard links: one process at a time looks, then renames its text into place."""
        locks = self.run / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(locks / "claims.lock"):
            there = target.read_text(encoding="utf-8") if target.is_file() else ""
            if not there:
                mine.write_text(words, encoding="utf-8")
                mine.replace(target)
            return there or words

    def delete(self, key: str) -> bool:
        """Remove a file; whether it was there."""
        try:
            self._own(key).unlink()
        except FileNotFoundError:
            return False
        return True

    def keep_deleted(self, keys: Iterable[str]) -> None:
        """Flush the folders that they were in."""
        files.sync_all(self._own(key).parent for key in keys)

    def forget_elsewhere(self) -> None:
        """Do nothing: there are no copies."""

    def forget_here(self) -> None:
        """Do nothing: there are no copies."""

    def list(self, folder: str) -> Iterator[Entry]:
        """Every file below a folder, by one walk of it."""
        yield from sorted(_below(str(self._own(folder)), folder), key=lambda entry: entry.key)

    def scratch(self, name: str) -> Path:
        """A folder beside the downloads."""
        path = self._own(_SCRATCH + name)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def scratches(self) -> Iterator[Path]:
        """Those that are there."""
        yield from sorted(self.run.glob(f"{_SCRATCH}*"))

    def _own(self, key: str) -> Path:
        """The path of a key of the run; ValueError for one that leads out of it."""
        own_key(key)
        return self.run / key


def _below(folder: str, key: str) -> Iterator[Entry]:
    """The files of a folder and its subfolders, in no order.

    By `os.scandir`: 147,712 clips take 1 s of processor time; `os.walk` with a `Path` and a stat each took 4.
    """
    try:
        with os.scandir(folder) as there:
            items = [*there]
    except FileNotFoundError:
        return
    for item in items:
        name = f"{key}/{item.name}"
        if item.is_dir(follow_symlinks=False):
            yield from _below(item.path, name)
        elif item.is_file(follow_symlinks=False):
            try:
                stat = item.stat(follow_symlinks=False)
            except FileNotFoundError:  # a stage that runs now has replaced or removed it
                continue
            yield Entry(name, stat.st_size, stat.st_mtime)
