"""Asking YouTube's own search through yt-dlp, page by page and in turn."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from pipeline.base.links import YOUTUBE
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.sources.web.ask import patiently
from pipeline.sources.web.errors import outcome_of
from pipeline.sources.web.net import FencedDownloader
from pipeline.sources.web.pace import Gate
from pipeline.sources.web.settings import Web

_SEARCH_PATH = "/youtubei/v1/search"

log = logging.getLogger(__name__)


@contextmanager
def asking(context: Context, gate: Gate | None) -> Iterator[Callable[[str, str], Iterator[Row]]]:
    """Yields a function: hits of (query, filters), flat, each page asked for in turn when its first hit is wanted."""
    web = context.web or Web()

    class Downloader(FencedDownloader):
        def urlopen(self, request: Any) -> Any:
            if _SEARCH_PATH not in getattr(request, "url", ""):
                return super().urlopen(request)
            opening = super().urlopen
            return _in_turn(lambda: opening(request), gate, web)

    params = {
        "quiet": True,
        "noprogress": True,
        "no_color": True,
        "logger": log,
        "cachedir": False,
        "extract_flat": True,
        "lazy_playlist": True,
        "extractor_retries": 0,  # tries are ours: each takes its turn
        "extractor_args": {"youtubetab": {"skip": ["webpage"]}},  # settings that the pages do without
    }
    with Downloader(params, web) as downloader:

        def ask(query: str, filters: str) -> Iterator[Row]:
            address = f"ytsearchall:{query}"
            if filters:
                address = f"https://www.youtube.com/results?{urlencode({'search_query': query, 'sp': filters})}"
            try:
                yield from downloader.extract_info(address, download=False, process=False)["entries"]
            except (Reject, Failure):
                raise
            except Exception as error:  # extractors raise whatever they like; the table sorts it
                outcome = outcome_of(error)
                raise Failure(_for_now(outcome.reason), f"query {query!r}: {outcome.detail}") from error

        yield ask


def _in_turn(call: Callable[[], Any], gate: Gate | None, web: Web) -> Any:
    """One page, asked for patiently; a broken connection is tried again."""
    for attempt in range(web.retries + 1):
        try:
            return patiently(gate, YOUTUBE, web, call)
        except Reject as reject:  # about the search itself: nothing that the types or the settings could be blamed for
            raise Failure(_for_now(reject.reason), reject.detail) from reject
        except Failure as failure:
            if failure.reason is not Reason.NETWORK or attempt == web.retries:
                raise
            time.sleep(web.retry_wait_seconds * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


def _for_now(reason: Reason) -> Reason:
    """The reason of a search that failed: what would be a verdict on a video is none on a search."""
    return reason if reason.kind.value in ("later", "blocked", "bug") else Reason.EXTRACTOR_BROKEN
