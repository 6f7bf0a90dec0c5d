"""Fetching one link with yt-dlp into a folder of its own, so that an interrupted download goes on where it stopped."""

import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base.links import pace_host
from pipeline.base.pulse import beat
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.media.guard import Limits
from pipeline.media.video import Probe, ffmpeg_exe, probe
from pipeline.sources.web.ask import patiently
from pipeline.sources.web.errors import outcome_of, retry_after_of, status_of
from pipeline.sources.web.net import FencedDownloader, without_scripts
from pipeline.sources.web.settings import Web
from pipeline.sources.web.ytdlp import UPDATE
from stages.crawl.formats import FormatSettings
from stages.crawl.room import bytes_in, check_room
from stages.crawl.selection import selector

if TYPE_CHECKING:
    from pipeline.sources.web.pace import Gate

log = logging.getLogger(__name__)

Info = dict[str, Any]

PROTOCOLS = frozenset({"http", "https", "http_dash_segments", "m3u8_native", "m3u8", "http_dash_segments_generator"})
_LENGTH_SLACK_SECONDS = 2.0
_LENGTH_SLACK_SHARE = 0.02
_MAX_RETRY_WAIT_SECONDS = 30.0
_PROGRESS_BYTES = 1 << 20  # a download that came this far before it was refused again is getting on
_LOOK_SECONDS = 5.0  # between two looks at the free disk


@dataclass(frozen=True)
class FetchSettings:
    """How to fetch.

    Attributes:
        run: the run's folder, whose disk is watched.
        formats, limits: see the stage's fields.
        web: patience and pace.
        gate: the driver's pace; None for a server of our own, which needs none.
        allow_loopback: see the stage's field.
    """

    run: Path
    formats: FormatSettings
    limits: Limits
    web: Web = field(default_factory=Web)
    gate: "Gate | None" = None
    allow_loopback: bool = False


@dataclass(frozen=True)
class Fetched:
    """A downloaded and verified file: still in its own folder."""

    path: Path
    info: Info
    probe: Probe


def fetch(url: str, folder: Path, settings: FetchSettings, known: Callable[[Info], None]) -> Fetched:
    """Download a link into `folder`, which holds nothing else, and verify what came.

    Args:
        url: a checked link.
        folder: made if need be; its leftovers of an earlier try are continued.
        settings: how.
        known: called with what the extractor found, before the download; may raise Reject or Failure.

    Raises:
        Reject, Failure: by `pipeline.sources.web.errors`; Failure(NETWORK) when the file stays shorter than announced,
            Failure(DISK_LIMIT) where there is no room for it.
    """
    gc.collect()  # a YoutubeDL is a knot of some MB that counting references never unties: let those before us not pile up
    folder = folder.absolute()  # as yt-dlp names what it saved
    folder.mkdir(parents=True, exist_ok=True)
    for last in (False, True):
        attempt = _Attempt(url, folder, settings, known)
        try:
            path, info = attempt.download()
        except Reject as reject:
            if last or reject.reason is not Reason.CORRUPT:
                raise
            problem = reject.detail  # what came as pictures or sound could not be put together
        else:
            problem, probed = _verify(path, info, attempt.length_was_known, settings.limits)
            if probed is not None:
                return Fetched(path, info, probed)
        log.warning("%s: %s%s", url, problem, "" if last else "; fetching it once more")
        _empty(folder)
    raise Failure(Reason.NETWORK, f"{problem}, twice")


