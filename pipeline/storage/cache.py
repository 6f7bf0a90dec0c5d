"""Copies of stored files on this machine, since ffmpeg and Parquet readers open local files: whole, checked, the oldest go first.

files/<key>        the copies, laid out as a run is
notes/<key>.json   of which version of the stored file a copy is; its time is when it was last asked for
leases/<id>        what a process reads now, locked by it while it lives
work/<id>/         what that process is fetching or writing
forgotten          up to which removal, of people who opted out, copies were looked through
scratch/<id>/      downloads in steps, begun since that removal, which another process may go on with
locks/             one process at a time fetches a key, or makes room
"""

import contextlib
import fcntl
import json
import os
import shutil
import threading
import time
import uuid
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from pipeline.base import files

FILES = "files"
_MOST_LEASED = 4096  # single files that a process holds at once; a program that reads a whole data set passes on
_STRIPES = 256
_LEAST_FREE = 2 << 30  # bytes of the disk that a cache leaves to results
_ROOM = 0.9  # of the limit is left when room was made, so that not every file makes room anew


class _Copy(NamedTuple):
    used: float
    bytes: int
    key: str


class Cache:
    """The copies of one storage's files.

    Args:
        folder: of this storage alone.
        limit_bytes: of copies; what is being read stays whatever it takes.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self._id = uuid.uuid4().hex
        self._leased: dict[str, None] = {}
        self._lease: TextIO | None = None
        self._taken = limit_bytes  # bytes since room was made: the first file looks at what lies here
        self._guard = threading.RLock()

    def path(self, key: str) -> Path:
        """Where a file's copy lies, or would."""
        return self.folder / FILES / key

    def version(self, key: str) -> str | None:
        """The version of which there is a whole copy; None where there is none."""
        note = files.read_object(self._note(key))
        try:
            stat = self.path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        same = (note.get("bytes"), note.get("written")) == (stat.st_size, stat.st_mtime_ns)
        return str(note["version"]) if same and "version" in note else None

    def lease(self, key: str) -> None:
        """Keep a copy, or with a slash at its end all in a folder, until `release` or this process's end."""
        with self._guard, self._locked("room", shared=True):
            self._leased.pop(key, None)
            self._leased[key] = None
            while len(self._leased) > _MOST_LEASED:
                del self._leased[next(iter(self._leased))]
            self._write_lease()
            self.touch(key)

    def touch(self, key: str) -> None:
        """Note that a copy was asked for now: those that were not for the longest go first."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.utime(self._note(key))

    def is_leased(self, key: str) -> bool:
        """Whether this process reads a file now."""
        return _is_held(key, self._leased)

    def release(self) -> None:
        """Keep nothing any more for this process."""
        with self._guard:
            if self._leased:
                self._leased.clear()
                self._write_lease()

    @contextmanager
    def fetching(self, key: str) -> Iterator[None]:
        """One process at a time fetches a key: the others then find its copy."""
        with self._locked(f"key-{hash_of(key) % _STRIPES:03d}"):
            yield

    @contextmanager
    def temporary(self, suffix: str = "") -> Iterator[Path]:
        """A path for a file that becomes a copy, or is put; it is gone when the block ends."""
        path = self.work() / f"{files.TEMPORARY}{uuid.uuid4().hex[:12]}{suffix}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def work(self) -> Path:
        """The folder for what this process has not finished; another one removes it once this one is gone."""
        path = self.folder / "work" / self._id
        with self._guard, self._locked("room", shared=True):  # nobody sweeps between the lease and the folder
            self._write_lease()
            path.mkdir(parents=True, exist_ok=True)
        return path

    def take(self, whole: Path, key: str, version: str) -> Path:
        """Make a whole file the copy of a version of a key."""
        path, note = self.path(key), self._note(key)
        with self._guard, self._locked("room", shared=True):
            for folder in (path.parent, note.parent):
                folder.mkdir(parents=True, exist_ok=True)
            note.unlink(missing_ok=True)
            stat = whole.replace(path).stat()
            about = {"version": version, "bytes": stat.st_size, "written": stat.st_mtime_ns}
            note.write_text(json.dumps(about), encoding="utf-8")  # half a note is none
        self._make_room(stat.st_size)
        return path

    def drop(self, key: str) -> None:
        """Remove a copy."""
        for path in (self._note(key), self.path(key)):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()

    def keys(self, folder: str = "") -> Iterator[str]:
        """The keys of the copies, or of those in a folder."""
        top = self.folder / FILES
        for path in sorted((top / folder).rglob("*")):
            if path.is_file() and len(path.relative_to(top).parts) > 1:
                yield path.relative_to(top).as_posix()

    def bytes(self) -> int:
        """What lies here, copies and work."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def bytes_of(self, folder: str) -> int:
        """What the copies in a folder take."""
        return sum(copy.bytes for copy in self._copies(folder))

    def has_disk_for(self, more: int) -> bool:
        """Whether the disk has so many bytes more, and room for results as well."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.folder).free - more > _LEAST_FREE

    def keep_only(self, keys: Container[str]) -> bool:
        """Remove the copies of other keys; whether all went, those that are being read stay."""
        with self._locked("room"):
            others = [key for key in self.keys() if key not in keys]
            held = self._held()
            for key in others:
                if not _is_held(key, held):
                    self.drop(key)
            return not any(_is_held(key, held) for key in others)

    def drop_unused(self, folder: str, seconds: float) -> None:
        """Remove the copies in a folder that nobody asked for during so many seconds, unless they are being read."""
        with self._locked("room"):
            limit, held = time.time() - seconds, self._held()
            for copy in self._copies(folder):
                if copy.used < limit and not _is_held(copy.key, held):
                    self.drop(copy.key)

    def scratch(self, removal: str, name: str) -> Path:
        """A folder for a download, begun since a removal of people who opted out."""
        path = self.folder / "scratch" / _since(removal) / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def scratches(self) -> Iterator[Path]:
        """The folders for downloads that are there."""
        yield from sorted((self.folder / "scratch").glob("*/*"))

    def keep_scratches_of(self, removal: str) -> None:
        """Remove downloads begun before a removal, of which nobody can tell whose they are, and what gone processes left."""
        self.sweep()
        for path in (self.folder / "scratch").glob("*"):
            if path.name != _since(
                removal
            ):  # no process is at these: a removal waits until nothing is at work in the run
                shutil.rmtree(path, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what processes left that are gone."""
        with self._locked("room"):
            self._sweep()

    def _sweep(self) -> None:
        alive = set(self._leases())
        for path in (self.folder / "work").glob("*"):
            if path.name not in alive:
                shutil.rmtree(path, ignore_errors=True)

    def _note(self, key: str) -> Path:
        return self.folder / "notes" / f"{key}.json"

    def _write_lease(self) -> None:
        """Say what this process reads; the file stays locked while it lives."""
        path = self.folder / "leases" / self._id
        if self._lease is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lease = path.open("a+", encoding="utf-8")
            fcntl.flock(self._lease, fcntl.LOCK_EX)
        self._lease.seek(0)
        self._lease.truncate()
        self._lease.write("".join(f"{key}\n" for key in self._leased))
        self._lease.flush()

    def _leases(self) -> dict[str, list[str]]:
        """{id: keys} of the processes that live; what others left is removed."""
        found: dict[str, list[str]] = {}
        for path in (self.folder / "leases").glob("*"):
            with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8") as file:
                if path.name != self._id and _is_free(file):
                    path.unlink(missing_ok=True)
                else:
                    found[path.name] = path.read_text(encoding="utf-8").splitlines()
        return found

    def _held(self) -> set[str]:
        """What processes of this machine read now: keys, and folders with a slash at their end."""
        return {key for keys in self._leases().values() for key in keys}

    def _make_room(self, coming: int) -> None:
        """Remove the copies that were not asked for the longest, if those here take more than the limit."""
        with self._guard:
            self._taken += coming
            if self._taken < self.limit_bytes / 50:
                return
            self._taken = 0
        with self._locked("room"):
            self._sweep()
            copies = sorted(self._copies())
            spare = sum(copy.bytes for copy in copies) - self.limit_bytes
            if spare <= 0:
                return
            spare += int(self.limit_bytes * (1 - _ROOM))
            held = self._held()
            for copy in copies:
                if spare > 0 and not _is_held(copy.key, held):
                    self.drop(copy.key)
                    spare -= copy.bytes

    def _copies(self, folder: str = "") -> Iterator[_Copy]:
        for key in self.keys(folder):
            with contextlib.suppress(FileNotFoundError):
                path, note = self.path(key), self._note(key)
                stat = path.stat()
                yield _Copy((note if note.exists() else path).stat().st_mtime, stat.st_size, key)

    @contextmanager
    def _locked(self, name: str, *, shared: bool = False) -> Iterator[None]:
        folder = self.folder / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            yield


def _is_held(key: str, held: Container[str]) -> bool:
    return key in held or f"{key.partition('/')[0]}/" in held


def _is_free(file: TextIO) -> bool:
    """Whether the process that locked a file is gone."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _since(removal: str) -> str:
    """The name of a folder for what was begun since a removal; a bucket's text is not one by itself."""
    return f"{hash_of(removal):08x}"


def hash_of(key: str) -> int:
    """A number of a key, the same in every process."""
    return zlib.crc32(key.encode())
