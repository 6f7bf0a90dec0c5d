"""Fetching one link with yt-dlp into a folder of its own, so that an interrupted download goes on where it stopped."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.media.guard import Limits
from pipeline.media.video import Probe, ffmpeg_exe, probe
from pipeline.profile import Web
from pipeline.reasons import Failure, Reason, Reject
from pipeline.web.errors import outcome_of
from pipeline.web.net import FencedDownloader

log = logging.getLogger(__name__)

PROTOCOLS = frozenset({"http", "https", "http_dash_segments", "m3u8_native", "m3u8", "http_dash_segments_generator"})
_LENGTH_SLACK_SECONDS = 2.0
_LENGTH_SLACK_SHARE = 0.02
_MAX_RETRY_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class FetchSettings:
    """How to fetch; see the stage's fields of the same names."""

    formats: str
    format_sort: tuple[str, ...]
    timeout_seconds: float
    retries: int
    retry_wait_seconds: float
    allow_loopback: bool
    limits: Limits


@dataclass(frozen=True)
class Fetched:
    """A downloaded and verified file: still in its own folder."""

    path: Path
    info: dict[str, Any]
    probe: Probe


def fetch(url: str, folder: Path, settings: FetchSettings, known: Callable[[dict[str, Any]], None]) -> Fetched:
    """Download a link into `folder`, which holds nothing else, and verify what came.

    Args:
        url: a checked link.
        folder: made if need be; its leftovers of an earlier try are continued.
        settings: how.
        known: called with what the extractor found, before the download; may raise Reject.

    Raises:
        Reject, Failure: by `pipeline.web.errors`; Failure(NETWORK) when the file stays shorter than announced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for last in (False, True):
        attempt = _Attempt(folder, settings)
        path, info = attempt.download(url, known)
        problem, found = _verify(path, info, attempt.length_was_known, settings.limits)
        if found is not None:
            return Fetched(path, info, found)
        log.warning("%s: %s%s", url, problem, "" if last else "; fetching it once more")
        path.unlink(missing_ok=True)
    raise Failure(Reason.NETWORK, f"{problem}, twice")


class _Attempt:
    """One run of yt-dlp over one link."""

    def __init__(self, folder: Path, settings: FetchSettings) -> None:
        self._folder = folder
        self._settings = settings
        self.length_was_known = True

    def download(self, url: str, known: Callable[[dict[str, Any]], None]) -> tuple[Path, dict[str, Any]]:
        """The downloaded file and what the extractor says about it."""
        try:
            with FencedDownloader(self._params(), Web(), self._settings.allow_loopback) as downloader:
                info = downloader.extract_info(url, download=False)
                _check_info(info, self._settings.limits)
                known(info)
                downloader.process_info(info)
        except (Reject, Failure):
            raise
        except Exception as error:
            raise outcome_of(error) from error
        return self._result(), info

    def _result(self) -> Path:
        """The one finished file of the folder."""
        files = [p for p in self._folder.iterdir() if p.suffix not in (".part", ".ytdl") and p.stem == "media"]
        if len(files) == 1 and files[0].is_file():
            return files[0]
        limit = self._settings.limits.max_bytes
        if not files:
            raise Reject(Reason.TOO_LARGE, f"nothing was saved: the file is larger than {limit} bytes")
        shutil.rmtree(self._folder)
        raise Failure(Reason.NETWORK, f"{len(files)} files where one was expected; removed, to be fetched anew")

    def _params(self) -> dict[str, Any]:
        settings = self._settings
        wait = lambda n: min(_MAX_RETRY_WAIT_SECONDS, settings.retry_wait_seconds * 2.0**n)  # noqa: E731
        return {
            "quiet": True,
            "noprogress": True,
            "no_color": True,
            "logger": _Log(),
            "ignoreerrors": False,
            "format": settings.formats,
            "format_sort": list(settings.format_sort),
            "noplaylist": True,
            "extract_flat": "in_playlist",
            "playlist_items": "1",
            "outtmpl": {"default": str(self._folder).replace("%", "%%") + "/media.%(ext)s"},
            "continuedl": True,
            "nopart": False,
            "overwrites": False,
            "updatetime": False,
            "cachedir": False,
            "fixup": "never",
            "hls_prefer_native": True,
            "skip_unavailable_fragments": False,
            "ffmpeg_location": ffmpeg_exe(),
            "max_filesize": settings.limits.max_bytes,
            "socket_timeout": settings.timeout_seconds,
            "retries": settings.retries,
            "fragment_retries": settings.retries,
            "extractor_retries": settings.retries,
            "file_access_retries": 1,
            "retry_sleep_functions": dict.fromkeys(("http", "fragment", "extractor"), wait),
            "progress_hooks": [self._progress],
        }

    def _progress(self, state: dict[str, Any]) -> None:
        if state.get("status") == "downloading" and state.get("total_bytes") is None:
            self.length_was_known = False


def _check_info(info: Any, limits: Limits) -> None:
    """Refuse what is no single finished video, before a byte of it is fetched."""
    if not isinstance(info, dict) or info.get("_type", "video") != "video":
        raise Reject(Reason.BAD_LINK, "the link leads to a list of videos, not to one")
    if info.get("is_live") or info.get("live_status") in ("is_live", "is_upcoming", "post_live"):
        raise Failure(Reason.NETWORK, f"{info.get('live_status') or 'live'}: not a finished video yet")
    seconds = info.get("duration")
    if isinstance(seconds, int | float) and seconds > limits.max_duration_seconds:
        raise Reject(Reason.TOO_LONG, f"{seconds:.0f} s announced, limit {limits.max_duration_seconds:.0f} s")
    for chosen in info.get("requested_formats") or [info]:
        protocol = str(chosen.get("protocol") or "http")
        if protocol not in PROTOCOLS:
            raise Reject(Reason.BAD_LINK, f"protocol {protocol[:30]!r} is not allowed")


def _verify(path: Path, info: dict[str, Any], length_was_known: bool, limits: Limits) -> tuple[str, Probe | None]:
    """What is wrong with the file in a way that fetching it again may mend, or its probe."""
    try:
        found = probe(path, limits)
    except Reject as reject:
        if length_was_known or reject.reason is not Reason.CORRUPT:
            raise
        return f"the download cannot be read ({reject.detail})", None
    announced = info.get("duration")
    if isinstance(announced, int | float) and announced > 0:
        missing = announced - found.duration_seconds
        if missing > max(_LENGTH_SLACK_SECONDS, _LENGTH_SLACK_SHARE * announced):
            return f"{found.duration_seconds:.1f} s came of {announced:.1f} s announced", None
    if found.truncated and not length_was_known:
        return "the download ends early", None
    return "", found


class _Log:
    """yt-dlp's messages in our log: nothing on the screen."""

    def debug(self, message: str) -> None:
        log.debug("%s", message)

    info = debug

    def warning(self, message: str) -> None:
        log.info("%s", message)

    error = warning
