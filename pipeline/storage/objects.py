"""Storage in a bucket: S3, Google Cloud Storage, Azure, by `obstore`, which is Apache Arrow's `object_store` for Python.

It puts a file under the condition that nobody else's is there, which pyarrow's and fsspec's file systems do not; it asks again
after 500s, time-outs and cut bodies, with growing, random waits. Credentials are looked for in the environment by it alone.
"""

import hashlib
import logging
import mmap
import random
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.base import files, install
from pipeline.base.errors import BadUse
from pipeline.base.hashes import sha256_of
from pipeline.base.log import redact
from pipeline.base.reasons import Failure, Reason
from pipeline.base.text import printable
from pipeline.storage.base import FOLDERS, Edited, Entry, own_key
from pipeline.storage.cache import Cache
from pipeline.storage.where import Where, write

if TYPE_CHECKING:
    from obstore.store import ObjectStore

log = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE = timedelta(seconds=90)  # for which the library tries a request again
_TRIES = 8  # of what it does not try again by itself, while
_BUDGET_SECONDS = 240.0  # are not over: less than any unit may take, so that an outage is told as one
_SILENCE = timedelta(seconds=60)  # without a byte, after which a request has failed
_LONGEST = timedelta(hours=2)  # that one body may take
_MOST_AT_ONCE = 5 << 30  # S3 takes no more in one request
_SHA256 = "sha256"
FORGOTTEN = "forgotten"  # below the prefix: another text after each removal of people who opted out
_OLD_SECONDS = 10.0  # of a listing that `sizes` gives again
_FETCHERS = 8


_NO_CREDENTIALS = "169.254.169.254"  # the machine of a cloud that is asked for them where the environment holds none
_SET_ASIDE = "`csg405 check --deep --set-aside` takes the file away, and says what makes it anew"


class _OtherBytes(ValueError):
    """Raised for a file that has its size and another hash; tried again, for the network may have done it."""


