"""Probe: is what the run asks for still there? Every link is looked at, none is downloaded."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from pipeline.base.links import video_id_of
from pipeline.base.reasons import Reason
from pipeline.engine.stage import Context, Resources, Stage
from pipeline.sources.web.lists import read_list
from pipeline.sources.web.pace import serving
from pipeline.sources.web.ready import check_ready
from pipeline.sources.web.settings import Web
from pipeline.tables.store import Store
from stages.probe.settings import ProbeSettings


class Probe(ProbeSettings, Stage):
    """Links of the run -> `checks`: live, dead and why, or not finished yet.

    A dead video is a measure here, not a failure: what other tables hold of it stays. What could not be asked (throttled,
    network, bot wall) is a failure, which the next run tries again.
    """

    name: ClassVar[str] = "probe"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "which links are still there, without downloading"
    writes: ClassVar[str] = "checks"
    extra: ClassVar[str] = "web"
    modules: ClassVar[tuple[str, ...]] = ("yt_dlp",)
    unit: ClassVar[str] = "source"
    resources: ClassVar[Resources] = Resources(seconds=24 * 3600, network=True)  # most of it is waiting for a turn

    def result_settings(self) -> dict[str, Any]:
        return {**super().result_settings(), "as_of": self.day()}

    def sources(self, store: Store) -> list[str]:
        """Links of the manifest, of the search and of the crawl, and files that were crawled, without what opted out."""
        links = set(store.read("sources", ["source"])["source"].to_pylist())
        links |= set(_files(store))
        links |= {row["unit"] for row in store.outcomes("videos").select(["unit"]).to_pylist() if _is_link(row["unit"])}
        if self.manifest:
            links |= set(read_list(Path(self.manifest), store.run).links)
        if not store.opt_out:
            return sorted(links)
        gone = set(store.opted_out.to_pylist())
        refused = {o["unit"] for o in store.outcomes("videos").to_pylist() if o["reason"] == Reason.OPTED_OUT.code}
        out = store.opt_out
        return sorted(link for link in links - refused if (video := video_id_of(link)) not in gone and video not in out)

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        check_ready(context.web or Web())
        files = _files(Store(context.run, context.opt_out))
        with serving(context.run, context.web or Web()) as address:
            yield {"pace": address, "files": files}


def _is_link(unit: str) -> bool:
    return unit.startswith(("https://", "http://"))


def _files(store: Store) -> dict[str, dict[str, str]]:
    """Sources that are files, and where they lie."""
    rows = store.read("videos", ["source", "video_id", "path"]).to_pylist()
    return {row["source"]: row for row in rows if row["source"] and row["path"] and not _is_link(row["source"])}
