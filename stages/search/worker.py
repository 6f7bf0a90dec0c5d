"""Looks for the videos of a speech type in a language."""

import base64
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from pipeline.base.ids import safe_video_id
from pipeline.base.links import watch_page
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.text import clean
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.sources.web.info import handle
from pipeline.sources.web.pace import Gate
from stages.search.asking import asking
from stages.search.errands import Errand
from stages.search.settings import SearchSettings

PAGE = 20  # hits that YouTube gives at a time, about

log = logging.getLogger(__name__)


class Searcher:
    """Remembers which videos were found, so that a video counts once."""

    def __init__(self, settings: SearchSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._seen = set(context.given["seen"])
        self._gate = Gate(context.given["pace"]) if "pace" in context.given else None

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the links of a speech type in a language. Raises Reject where there are none."""
        errand = Errand(**self._context.given["errands"][unit.id])
        rows, refused = self._find(errand)
        left_out = ", ".join(f"{count} {why.code}" for why, count in sorted(refused.items(), key=lambda p: p[0].code))
        if not rows:
            asked = ", ".join(errand.keywords)
            raise Reject(Reason.NOTHING_FOUND, f"asked for {asked}: {left_out or 'no hits at all'}")
        if len(rows) < errand.videos:
            log.warning("%s: %d of %d videos found%s", unit.id, len(rows), errand.videos, left_out and f" ({left_out})")
        self._seen.update(row["video_id"] for row in rows)
        yield from rows

    def _find(self, errand: Errand) -> tuple[list[Row], dict[Reason, int]]:
        """Rows up to the quota, and how many hits were left out, by why."""
        rows: dict[str, Row] = {}
        refused: Counter[Reason] = Counter()
        with asking(self._context, self._gate) as ask:
            hits = _rounds(
                [(query, ask(query, self._filters())) for query in errand.keywords], self._settings.pages_per_query
            )
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
        self._settings.check(entry, complete=False)

    def _filters(self) -> str:
        """YouTube's own filters as its search page takes them (`sp`, a protocol buffer); "" for videos of any kind."""
        free = bool(self._settings.licences) and all(
            "creative commons" in words.lower() for words in self._settings.licences
        )
        wanted = {4: self._settings.hd_only, 6: free}
        if not any(wanted.values()):
            return ""
        fields = b"".join(bytes([number << 3, 1]) for number, on in {2: True, **wanted}.items() if on)
        return base64.b64encode(bytes([2 << 3 | 2, len(fields)]) + fields).decode()


def _rounds(queries: Sequence[tuple[str, Iterator[Row]]], pages: int) -> Iterator[tuple[str, int, Row]]:
    """(query, rank from 1, hit): a page of each query, then the next page of each, until all have ended."""
    left = list(queries)
    for page in range(pages):
        for query, hits in list(left):
            hits_here = 0
            for hits_here, entry in enumerate(islice(hits, PAGE), 1):
                yield query, page * PAGE + hits_here, entry
            if hits_here < PAGE:
                left.remove((query, hits))


def _row(entry: Row, errand: Errand, query: str, rank: int) -> Row:
    """A row of `sources`. Raises Reject when the hit is no single video."""
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


open_worker = Searcher
