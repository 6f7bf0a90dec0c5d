"""Search: speech types become links, asked of YouTube's own search through yt-dlp, page by page and in turn.

A unit is a speech type in a language. Its keywords are asked in rounds, a page each, until the quota is met or nobody
finds more. What a page says of a video is enough to refuse it, so nothing unwanted is downloaded. A video counts once,
for the unit that found it first.
"""

import base64
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlencode

from pydantic import Field, PrivateAttr

from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context, Resources, Stage
from pipeline.engine.unit import Unit
from pipeline.sources.web.criteria import Wanted

if TYPE_CHECKING:
    from pipeline.sources.web.pace import Gate
    from pipeline.sources.web.settings import Web
    from pipeline.tables.store import Store

PAGE = 20  # hits that YouTube gives at a time, about
_SEARCH_PATH = "/youtubei/v1/search"
_TYPE_COLUMNS = ("speech_type", "share_percent", "languages", "keywords")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Errand:
    """A unit's part: what to ask for, and how many videos to bring."""

    speech_type: str
    language: str
    keywords: tuple[str, ...]
    videos: int


class Search(Wanted, Stage):
    """Finds videos for every speech type, in every language asked for, up to its quota."""

    name: ClassVar[str] = "search"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "links of videos for every speech type, from YouTube's search"
    writes: ClassVar[str] = "sources"
    # One worker: what one unit found, the next leaves out. The pace is the site's, not ours.
    resources: ClassVar[Resources] = Resources(seconds=24 * 3600, one_worker=True)

    videos: int = Field(5000, ge=1, le=1_000_000, description="videos to find in all")
    quota: Literal["paper", "even"] = Field(
        "paper", description="paper: videos a type by its share in figure 2a; even: the same for each type"
    )
    pages_per_query: int = Field(
        15, ge=1, le=100, description="pages of 20 hits asked for each query at most; later ones are seldom about it"
    )
    min_seconds: float = Field(30.0, ge=0, description="shorter videos are left out, seconds")
    languages: tuple[str, ...] = Field(
        (), description="codes of the languages to search in, as the types have them; empty: all of them"
    )
    hd_only: bool = Field(True, description="ask for videos of 720 lines and more only")

    _context: Context = PrivateAttr()
    _seen: set[str] = PrivateAttr()
    _gate: "Gate | None" = PrivateAttr()

    def sources(self, store: "Store") -> list[str]:
        return list(errands(_types(store), self.videos, self.quota, self.languages))

    def depends(self, store: "Store") -> str:
        return json.dumps(_types(store), sort_keys=True)

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        from pipeline.sources.web.net import check_ready
        from pipeline.sources.web.pace import serving
        from pipeline.sources.web.settings import Web
        from pipeline.tables.store import Store

        store = Store(context.run, context.opt_out)
        found = errands(_types(store), self.videos, self.quota, self.languages)
        check_ready(context.web or Web())
        given = {"errands": {unit: asdict(errand) for unit, errand in found.items()}, "seen": self._settled(store)}
        with serving(context.run, context.web or Web()) as address:
            yield {**given, "pace": address}

    def setup(self, context: Context) -> None:
        from pipeline.sources.web.pace import Gate

        self._context = context
        self._seen = set(context.given["seen"])
        self._gate = Gate(context.given["pace"]) if "pace" in context.given else None

    def process(self, unit: Unit) -> Iterator[Row]:
        errand = Errand(**self._context.given["errands"][unit.id])
        rows, refused = self._find(errand)
        said = ", ".join(f"{count} {why.code}" for why, count in sorted(refused.items(), key=lambda p: p[0].code))
        if not rows:
            asked = ", ".join(errand.keywords)
            raise Reject(Reason.NOTHING_FOUND, f"asked for {asked}: {said or 'no hits at all'}")
        if len(rows) < errand.videos:
            log.warning("%s: %d of %d videos found%s", unit.id, len(rows), errand.videos, said and f" ({said})")
        self._seen.update(row["video_id"] for row in rows)
        yield from rows

    def _settled(self, store: "Store") -> list[str]:
        """Videos of the units that this run leaves as they are; what the others found before, they may find again."""
        from pipeline.engine.plan import plan

        work = plan(self, store)
        pending = {work.units[i] for i in work.pending}
        rows = store.live("sources", ["video_id", "unit"])
        pairs = zip(rows["video_id"].to_pylist(), rows["unit"].to_pylist(), strict=True)
        return [video_id for video_id, unit in pairs if unit not in pending]

    def _find(self, errand: Errand) -> tuple[list[Row], dict[Reason, int]]:
        """Rows up to the quota, and how many hits were left out, by why."""
        rows: dict[str, Row] = {}
        refused: Counter[Reason] = Counter()
        with _asking(self._context, self._gate) as ask:
            hits = _rounds([(query, ask(query, self._filters())) for query in errand.keywords], self.pages_per_query)
            for query, rank, entry in hits:
                try:
                    row = _row(entry, errand, query, rank)
                    self._check(entry, row["video_id"])
                except (Reject, Failure) as no:
                    refused[no.reason] += 1
                    continue
                rows.setdefault(row["video_id"], row)
                if len(rows) >= errand.videos:
                    break
        return list(rows.values()), refused

    def _check(self, entry: Row, video_id: str) -> None:
        """Pass, or say why a hit is left out, by what its page says. Raises Reject, Failure."""
        opt_out = self._context.opt_out
        if video_id in self._seen:
            raise Reject(Reason.DUPLICATE, "found for another type")
        channels = [str(entry.get(name) or "") for name in ("channel", "channel_id", "uploader_id")]
        if opt_out and opt_out.names(video_id, *channels):
            raise Reject(Reason.OPTED_OUT)
        if entry.get("availability") in ("subscriber_only", "premium_only"):
            raise Reject(Reason.MEMBERS_ONLY)
        self.check(entry, complete=False)

    def _filters(self) -> str:
        """YouTube's own filters as its search page takes them (`sp`, a protocol buffer); "" for videos of any kind."""
        free = bool(self.licences) and all("creative commons" in words.lower() for words in self.licences)
        wanted = {4: self.hd_only, 6: free}
        if not any(wanted.values()):
            return ""
        fields = b"".join(bytes([number << 3, 1]) for number, on in {2: True, **wanted}.items() if on)
        return base64.b64encode(bytes([2 << 3 | 2, len(fields)]) + fields).decode()


