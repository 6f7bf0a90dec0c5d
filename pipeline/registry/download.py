"""Downloading one file over HTTP: with progress, resumed after a break, and checked before it counts."""

import ipaddress
import re
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from pipeline.base import files
from pipeline.base.errors import UserError
from pipeline.base.hashes import sha256_of
from pipeline.base.ids import is_public

TRIES = 5
TIMEOUT = httpx.Timeout(30.0)
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}
LONGEST_PAUSE_SECONDS = 60.0
LARGEST_BYTES = 32 << 30  # of a file whose size nobody told

Report = Callable[[int, int | None], None]


class DownloadError(UserError, OSError):
    """A download that did not arrive whole; what did arrive is kept for the next try."""


def download(
    url: str,
    target: Path,
    size: int | None = None,
    sha256: str = "",
    headers: Mapping[str, str] | None = None,
    report: Report | None = None,
    pause_seconds: float = 1.0,
) -> Path:
    """Fetch a URL to `target`, resuming `target.part` where a former try ended.

    Two processes must not download to the same target at once.

    Args:
        url: http or https.
        size: bytes that it must have, when known.
        sha256: what it must hash to, when known.
        report: called with (bytes so far, bytes in all or None).
        pause_seconds: wait before the second try; doubles each time, unless the server says how long.

    Raises `DownloadError` after five tries, or at once for 401, 403, 404, a host that is not found, a web page, and a file that
    is not the right one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    for again in (False, True) if part.exists() else (True,):
        try:
            _fetch_and_check(url, part, size, sha256, dict(headers or {}), report, pause_seconds)
            break
        except _Wrong as error:  # when its beginning was from a former try, that may be of another file
            if again:
                raise DownloadError(str(error)) from error
    files.sync(part)
    part.replace(target)
    files.sync(target.parent)
    return target


class _Short(Exception):
    """The server closed before it had sent what it promised, or asks to come again; `seconds` as it says."""

    def __init__(self, text: str, seconds: float = 0.0) -> None:
        super().__init__(text)
        self.seconds = seconds


class _Wrong(Exception):
    """The bytes are not those that were expected; they were removed."""


def _fetch_and_check(
    url: str, part: Path, size: int | None, sha256: str, headers: dict[str, str], report: Report | None, pause: float
) -> None:
    problem, seconds = "", 0.0
    for attempt in range(TRIES):
        if attempt:
            time.sleep(seconds or pause * 2 ** (attempt - 1))
        try:
            _fetch(url, part, size, headers, report)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise DownloadError(f"{url}: {error}") from error
        except (httpx.HTTPError, _Short) as error:
            if _nowhere(error):  # a machine without a network must not wait for each net that it lacks
                raise DownloadError(
                    f"its host was not found ({error}), so this machine may not be connected"
                ) from error
            problem = str(error) or type(error).__name__
            seconds = min(LONGEST_PAUSE_SECONDS, getattr(error, "seconds", 0.0))
            continue
        return _check(part, size, sha256, url)
    raise DownloadError(f"{TRIES} tries failed, the last with: {problem}")


def _nowhere(error: BaseException | None) -> bool:
    """Whether a request failed because the host's name means nothing here."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False


def _refuse(answer: httpx.Response, url: str, part: Path, have: int) -> None:
    """Raise _Short for an answer after which it is worth asking again, DownloadError for one that is no file."""
    if answer.status_code == 416:
        part.unlink(missing_ok=True)
        raise _Short("the part did not fit the file; starting over")
    if answer.status_code in RETRY_STATUS:
        after = answer.headers.get("Retry-After", "")
        raise _Short(f"HTTP {answer.status_code}", float(after) if after.isdigit() else 0.0)
    if answer.status_code not in (200, 206):
        raise DownloadError(f"HTTP {answer.status_code} from {url}")
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(f"{url} gave a web page, not a file: does it ask for a login or a licence?")
    if answer.status_code == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        part.unlink(missing_ok=True)
        raise _Short("the server resumed at another place; starting over")


def _fetch(url: str, part: Path, size: int | None, headers: dict[str, str], report: Report | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    if size and have > size:
        part.unlink()
        have = 0
    if size and have == size:
        return
    asked = {"Accept-Encoding": "identity", **headers, **({"Range": f"bytes={have}-"} if have else {})}
    with _client(url) as client, client.stream("GET", url, headers=asked) as answer:
        if answer.status_code == 416 and answer.headers.get("Content-Range") == f"bytes */{have}":
            return  # it is all here
        _refuse(answer, url, part, have)
        done = have if answer.status_code == 206 else 0
        length = answer.headers.get("Content-Length", "")
        total = size or (int(length) + done if re.fullmatch(r"\d{1,15}", length) else None)
        if total and shutil.disk_usage(part.parent).free < total - done:
            raise DownloadError(f"{part.parent} has no room for {total - done:,} bytes more")
        with part.open("ab" if done else "wb") as out:
            for block in answer.iter_raw(1 << 18):
                out.write(block)
                done += len(block)
                if done > (total or LARGEST_BYTES):
                    break
                if report:
                    report(done, total)
        if total and done < total:
            raise _Short(f"the server closed after {done:,} of {total:,} bytes")
        if done > (total or LARGEST_BYTES):
            part.unlink()
            raise _Wrong(f"{url} gave more than {total or LARGEST_BYTES:,} bytes")


def _client(url: str) -> httpx.Client:
    """A client that follows redirects, but from a host of the open internet to no other place."""
    named = httpx.URL(url).host

    def look(request: httpx.Request) -> None:
        if request.url.host != named and _is_public(named) and not _is_public(request.url.host):
            raise DownloadError(f"{url} leads to {request.url.host}, which is not public")

    return httpx.Client(timeout=TIMEOUT, follow_redirects=True, event_hooks={"request": [look]})


def _is_public(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True  # nothing is there, or a proxy alone knows the name
    return all(is_public(ipaddress.ip_address(str(address[0]).partition("%")[0])) for *_, address in found)


def _check(part: Path, size: int | None, sha256: str, url: str) -> None:
    """Refuse and remove a file of the wrong size or hash: resuming it could never make it right."""
    found = part.stat().st_size
    if size and found != size:
        part.unlink()
        raise _Wrong(f"{url} gave {found:,} bytes, expected {size:,}")
    if sha256:
        digest = sha256_of(part)
        if digest != sha256:
            part.unlink()
            raise _Wrong(f"{url} gave sha256 {digest}, expected {sha256}")
