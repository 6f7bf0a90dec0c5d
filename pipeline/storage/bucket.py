"""A bucket, by `obstore`: requests that are tried again, and told in words where that does not help.

It tries again after 500s, time-outs and cut bodies, with growing, random waits; what it does not try again is tried here. A file is
put under the condition that nobody else's is there, which pyarrow's and fsspec's file systems do not offer.
"""

import hashlib
import mmap
import random
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import obstore
from obstore import exceptions
from obstore.store import ObjectStore, from_url

from pipeline.base.errors import BadUse
from pipeline.base.hashes import sha256_of
from pipeline.base.log import redact
from pipeline.base.reasons import Failure, Reason
from pipeline.base.text import printable

T = TypeVar("T")
Body = bytes | memoryview

PATIENCE = timedelta(seconds=90)  # for which the library tries a request again
_TRIES = 8  # of what it does not try again by itself, while
_BUDGET_SECONDS = 240.0  # are not over: less than any unit may take, so that an outage is told as one
_SILENCE = timedelta(seconds=60)  # without a byte, after which a request has failed
_LONGEST = timedelta(hours=2)  # that one body may take
_MOST_AT_ONCE = 5 << 30  # S3 takes no more in one request
_SHA256 = "sha256"
_NO_CREDENTIALS = "169.254.169.254"  # the machine of a cloud that is asked for them where the environment holds none
_SET_ASIDE = "`csg405 check --deep --set-aside` takes the file away, and says what makes it anew"


class _OtherBytes(ValueError):
    """Raised for a file that has its size and another hash; tried again, for the network may have done it."""


