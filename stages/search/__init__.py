"""Search: speech types become links, asked of YouTube's own search through yt-dlp, page by page and in turn.

A unit is a speech type in a language. Its keywords are asked in rounds, a page each, until the quota is met or there are no
more hits. What a page says of a video is enough to refuse it, so nothing unwanted is downloaded. A video counts once,
for the unit that found it first.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, ClassVar

from pipeline.engine.plan import plan
from pipeline.engine.stage import Context, Resources, Stage
from pipeline.sources.web.pace import serving
from pipeline.sources.web.ready import check_ready
from pipeline.sources.web.settings import Web
from pipeline.tables.store import Store
from stages.search.errands import errands, types_of
from stages.search.settings import SearchSettings


class Search(SearchSettings, Stage):
    """Finds videos for every speech type, in every language asked for, up to its quota."""

    name: ClassVar[str] = "search"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "links of videos for every speech type, from YouTube's search"
    writes: ClassVar[str] = "sources"
    extra: ClassVar[str] = "web"
    modules: ClassVar[tuple[str, ...]] = ("yt_dlp",)
    # One worker: what one unit found, the next leaves out. The pace is the site's, not ours.
    resources: ClassVar[Resources] = Resources(seconds=24 * 3600, one_worker=True)

    def sources(self, store: Store) -> list[str]:
        return list(errands(types_of(store), self.videos, self.quota, self.languages))

    def depends(self, store: Store) -> str:
        return json.dumps(types_of(store), sort_keys=True)

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        store = Store(context.run, context.opt_out)
        units = errands(types_of(store), self.videos, self.quota, self.languages)
        check_ready(context.web or Web())
        prepared = {"errands": {unit: asdict(errand) for unit, errand in units.items()}, "seen": self._settled(store)}
        with serving(context.run, context.web or Web()) as address:
            yield {**prepared, "pace": address}

    def _settled(self, store: Store) -> list[str]:
        """Videos of the units that this run leaves as they are; what the others found before, they may find again."""
        work = plan(self, store)
        pending = {work.units[i] for i in work.pending}
        rows = store.live("sources", ["video_id", "unit"])
        pairs = zip(rows["video_id"].to_pylist(), rows["unit"].to_pylist(), strict=True)
        return [video_id for video_id, unit in pairs if unit not in pending]
