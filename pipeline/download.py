"""Downloading one file over HTTP: with progress, resumed after a break, and checked before it counts."""

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from pipeline import files

TRIES = 5
TIMEOUT = httpx.Timeout(30.0)
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}


class DownloadError(OSError):
    """A download that did not arrive whole; what did arrive is kept for the next try."""


def download(
    url: str,
    target: Path,
    size: int | None = None,
    sha256: str = "",
    headers: Mapping[str, str] | None = None,
    report: Callable[[int, int | None], None] | None = None,
    pause_seconds: float = 1.0,
) -> Path:
    """Fetch a URL to `target`, resuming `target.part` where a former try ended.

    Args:
        url: http or https.
        size: bytes that it must have, when known.
        sha256: what it must hash to, when known.
        report: called with (bytes so far, bytes in all or None).
        pause_seconds: wait before the second try; doubles each time.

    Raises `DownloadError` after five tries, or at once for 401, 403, 404 and a wrong hash.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    problem = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(pause_seconds * 2 ** (attempt - 1))
        try:
            _fetch(url, part, size, dict(headers or {}), report)
        except httpx.HTTPStatusError as error:
            problem = f"HTTP {error.response.status_code}"
            if error.response.status_code not in RETRY_STATUS:
                raise DownloadError(f"{problem} from {url}") from error
            continue
        except (httpx.HTTPError, _Short) as error:
            problem = str(error) or type(error).__name__
            continue
        _check(part, size, sha256, url)
        files.sync(part)
        part.replace(target)
        files.sync(target.parent)
        return target
    raise DownloadError(f"{TRIES} tries failed, the last with: {problem}")


class _Short(Exception):
    """The server closed before it had sent what it promised."""


def _fetch(
    url: str, part: Path, size: int | None, headers: dict[str, str], report: Callable[[int, int | None], None] | None
) -> None:
    have = part.stat().st_size if part.exists() else 0
    if size and have >= size:
        return
    if have:
        headers["Range"] = f"bytes={have}-"
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as answer:
        if answer.status_code == 416:  # the part is as long as the file, or longer than it
            part.unlink(missing_ok=True)
            raise _Short("the part did not fit the file; starting over")
        answer.raise_for_status()
        resumed = answer.status_code == 206
        length = answer.headers.get("Content-Length")
        total = size or (int(length) + (have if resumed else 0) if length else None)
        done = have if resumed else 0
        if total and shutil.disk_usage(part.parent).free < total - done:
            raise DownloadError(f"{part.parent} has no room for {total - done:,} bytes more")
        with part.open("ab" if resumed else "wb") as out:
            for block in answer.iter_bytes(1 << 18):
                out.write(block)
                done += len(block)
                if report:
                    report(done, total)
        if total and done < total:
            raise _Short(f"the server closed after {done:,} of {total:,} bytes")


def _check(part: Path, size: int | None, sha256: str, url: str) -> None:
    """Refuse and remove a file of the wrong size or hash: resuming it could never make it right."""
    found = part.stat().st_size
    if size and found != size:
        part.unlink()
        raise DownloadError(f"{url} gave {found:,} bytes, expected {size:,}")
    if sha256:
        with part.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        if digest != sha256:
            part.unlink()
            raise DownloadError(f"{url} gave sha256 {digest}, expected {sha256}")