def errands(
    types: Sequence[Row], videos: int, quota: str = "paper", languages: Sequence[str] = ()
) -> dict[str, Errand]:
    """Units and their errands: `<speech type> | <language>`, quotas in whole videos that add up to `videos`.

    A type without a share (the paper does not know it) gets the mean of the known ones; a type's languages share evenly.
    Units whose quota is below half a video are left out.
    """
    pairs = []
    for row in types:
        given = zip(row["languages"] or [], row["keywords"] or [], strict=True)
        found = [(language, words) for language, words in given if words and (not languages or language in languages)]
        pairs += [(row, language, tuple(words), len(found)) for language, words in found]
    known = [row["share_percent"] for row in types if row["share_percent"] is not None]
    usual = sum(known) / len(known) if known else 1.0
    shares = [usual if quota == "even" or row["share_percent"] is None else row["share_percent"] for row, *_ in pairs]
    counts = _apportioned([share / number for share, (*_, number) in zip(shares, pairs, strict=True)], videos)
    return {
        f"{row['speech_type']} | {language}": Errand(row["speech_type"], language, words, count)
        for (row, language, words, _), count in zip(pairs, counts, strict=True)
        if count
    }


def _apportioned(weights: Sequence[float], total: int) -> list[int]:
    """Whole numbers in proportion to the weights that add up to `total`: the method of largest remainders."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    exact = [total * weight / whole for weight in weights]
    counts = [int(number) for number in exact]
    order = sorted(range(len(weights)), key=lambda i: (round(counts[i] - exact[i], 9), i))
    for i in order[: total - sum(counts)]:
        counts[i] += 1
    return counts


def _types(store: "Store") -> list[Row]:
    rows: list[Row] = store.read("types", _TYPE_COLUMNS).to_pylist()
    return rows


def _rounds(queries: Sequence[tuple[str, Iterator[Row]]], pages: int) -> Iterator[tuple[str, int, Row]]:
    """(query, rank from 1, hit): a page of each query, then the next page of each, until all have ended."""
    left = list(queries)
    for page in range(pages):
        for query, hits in list(left):
            found = 0
            for found, entry in enumerate(islice(hits, PAGE), 1):
                yield query, page * PAGE + found, entry
            if found < PAGE:
                left.remove((query, hits))


def _row(entry: Row, errand: Errand, query: str, rank: int) -> Row:
    """A row of `sources`. Raises Reject when the hit is no single video."""
    from pipeline.base.ids import safe_video_id
    from pipeline.base.links import watch_page
    from pipeline.base.text import clean
    from pipeline.sources.web.info import handle

    if entry.get("ie_key") != "Youtube":
        raise Reject(Reason.NOT_MEDIA, "no video")
    video_id = safe_video_id(f"yt:{entry.get('id')}")
    seconds = entry.get("duration")
    return {
        "source": watch_page(video_id[3:]),
        "video_id": video_id,
        "speech_type": errand.speech_type,
        "language": errand.language,
        "query": query,
        "query_rank": rank,
        "title": clean(entry.get("title"), 300),
        "channel": clean(entry.get("channel"), 200),
        "channel_id": clean(entry.get("channel_id"), 100),
        "channel_handle": handle(entry),
        "duration_seconds": float(seconds) if isinstance(seconds, int | float) else None,
    }


@contextmanager
def _asking(context: Context, gate: "Gate | None") -> Iterator[Callable[[str, str], Iterator[Row]]]:
    """Yields a function: hits of (query, filters), flat, each page asked for in turn when its first hit is wanted."""
    from pipeline.sources.web.errors import outcome_of
    from pipeline.sources.web.net import FencedDownloader
    from pipeline.sources.web.settings import Web

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


def _in_turn(call: Callable[[], Any], gate: "Gate | None", web: "Web") -> Any:
    """One page, asked for patiently; a broken connection is tried again."""
    from pipeline.base.links import YOUTUBE
    from pipeline.sources.web.ask import patiently

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


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("search")