class Bucket:
    """Files below a prefix of a bucket.

    Args:
        url: the prefix. Credentials are looked for in the environment by the library alone.

    Raises BadUse where the library does not know such an address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._store = _store(url)

    def named(self, key: str) -> str:
        """Its address."""
        return f"{self.url}/{key}"

    def head(self, key: str) -> Mapping[str, Any] | None:
        """What the store tells of a file; None where there is none."""
        try:
            found: Mapping[str, Any] = self.ask(lambda: obstore.head(self._store, key), key)
        except FileNotFoundError:
            return None
        return found

    def metas(self, folder: str) -> dict[str, Mapping[str, Any]]:
        """{key: what a listing tells} of every file below a folder, a thousand by a request."""

        def listed() -> dict[str, Mapping[str, Any]]:
            pages = obstore.list(self._store, folder, chunk_size=1000)
            return {meta["path"]: meta for page in pages for meta in page if not meta["path"].endswith("/")}

        return self.ask(listed, folder)

    def content(self, key: str) -> bytes:
        """A small file. FileNotFoundError."""
        return bytes(self.ask(lambda: obstore.get(self._store, key).bytes(), key))

    def pieces(self, key: str) -> Iterator[bytes]:
        """A file's bytes as they come, of one request; inside `ask`, which makes another where it breaks off."""
        yield from map(bytes, obstore.get(self._store, key).stream())

    def fetch(self, key: str, held: str | None, target: Path) -> str | None:
        """Write a file whole, and with the hash with which it was put, by one request; inside `ask`.

        Args:
            held: the version that is here already, if any.

        Returns: its version; None where that is the one which is held. ValueError, _OtherBytes where it is not whole.
        """
        try:
            options: Any = {"if_none_match": held} if held and held.endswith('"') else {}
            answer = obstore.get(self._store, key, options=options)
        except exceptions.NotModifiedError:
            return None
        hashed, size = hashlib.sha256(), 0
        with target.open("wb") as file:
            for piece in answer.stream():
                file.write(piece)
                hashed.update(piece)
                size += len(piece)
        promised = answer.attributes.get(_SHA256)
        if size != answer.meta["size"]:
            raise ValueError(f"{size} of {answer.meta['size']} bytes came")
        if promised not in (None, hashed.hexdigest()):
            raise _OtherBytes("other bytes lie there than were put")
        return version_of(answer.meta)

    def delete(self, key: str) -> None:
        """Delete a file."""
        self.ask(lambda: obstore.delete(self._store, key), key)

    def put(self, key: str, body: Body) -> None:
        """Put bytes over whatever is there."""
        self.ask(lambda: obstore.put(self._store, key, body), key)

    def put_new(self, key: str, body: Body, about: Mapping[str, str] | None = None) -> str | None:
        """Put what is not there yet. Returns: its version; None where something is there."""

        def put() -> str | None:
            try:
                done = obstore.put(
                    self._store, key, body, attributes=dict(about or {}) or None, mode="create", use_multipart=False
                )
            except exceptions.AlreadyExistsError:
                return None
            return done["e_tag"] or version_of(self.head(key) or {})

        return self.ask(put, key)

    def put_file(self, path: Path, key: str) -> str:
        """Put a file with its sha256; another that is there is replaced, unless it has the same bytes. Returns: its version."""
        size, about = path.stat().st_size, {_SHA256: sha256_of(path)}
        with path.open("rb") as file:
            # mapped, not read: a request takes its bytes from here
            body = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if size else b""
            for _ in range(_TRIES):
                if size <= _MOST_AT_ONCE and (version := self.put_new(key, body, about)) is not None:
                    return version
                try:
                    if (found := self._same(key, size, about[_SHA256])) is not None:
                        return found
                    return self._replaced(key, body, about)
                except (FileNotFoundError, exceptions.PreconditionError):  # somebody deleted or changed it meanwhile
                    continue
        raise Failure(Reason.NETWORK, f"{self.named(key)} is written by several at once: run the same command again")

    def claim(self, key: str, words: str) -> str:
        """Put a small text under the condition that there is none; the text that is there then."""
        for _ in range(_TRIES):
            if self.put_new(key, words.encode()) is not None:
                return words
            try:
                return self.content(key).decode("utf-8")
            except FileNotFoundError:  # deleted meanwhile
                continue
        raise Failure(Reason.NETWORK, f"{self.named(key)} comes and goes: is another command at work in this run?")

    def ask(self, call: Callable[[], T], key: str) -> T:
        """An answer. Raises FileNotFoundError; Failure for a store that does not answer, or does not let us."""
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
                words = "does not know conditional puts (If-None-Match), which this needs"
                raise self._refused(key, words, error) from None
            except (exceptions.BaseError, TimeoutError, ConnectionError, ValueError) as error:
                if "404 Not Found" in str(error):
                    raise self._refused(key, "lies in a bucket that is not there", error) from None
                if tried == _TRIES or time.monotonic() - began > _BUDGET_SECONDS:
                    raise self._in_vain(key, error) from None
                time.sleep(random.uniform(0, min(10.0, 0.2 * 2**tried)))  # noqa: S311 - a wait, no secret
        raise AssertionError(key)

    def _replaced(self, key: str, body: Body, about: dict[str, str]) -> str:
        """Put over what is there now, if it is still that; what one request does not take goes in parts, which count as a whole."""
        meta = self.head(key)
        whole = len(body) <= _MOST_AT_ONCE
        if meta is None and whole:
            raise FileNotFoundError(key)
        # S3 and Azure compare ETags, Google generations
        known = {name: meta[name] for name in ("e_tag", "version") if meta.get(name)} if meta and whole else {}
        mode: Any = {"mode": known or "overwrite"} if whole else {}
        done = self.ask(
            lambda: obstore.put(self._store, key, body, attributes=about, use_multipart=not whole, **mode), key
        )
        return str(done["e_tag"] or version_of(self.head(key) or {}))

    def _same(self, key: str, size: int, sha256: str) -> str | None:
        """The version of what is there, if it has these bytes."""
        try:
            answer = self.ask(lambda: obstore.get(self._store, key, options={"head": True}), key)
        except FileNotFoundError:
            return None
        same = answer.meta["size"] == size and answer.attributes.get(_SHA256) == sha256
        return version_of(answer.meta) if same else None

    def _in_vain(self, key: str, error: Exception) -> Failure:
        """What to tell of a file that could not be had, however often it was asked for."""
        if isinstance(error, _OtherBytes):
            return Failure(Reason.CORRUPT, f"{self.named(key)}: {error}: {_SET_ASIDE}")
        if _NO_CREDENTIALS in str(error):
            return self._refused(key, "was asked for without credentials", error)
        why = _in_short(error)
        return Failure(Reason.NETWORK, f"{self.named(key)} could not be reached ({why}): run the same command again")

    def _refused(self, key: str, what: str, error: Exception) -> Failure:
        return Failure(
            Reason.NOT_WRITABLE,
            f"{self.named(key)} {what} ({_in_short(error)}): check the address and the credentials in the environment",
        )


def version_of(meta: Mapping[str, Any]) -> str:
    """What changes when a file does: its ETag, else when it was written and its size."""
    return str(meta.get("e_tag") or f"{meta.get('last_modified')} {meta.get('size')}")


def _store(url: str) -> ObjectStore:
    """The library's store. HTTP without encryption is used where the environment names such a server alone."""
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
    except (exceptions.BaseError, ValueError) as error:
        raise BadUse(f"{url} cannot be opened: {_in_short(error)}") from None


def _in_short(error: Exception) -> str:
    """What an error says, in a few words; requests, which may be signed, and secrets are left out."""
    words = printable(redact(str(error).split("Debug source")[0].split("?")[0]))
    return words[-300:] if len(words) <= 300 else f"{words[:300]}…"
