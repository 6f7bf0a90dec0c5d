"""Storage in a bucket: S3, Google Cloud Storage, Azure, read through copies on this machine."""

import hashlib
import logging
import shutil
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from pipeline.base import files
from pipeline.base.hashes import sha256_of
from pipeline.storage.base import FOLDERS, Edited, Entry, own_key
from pipeline.storage.bucket import Bucket, version_of
from pipeline.storage.cache import Cache
from pipeline.storage.where import Where, write

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)
T = TypeVar("T")

FORGOTTEN = "forgotten"  # below the prefix: another text after each removal of people who opted out
_OLD_SECONDS = 10.0  # of a listing that `sizes` gives again
_FETCHERS = 8


class ObjectStorage:
    """Files of a run below a prefix of a bucket, read through copies on this machine.

    Args:
        where: the prefix, and where copies lie.

    Raises BadUse where there is no store of such an address.
    """

    remote = True

    def __init__(self, where: Where) -> None:
        self.where = where
        self.cache = Cache(where.cache_folder, where.cache_bytes)
        self.bucket = Bucket(where.url)
        self._listed: dict[str, tuple[float, dict[str, int]]] = {}
        self._looking = threading.Lock()
        self._forgotten: str | None = (
            None  # the text of the last removal, as this process saw it; None: it has not looked
        )

    def local(self, key: str) -> Path:
        """The path of a copy, which is fetched unless it is that of today's file."""
        if key.startswith("/"):
            return Path(key)
        key = own_key(key)
        self.forget_here()
        if self.cache.is_leased(key) and (path := self.cache.path(key)).exists():
            return path
        self.cache.lease(key)
        return self._fetched(key)

    def folder(self, name: str) -> Path:
        """The folder of copies, with those of today's files in it and no others."""
        self.forget_here()
        self.cache.lease(f"{name}/")
        there = self.bucket.metas(name)
        size = sum(meta["size"] for meta in there.values())
        if size > self.cache.limit_bytes:
            log.warning(
                "%s/ takes %.1f GiB, more than the cache's limit of %.1f (machine.cache_gb)",
                *(name, size / (1 << 30), self.cache.limit_bytes / (1 << 30)),
            )
        for key in list(self.cache.keys(name)):
            if key not in there:
                self.cache.drop(key)
        with ThreadPoolExecutor(_FETCHERS) as fetchers:
            list(fetchers.map(lambda key: self._fetched(key, version_of(there[key])), there))
        path = self.cache.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(
            path.parent, self.where
        )  # so that the folder above is laid out like the run, for whoever looks beside this one
        return path

    def contained(self, key: str) -> Path | None:
        """As `local`; None for a key outside of the folders of a run."""
        steps = PurePosixPath(key).parts
        good = len(steps) > 1 and steps[0] in FOLDERS and ".." not in steps and "\0" not in key
        return self.local(key) if good else None

    @contextmanager
    def editing(self, name: str) -> Iterator[Edited]:
        """Links to the copies, in a folder of their own; what became another file is put, what is gone is deleted."""
        source, path = self.folder(name), self.cache.work() / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        for key in self.cache.keys(name):
            (path / Path(key).name).hardlink_to(source / Path(key).name)
        known = _states(path)

        def keep() -> None:
            nonlocal known
            known = self._keep(name, path, known)

        try:
            yield Edited(path, keep)
            keep()
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _keep(self, name: str, path: Path, known: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """Put what is new, in the order in which it was written; then delete what is gone, visible files before hidden ones."""
        now = _states(path)
        for file in sorted((one for one in now if now[one] != known.get(one)), key=lambda one: now[one][1]):
            with self.cache.temporary(Path(file).suffix) as copy:
                shutil.copyfile(path / file, copy)
                self.put(copy, f"{name}/{file}")
        for file in sorted(set(known) - set(now), reverse=True):
            self.delete(f"{name}/{file}")
        return now

    def release(self) -> None:
        """Let copies go when there is need of room, and listings."""
        self.cache.release()
        self._listed.clear()

    def copied_bytes(self) -> int:
        """Bytes of the cache, and of what is being fetched and written."""
        return self.cache.bytes()

    def exists(self, key: str) -> bool:
        """Whether there is a file of this key."""
        return self.size(key) is not None

    def named(self, key: str) -> str:
        """Its address."""
        return self.bucket.named(key)

    def size(self, key: str) -> int | None:
        """Bytes of a file, by one request."""
        if key.startswith("/"):
            return Path(key).stat().st_size if Path(key).is_file() else None
        meta = self.bucket.head(own_key(key))
        return None if meta is None else int(meta["size"])

    def sizes(self, folder: str) -> Mapping[str, int]:
        """Sizes by a listing, which is given again for some seconds unless this process changed something."""
        at, known = self._listed.get(folder, (float("-inf"), {}))
        if time.monotonic() - at > _OLD_SECONDS:
            known = {entry.key: entry.bytes for entry in self.list(folder)}
            self._listed[folder] = time.monotonic(), known
        return known

    def sha256(self, key: str) -> str | None:
        """The hash of a file's bytes as they are in the bucket now; nothing is copied."""
        if key.startswith("/"):
            return sha256_of(Path(key)) if Path(key).is_file() else None
        found: list[str] = []

        def read() -> None:
            hashed = hashlib.sha256()
            for piece in self.bucket.pieces(own_key(key)):
                hashed.update(piece)
            found.append(hashed.hexdigest())

        try:
            self.bucket.ask(read, key)
        except FileNotFoundError:
            return None
        return found[-1]

    def read_text(self, key: str) -> str:
        """A small text, as it is in the bucket now."""
        return self.bucket.content(own_key(key)).decode("utf-8")

    def copy(self, key: str, target: Path) -> bool:
        """Copy a file's bytes as they are, whatever was promised of them; whether it was there."""

        def read() -> None:
            with target.open("wb") as file:
                for piece in self.bucket.pieces(own_key(key)):
                    file.write(piece)

        try:
            self.bucket.ask(read, key)
        except FileNotFoundError:
            return False
        return True

    def put(self, path: Path, key: str) -> None:
        """Put a file whole, under the condition that nobody changes the key meanwhile, with its sha256."""
        key = own_key(key)
        version = self.bucket.put_file(path, key)
        self._listed.pop(key.partition("/")[0], None)
        with self.cache.fetching(key):
            if path.is_relative_to(self.cache.folder):
                self.cache.take(path, key, version)
            else:
                with self.cache.temporary(path.suffix) as copy:
                    shutil.copyfile(path, copy)
                    self.cache.take(copy, key, version)
                path.unlink()

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """A path on this machine; when the block ends well the file is put."""
        key = own_key(key)
        with self.cache.temporary(PurePosixPath(key).suffix) as path:
            yield path
            self.put(path, key)

    def claim(self, key: str, words: str) -> str:
        """Put a small text under the condition that there is none; the text that is there then."""
        key = own_key(key)
        text = self.bucket.claim(key, words)
        self._listed.pop(key.partition("/")[0], None)
        return text

    def delete(self, key: str) -> bool:
        """Delete a file, and its copy on this machine; whether it was there."""
        key = own_key(key)
        there = self.bucket.head(key) is not None
        if there:
            self.bucket.delete(key)
            self._listed.pop(key.partition("/")[0], None)
        self.cache.drop(key)
        return there

    def keep_deleted(self, keys: Iterable[str]) -> None:
        """Have other machines remove their copies, too."""
        if any(True for _ in keys):
            self.forget_elsewhere()

    def forget_elsewhere(self) -> None:
        """Put another text, by which other machines see that they have to look."""
        self.bucket.put(FORGOTTEN, uuid.uuid4().hex.encode())
        self._forgotten = None

    def list(self, folder: str) -> Iterator[Entry]:
        """Every file below a folder, a thousand by a request."""
        for key, meta in sorted(self.bucket.metas(own_key(folder)).items()):
            yield Entry(key, meta["size"], meta["last_modified"].timestamp())

    def scratch(self, name: str) -> Path:
        """A folder of this machine, which a later process finds again."""
        self.forget_here()
        return self.cache.scratch(self._forgotten or "", name)

    def scratches(self) -> Iterator[Path]:
        """Those that are there; what killed processes were fetching or writing goes first."""
        self.cache.sweep()
        yield from self.cache.scratches()

    def forget_here(self) -> None:
        """Once a process: remove copies of what is there no more, if somebody opted out since this machine last looked."""
        with self._looking:
            if self._forgotten is None:
                try:
                    today = self.read_text(FORGOTTEN)
                except FileNotFoundError:
                    today = ""
                if today:
                    self._look_through(today)
                self._forgotten = today

    def _look_through(self, today: str) -> None:
        """Remove what may be of people who opted out up to this removal, unless that was done."""
        note = self.cache.folder / FORGOTTEN
        if note.is_file() and note.read_text(encoding="utf-8") == today:
            return
        self.cache.keep_scratches_of(today)
        if self.cache.keep_only({key for folder in FOLDERS for key in self.bucket.metas(folder)}):
            files.write_text(note, today)

    def _fetched(self, key: str, wanted: str = "") -> Path:
        """A copy of today's file; of one that is not there, a path at which there is nothing."""
        with self.cache.fetching(key):
            held = self.cache.version(key)
            if held is not None and held == wanted:
                return self.cache.path(key)
            try:
                self.bucket.ask(lambda: self._fetch(key, held), key)
            except FileNotFoundError:
                self.cache.drop(key)
            return self.cache.path(key)

    def _fetch(self, key: str, held: str | None) -> None:
        """Make the copy today's: whole, and with the hash with which the file was put. ValueError where it is not."""
        with self.cache.temporary(PurePosixPath(key).suffix) as path:
            if (version := self.bucket.fetch(key, held, path)) is not None:
                self.cache.take(path, key, version)


def _states(folder: Path) -> dict[str, tuple[int, int]]:
    """{name: (file's number on the disk, when it was written)} of the files in a folder."""
    found = {}
    for path in folder.iterdir():
        if path.is_file():
            stat = path.stat()
            found[path.name] = stat.st_ino, stat.st_mtime_ns
    return found