class _Attempt:
    """One yt-dlp over one link, with fresh addresses of its media as often as that gets it on."""

    def __init__(self, url: str, folder: Path, settings: FetchSettings, known: Callable[[Info], None]) -> None:
        self._url, self._folder, self._settings, self._known = url, folder, settings, known
        self._looked = 0.0
        self._came: dict[str, int] = {}  # of each file, bytes
        self._log = _Log()
        self.length_was_known = True

    def download(self) -> tuple[Path, Info]:
        """The downloaded file and what the extractor says about it."""
        settings, fruitless = self._settings, 0
        params = self._params()
        with FencedDownloader(params, settings.web, settings.allow_loopback, settings.gate) as downloader:
            while True:
                info = self._extracted(downloader)
                held = bytes_in(self._folder)
                try:
                    downloader.process_info(info)
                    return self._result(info), info
                except Exception as error:  # extractors raise whatever they like; the table sorts it
                    outcome = outcome_of(error)
                    if status_of(error) == 416:  # what is here is longer than what is there: another file
                        _empty(self._folder)
                    elif not _may_be_stale(outcome):
                        raise outcome from error
                    if bytes_in(self._folder) - held < _PROGRESS_BYTES:
                        fruitless += 1
                        self._pause(outcome, retry_after_of(error))
                    if fruitless > settings.web.throttle_retries or settings.gate is None:
                        raise outcome from error
                    log.info("%s: refused in mid-stream, asking for fresh addresses (%s)", self._url, outcome.detail)

    def _extracted(self, downloader: FencedDownloader) -> Info:
        """What the link holds; refused where that is nothing to fetch."""
        settings = self._settings

        def extract() -> Info:
            try:
                info = downloader.extract_info(self._url, download=False)
            except Reject as reject:
                raise self._doubted(reject) from reject
            _check_info(info)
            self._known(info)
            return dict(info)

        info = patiently(settings.gate, pace_host(self._url), settings.web, extract)
        check_room(settings.run, settings.web, max(0.0, _size_of(info) - bytes_in(self._folder)))
        return info

    def _doubted(self, reject: Reject) -> Reject | Failure:
        """What is missing among the formats is no verdict on a video of which yt-dlp was not shown all of them."""
        if not self._log.formats_missing or reject.reason not in (Reason.LOW_RESOLUTION, Reason.NO_VIDEO):
            return reject
        why = without_scripts() or f"yt-dlp could not solve a challenge, so that formats are missing: {UPDATE}"
        return Failure(Reason.EXTRACTOR_BROKEN, f"{reject.detail}; but {why}")

    def _pause(self, outcome: Reject | Failure, retry_after: float) -> None:
        if self._settings.gate and outcome.reason is Reason.THROTTLED:
            self._settings.gate.throttled(pace_host(self._url), retry_after)

    def _result(self, info: Info) -> Path:
        """The finished file."""
        saved = info.get("filepath")
        if not saved:
            raise Reject(
                Reason.TOO_LARGE, f"nothing was saved: the file is larger than {self._settings.limits.max_bytes} bytes"
            )
        path = Path(saved)
        if path.parent != self._folder or not path.is_file():
            raise RuntimeError(f"yt-dlp names {path} as saved, which is no file of {self._folder}")
        return path

    def _params(self) -> dict[str, Any]:
        web, limits = self._settings.web, self._settings.limits
        wait = lambda n: min(_MAX_RETRY_WAIT_SECONDS, web.retry_wait_seconds * 2.0**n)  # noqa: E731
        return {
            "quiet": True,
            "noprogress": True,
            "no_color": True,
            "logger": self._log,
            "ignoreerrors": False,
            "format": selector(self._settings.formats),
            "noplaylist": True,
            "extract_flat": "in_playlist",
            "playlist_items": "1",
            # the format is in the name: what is left of another one is not continued
            "outtmpl": {"default": str(self._folder).replace("%", "%%") + "/media-%(format_id).60s.%(ext)s"},
            "continuedl": True,
            "nopart": False,
            "overwrites": False,
            "updatetime": False,
            "cachedir": False,
            "fixup": "never",
            "hls_prefer_native": True,
            "skip_unavailable_fragments": False,
            "ffmpeg_location": ffmpeg_exe(),
            "postprocessor_args": {
                "merger": ["-fflags", "+bitexact"],  # the same parts make the same file, on every machine
            },
            "max_filesize": limits.max_bytes,
            "retries": web.retries,
            "fragment_retries": web.retries,
            "extractor_retries": web.retries,
            "file_access_retries": 1,
            "retry_sleep_functions": dict.fromkeys(("http", "fragment", "extractor"), wait),
            "progress_hooks": [self._progress],
        }

    def _progress(self, state: Info) -> None:
        if state.get("status") != "downloading":
            return
        if state.get("total_bytes") is None:
            self.length_was_known = False
        self._count(str(state.get("tmpfilename")), int(state.get("downloaded_bytes") or 0))
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            check_room(self._settings.run, self._settings.web)

    def _count(self, file: str, so_far: int) -> None:
        """Count what came since the last call; of a file that is continued, what was there before did not come now."""
        before = self._came.get(file, so_far)
        self._came[file] = so_far
        beat(fetched=max(0, so_far - before))


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _may_be_stale(outcome: Reject | Failure) -> bool:
    """Whether fresh addresses of the media may help: they expire, and asking the page again gives new ones."""
    return outcome.reason in (Reason.THROTTLED, Reason.EXTRACTOR_BROKEN)


def _size_of(info: Info) -> float:
    """Bytes that a download will take, as far as the site says so; a pair is there twice while it is put together."""
    parts = info.get("requested_formats") or [info]
    return len(parts) * sum(float(f.get("filesize") or f.get("filesize_approx") or 0) for f in parts)


def _check_info(info: Any) -> None:
    """Refuse what is no single video, before a byte of it is fetched."""
    if not isinstance(info, dict) or info.get("_type", "video") != "video":
        raise Reject(Reason.BAD_LINK, "the link leads to a list of videos, not to one")
    for chosen in info.get("requested_formats") or [info]:
        protocol = str(chosen.get("protocol") or "http")
        if protocol not in PROTOCOLS:
            raise Reject(Reason.BAD_LINK, f"protocol {protocol[:30]!r} is not allowed")


def _verify(path: Path, info: Info, length_was_known: bool, limits: Limits) -> tuple[str, Probe | None]:
    """What is wrong with the file in a way that fetching it again may mend, or its probe."""
    try:
        probed = probe(path, limits)
    except Reject as reject:
        if length_was_known or reject.reason is not Reason.CORRUPT:
            raise
        return f"the download cannot be read ({reject.detail})", None
    announced = info.get("duration")
    if isinstance(announced, int | float) and announced > 0:
        missing = announced - probed.duration_seconds
        if missing > max(_LENGTH_SLACK_SECONDS, _LENGTH_SLACK_SHARE * announced):
            return f"{probed.duration_seconds:.1f} s came of {announced:.1f} s announced", None
    if probed.truncated and not length_was_known:
        return "the download ends early", None
    return "", probed


class _Log:
    """yt-dlp's messages in our log: nothing on the screen.

    Attributes:
        formats_missing: whether it warned that it could not get at all of them.
    """

    def __init__(self) -> None:
        self.formats_missing = False

    def debug(self, message: str) -> None:
        log.debug("%s", message)

    info = debug

    def warning(self, message: str) -> None:
        self.formats_missing |= "formats may be missing" in message.lower()
        log.info("%s", message)

    error = warning