class ObjectStorage:
    """Files of a run below a prefix of a bucket, read through copies on this machine.

    Args:
        where: the prefix, and where copies lie.

    Raises BadUse where the package is not installed, or it does not know such an address.
    """

    remote = True

    def __init__(self, where: Where) -> None:
        self.where = where
        self.cache = Cache(where.cache_folder, where.cache_bytes)
        self._store = _store(where.url)
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
        there = self._metas(name)
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
            list(fetchers.map(lambda key: self._fetched(key, _version(there[key])), there))
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
        return f"{self.where.url}/{key}"

    def size(self, key: str) -> int | None:
        """Bytes of a file, by one request."""
        if key.startswith("/"):
            return Path(key).stat().st_size if Path(key).is_file() else None
        meta = self._head(own_key(key))
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
            for piece in _obstore().get(self._store, own_key(key)).stream():
                hashed.update(piece)
            found.append(hashed.hexdigest())

        try:
            self._ask(read, key)
        except FileNotFoundError:
            return None
        return found[-1]

    def read_text(self, key: str) -> str:
        """A small text, as it is in the bucket now."""
        return self._bytes(own_key(key)).decode("utf-8")

    def copy(self, key: str, target: Path) -> bool:
        """Copy a file's bytes as they are, whatever was promised of them; whether it was there."""

        def read() -> None:
            with target.open("wb") as file:
                for piece in _obstore().get(self._store, own_key(key)).stream():
                    file.write(piece)

        try:
            self._ask(read, key)
        except FileNotFoundError:
            return False
        return True

    def put(self, path: Path, key: str) -> None:
        """Put a file whole, under the condition that nobody changes the key meanwhile, with its sha256."""
        key = own_key(key)
        version = self._put_whole(path, key)
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
        for _ in range(_TRIES):
            if self._put_new(key, words.encode(), {}) is not None:
                self._listed.pop(key.partition("/")[0], None)
                return words
            try:
                return self._bytes(key).decode("utf-8")
            except FileNotFoundError:  # deleted meanwhile
                continue
        raise Failure(Reason.NETWORK, f"{self.named(key)} comes and goes: is another command at work in this run?")

    def delete(self, key: str) -> bool:
        """Delete a file, and its copy on this machine; whether it was there."""
        key = own_key(key)
        there = self._head(key) is not None
        if there:
            self._ask(lambda: _obstore().delete(self._store, key), key)
            self._listed.pop(key.partition("/")[0], None)
        self.cache.drop(key)
        return there

    def keep_deleted(self, keys: Iterable[str]) -> None:
        """Have other machines remove their copies, too."""
        if any(True for _ in keys):
            self.forget_elsewhere()

    def forget_elsewhere(self) -> None:
        """Put another text, by which other machines see that they have to look."""
        self._ask(lambda: _obstore().put(self._store, FORGOTTEN, uuid.uuid4().hex.encode()), FORGOTTEN)
        self._forgotten = None

    def list(self, folder: str) -> Iterator[Entry]:
        """Every file below a folder, a thousand by a request."""
        for key, meta in sorted(self._metas(own_key(folder)).items()):
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
        if self.cache.keep_only({key for folder in FOLDERS for key in self._metas(folder)}):
            files.write_text(note, today)

    def _fetched(self, key: str, wanted: str = "") -> Path:
        """A copy of today's file; of one that is not there, a path at which there is nothing."""
        with self.cache.fetching(key):
            held = self.cache.version(key)
            if held is not None and held == wanted:
                return self.cache.path(key)
            try:
                self._ask(lambda: self._fetch(key, held), key)
            except FileNotFoundError:
                self.cache.drop(key)
            return self.cache.path(key)

    def _fetch(self, key: str, held: str | None) -> None:
        """Make the copy today's: whole, and with the hash with which the file was put. ValueError where it is not."""
        from obstore.exceptions import NotModifiedError

        try:
            options: Any = {"if_none_match": held} if held and held.endswith('"') else {}
            answer = _obstore().get(self._store, key, options=options)
        except NotModifiedError:
            return
        with self.cache.temporary(PurePosixPath(key).suffix) as path:
            hashed, size = hashlib.sha256(), 0
            with path.open("wb") as file:
                for piece in answer.stream():
                    file.write(piece)
                    hashed.update(piece)
                    size += len(piece)
            promised = answer.attributes.get(_SHA256)
            if size != answer.meta["size"]:
                raise ValueError(f"{size} of {answer.meta['size']} bytes came")
            if promised not in (None, hashed.hexdigest()):
                raise _OtherBytes("other bytes lie there than were put")
            self.cache.take(path, key, _version(answer.meta))

    def _put_whole(self, path: Path, key: str) -> str:
        """Put a file; another that is there is replaced, unless it has the same bytes. Returns: its version."""
        from obstore.exceptions import PreconditionError

        size, about = path.stat().st_size, {_SHA256: sha256_of(path)}
        with path.open("rb") as file:
            # mapped, not read: a request takes its bytes from here
            body = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if size else b""
            for _ in range(_TRIES):
                if size <= _MOST_AT_ONCE and (version := self._put_new(key, body, about)) is not None:
                    return version
                try:
                    if (found := self._same(key, size, about[_SHA256])) is not None:
                        return found
                    return self._replaced(key, body, about)
                except (FileNotFoundError, PreconditionError):  # somebody deleted or changed it meanwhile
                    continue
        raise Failure(Reason.NETWORK, f"{self.named(key)} is written by several at once: run the same command again")

    def _put_new(self, key: str, body: Any, about: dict[str, str]) -> str | None:
        """Put what is not there yet; None where something is."""
        from obstore.exceptions import AlreadyExistsError

        def put() -> str | None:
            try:
                done = _obstore().put(
                    self._store, key, body, attributes=about or None, mode="create", use_multipart=False
                )
            except AlreadyExistsError:
                return None
            return done["e_tag"] or _version(self._head(key) or {})

        return self._ask(put, key)

    def _replaced(self, key: str, body: Any, about: dict[str, str]) -> str:
        """Put over what is there now, if it is still that; what one request does not take goes in parts, which count as a whole."""
        meta = self._head(key)
        whole = len(body) <= _MOST_AT_ONCE
        if meta is None and whole:
            raise FileNotFoundError(key)
        # S3 and Azure compare ETags, Google generations
        known = {name: meta[name] for name in ("e_tag", "version") if meta.get(name)} if meta and whole else {}
        mode: Any = known or "overwrite"
        done = self._ask(
            lambda: _obstore().put(
                self._store, key, body, attributes=about, use_multipart=not whole, **({"mode": mode} if whole else {})
            ),
            key,
        )
        return str(done["e_tag"] or _version(self._head(key) or {}))

    def _same(self, key: str, size: int, sha256: str) -> str | None:
        """The version of what is there, if it has these bytes."""
        try:
            answer = self._ask(lambda: _obstore().get(self._store, key, options={"head": True}), key)
        except FileNotFoundError:
            return None
        same = answer.meta["size"] == size and answer.attributes.get(_SHA256) == sha256
        return _version(answer.meta) if same else None

    def _head(self, key: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self._ask(lambda: _obstore().head(self._store, key), key)
        except FileNotFoundError:
            return None
        return found

    def _bytes(self, key: str) -> bytes:
        return bytes(self._ask(lambda: _obstore().get(self._store, key).bytes(), key))

    def _metas(self, folder: str) -> dict[str, Mapping[str, Any]]:
        """{key: what a listing tells} of every file below a folder."""

        def listed() -> dict[str, Mapping[str, Any]]:
            pages = _obstore().list(self._store, folder, chunk_size=1000)
            return {meta["path"]: meta for page in pages for meta in page if not meta["path"].endswith("/")}

        return self._ask(listed, folder)

    def _ask(self, call: Callable[[], T], key: str) -> T:
        """An answer. Raises FileNotFoundError; Failure for a store that does not answer, or does not let us."""
        from obstore import exceptions

        passed = (FileNotFoundError, exceptions.PreconditionError, exceptions.NotModifiedError)
        began = time.monotonic()
        for tried in range(1, _TRIES + 1):
            try:
                return call()
            except passed as error:
                if isinstance(error, FileNotFoundError) and "NoSuchBucket" in str(error):
                    raise self._refused(key, "lies in a bucket that is not there", error) from None
                raise
            except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
                raise self._refused(key, "does not let us", error) from None
            except exceptions.NotSupportedError as error:
                raise self._refused(
                    key, "does not know conditional puts (If-None-Match), which this needs", error
                ) from None
            except (exceptions.BaseError, TimeoutError, ConnectionError, ValueError) as error:
                if "404 Not Found" in str(error):
                    raise self._refused(key, "lies in a bucket that is not there", error) from None
                if tried == _TRIES or time.monotonic() - began > _BUDGET_SECONDS:
                    if isinstance(error, _OtherBytes):
                        raise Failure(Reason.CORRUPT, f"{self.named(key)}: {error}: {_SET_ASIDE}") from None
                    if _NO_CREDENTIALS in str(error):
                        raise self._refused(key, "was asked for without credentials", error) from None
                    why = _in_short(error)
                    detail = f"{self.named(key)} could not be reached ({why}): run the same command again"
                    raise Failure(Reason.NETWORK, detail) from None
                time.sleep(random.uniform(0, min(10.0, 0.2 * 2**tried)))  # noqa: S311 - a wait, no secret
        raise AssertionError(key)

    def _refused(self, key: str, what: str, error: Exception) -> Failure:
        return Failure(
            Reason.NOT_WRITABLE,
            f"{self.named(key)} {what} ({_in_short(error)}): check the address and the credentials in the environment",
        )


def _obstore() -> Any:
    import obstore

    return obstore


def _store(url: str) -> "ObjectStore":
    """The library's store. HTTP without encryption is used where the environment names such a server alone."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ModuleNotFoundError:
        raise BadUse(f"{url}: reading a bucket needs the extra `storage`: {install.with_extra('storage')}") from None
    try:
        return from_url(
            url,
            client_options={
                "allow_http": True,
                "connect_timeout": timedelta(seconds=10),
                "read_timeout": _SILENCE,
                "timeout": _LONGEST,
            },
            retry_config={
                "max_retries": 12,
                "retry_timeout": PATIENCE,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=15),
                    "base": 2,
                },
            },
        )
    except (BaseError, ValueError) as error:
        raise BadUse(f"{url} cannot be opened: {_in_short(error)}") from None


def _version(meta: Mapping[str, Any]) -> str:
    """What changes when a file does: its ETag, else when it was written and its size."""
    return str(meta.get("e_tag") or f"{meta.get('last_modified')} {meta.get('size')}")


def _states(folder: Path) -> dict[str, tuple[int, int]]:
    """{name: (file's number on the disk, when it was written)} of the files in a folder."""
    found = {}
    for path in folder.iterdir():
        if path.is_file():
            stat = path.stat()
            found[path.name] = stat.st_ino, stat.st_mtime_ns
    return found


def _in_short(error: Exception) -> str:
    """What an error says, in a few words; requests, which may be signed, and secrets are left out."""
    words = printable(redact(str(error).split("Debug source")[0].split("?")[0]))
    return words[-300:] if len(words) <= 300 else f"{words[:300]}…"
