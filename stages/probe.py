"""Probe: is what the run asks for still there? Every link is looked at, none is downloaded."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PrivateAttr

from pipeline.base.reasons import Failure, Reason, ReasonClass, Reject
from pipeline.base.units import Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Resources, Stage
from pipeline.engine.unit import Unit

if TYPE_CHECKING:
    from pipeline.sources.web.pace import Gate
    from pipeline.sources.web.settings import Web
    from pipeline.tables.store import Store

LIVE, DEAD, UNKNOWN = "live", "dead", "unknown"
_NOT_YET = ("is_live", "is_upcoming", "post_live")  # what the site calls a video that has not ended

log = logging.getLogger(__name__)


class Probe(Stage):
    """Links of the run -> `checks`: live, dead and why, or not finished yet.

    A dead video is a measure here, not a failure: what other tables hold of it stays. What could not be asked (throttled,
    network, bot wall) is a failure, which the next run tries again.
    """

    name: ClassVar[str] = "probe"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "which links are still there, without downloading"
    writes: ClassVar[str] = "checks"
    unit: ClassVar[str] = "source"
    resources: ClassVar[Resources] = Resources(seconds=24 * 3600, network=True)  # most of it is waiting for a turn

    manifest: str = Field(
        "",
        description="list of links or manifest of clips to look at, beside what the run has searched and crawled",
        json_schema_extra=runtime(),
    )
    as_of: str = Field(
        "", pattern=r"^(\d{4}-\d\d-\d\d)?$", description="day of the checks, UTC; empty: today. Another day asks anew"
    )
    allow_loopback: bool = Field(
        False, description="let links lead to this machine itself: for tests and mirrors", json_schema_extra=runtime()
    )

    _context: Context = PrivateAttr()
    _gate: "Gate | None" = PrivateAttr()

    def result_settings(self) -> dict[str, Any]:
        return {**super().result_settings(), "as_of": self._day()}

    def _day(self) -> str:
        return self.as_of or datetime.now(UTC).date().isoformat()

    def sources(self, store: "Store") -> list[str]:
        """Links of the manifest, of the search and of the crawl, and files that were crawled; nobody's who opted out."""
        from pipeline.base.links import video_id_of

        found = set(store.read("sources", ["source"])["source"].to_pylist())
        found |= set(_files(store))
        found |= {row["unit"] for row in store.outcomes("videos").select(["unit"]).to_pylist() if _is_link(row["unit"])}
        if self.manifest:
            from pipeline.sources.web.lists import read_list

            found |= set(read_list(Path(self.manifest), store.run).links)
        if not store.opt_out:
            return sorted(found)
        gone = set(store.opted_out.to_pylist())
        refused = {o["unit"] for o in store.outcomes("videos").to_pylist() if o["reason"] == Reason.OPTED_OUT.code}
        return sorted(link for link in found - refused if video_id_of(link) not in gone)

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        from pipeline.sources.web.net import check_ready
        from pipeline.sources.web.pace import serving
        from pipeline.sources.web.settings import Web
        from pipeline.tables.store import Store

        check_ready(context.web or Web())
        files = _files(Store(context.run, context.opt_out))
        with serving(context.run, context.web or Web()) as address:
            yield {"pace": address, "files": files}

    def setup(self, context: Context) -> None:
        from pipeline.sources.web.pace import Gate

        self._context = context
        self._gate = Gate(context.given["pace"]) if "pace" in context.given else None

    def process(self, unit: Unit) -> Iterator[Row]:
        from pipeline.base.links import video_id_of

        file = self._context.given.get("files", {}).get(unit.id)
        video_id = file["video_id"] if file else video_id_of(unit.id)
        state, reason, detail = self._file(file["path"]) if file else self._linked(unit.id, video_id)
        yield {
            "source": unit.id,
            "video_id": video_id,
            "state": state,
            "reason": reason.code if reason else None,
            "detail": detail or None,
            "checked": self._day(),
        }

    def _file(self, path: str) -> tuple[str, Reason | None, str]:
        if (self._context.run / path).is_file():
            return LIVE, None, ""
        return UNKNOWN, Reason.SOURCE_MISSING, "no file there; its disk may be elsewhere"

    def _linked(self, url: str, video_id: str | None) -> tuple[str, Reason | None, str]:
        """State, reason and detail of a link. Raises Reject where the link is bad, Failure where nobody could tell."""
        from pipeline.base.ids import check_url
        from pipeline.base.links import pace_host
        from pipeline.sources.web.ask import patiently
        from pipeline.sources.web.settings import Web

        check_url(url, allow_loopback=self.allow_loopback)
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

    def _asked(self, url: str, web: "Web") -> dict[str, Any]:
        """What the extractor finds out about a link; no stream is opened."""
        from pipeline.sources.web.errors import reason_of
        from pipeline.sources.web.net import FencedDownloader

        heard = _Heard()
        try:
            with FencedDownloader({**_PARAMS, "logger": heard}, web, self.allow_loopback, self._gate) as downloader:
                return dict(downloader.extract_info(url, download=False) or {})
        except Exception as error:
            if reason_of(error)[0] is Reason.EXTRACTOR_BROKEN:
                # It goes on without a player that will not answer, and says in the end that it found nothing.
                for said in heard.warnings:
                    reason, detail = reason_of(RuntimeError(said))
                    if reason in (Reason.BOT_WALL, Reason.THROTTLED, Reason.NETWORK):
                        raise Failure(reason, detail) from error
            raise


class _Heard:
    """yt-dlp's words: into the log at the level of details, and its warnings kept."""

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


def _is_link(unit: str) -> bool:
    return unit.startswith(("https://", "http://"))


def _files(store: "Store") -> dict[str, dict[str, str]]:
    """Sources that are files, and where they lie."""
    rows = store.read("videos", ["source", "video_id", "path"]).to_pylist()
    return {row["source"]: row for row in rows if row["source"] and row["path"] and not _is_link(row["source"])}


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("probe")
