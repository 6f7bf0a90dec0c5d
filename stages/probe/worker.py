"""Looks at links, one after the other, as patiently as their sites ask for."""

import logging
from collections.abc import Iterator
from typing import Any

from pipeline.base.ids import check_url
from pipeline.base.links import pace_host, video_id_of
from pipeline.base.reasons import Failure, Reason, ReasonClass, Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.sources.web.ask import patiently
from pipeline.sources.web.errors import reason_of
from pipeline.sources.web.net import FencedDownloader
from pipeline.sources.web.pace import Gate
from pipeline.sources.web.settings import Web
from stages.probe.settings import ProbeSettings

LIVE, DEAD, UNKNOWN = "live", "dead", "unknown"
_NOT_YET = ("is_live", "is_upcoming", "post_live")  # what the site calls a video that has not ended

log = logging.getLogger(__name__)


class Prober:
    """Asks what the extractor finds out about a link; no stream is opened."""

    def __init__(self, settings: ProbeSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._files = context.given.get("files", {})
        self._gate = Gate(context.given["pace"]) if "pace" in context.given else None

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield what became of a link. Raises Reject where the link is bad, Failure where nobody could tell."""
        file = self._files.get(unit.id)
        video_id = file["video_id"] if file else video_id_of(unit.id)
        state, reason, detail = self._file(file["path"]) if file else self._linked(unit.id, video_id)
        yield {
            "source": unit.id,
            "video_id": video_id,
            "state": state,
            "reason": reason.code if reason else None,
            "detail": detail or None,
            "checked": self._settings.day(),
        }

    def _file(self, path: str) -> tuple[str, Reason | None, str]:
        if self._context.storage.exists(path):
            return LIVE, None, ""
        return UNKNOWN, Reason.SOURCE_MISSING, "no file there; its disk may be elsewhere"

    def _linked(self, url: str, video_id: str | None) -> tuple[str, Reason | None, str]:
        """State, reason and detail of a link. Raises Reject where the link is bad, Failure where nobody could tell."""
        check_url(url, allow_loopback=self._settings.allow_loopback)
        web = self._context.web or Web()
        try:
            info = patiently(self._gate, pace_host(url), web, lambda: self._asked(url, web))
        except Reject as reject:
            if reject.reason.kind is not ReasonClass.DEAD:
                raise
            return DEAD, reject.reason, reject.detail
        except Failure as failure:
            if failure.reason is not Reason.NOT_FINISHED:
                raise
            return UNKNOWN, failure.reason, failure.detail
        channels = [info.get(name) for name in ("channel", "uploader", "channel_id", "uploader_id")]
        opt_out = self._context.opt_out
        if opt_out and opt_out.names(video_id, *(name for name in channels if isinstance(name, str))):
            raise Reject(Reason.OPTED_OUT, "its channel is on the list")
        if info.get("live_status") in _NOT_YET:
            return UNKNOWN, Reason.NOT_FINISHED, f"the site says {info['live_status']}"
        return LIVE, None, ""

    def _asked(self, url: str, web: Web) -> dict[str, Any]:
        """What the extractor finds out about a link; no stream is opened."""
        ytdlp_log = _Log()
        try:
            with FencedDownloader(
                {**_PARAMS, "logger": ytdlp_log}, web, self._settings.allow_loopback, self._gate
            ) as downloader:
                return dict(downloader.extract_info(url, download=False) or {})
        except Exception as error:
            if reason_of(error)[0] is Reason.EXTRACTOR_BROKEN:
                # It goes on without a player that will not answer, and says in the end that it found nothing.
                for warning in ytdlp_log.warnings:
                    reason, detail = reason_of(RuntimeError(warning))
                    if reason in (Reason.BOT_WALL, Reason.THROTTLED, Reason.NETWORK):
                        raise Failure(reason, detail) from error
            raise


class _Log:
    """yt-dlp's log: passed on at debug level, its warnings kept."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def debug(self, text: str) -> None:
        log.debug("%s", text)

    info = error = debug

    def warning(self, text: str) -> None:
        self.warnings.append(text)
        log.debug("%s", text)


_PARAMS: dict[str, Any] = {
    "quiet": True,
    "noprogress": True,
    "no_color": True,
    "ignoreerrors": False,
    "noplaylist": True,
    "extract_flat": "in_playlist",
    "playlist_items": "1",
    "cachedir": False,
    "extractor_retries": 0,  # to ask again is for `patiently`
    "format": "b/bv*/ba",  # any will do, nothing is fetched
    "extractor_args": {"youtube": {"skip": ["hls", "dash", "translated_subs"]}},  # lists of streams are not needed
}


open_worker = Prober
