"""Crawl: what `crawl.input` names (see `inputs`) becomes verified videos with a row each."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import click

from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.sources.web.lists import InputError
from pipeline.tables.store import Store
from stages.crawl import kept, owners
from stages.crawl.inputs import READS, input_of
from stages.crawl.settings import CrawlSettings


class Crawl(CrawlSettings, Stage):
    """Fetches or finds videos, checks that they decode, hashes them and puts them in place."""

    name: ClassVar[str] = "crawl"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "videos from a folder or from links, verified and hashed"
    reads: ClassVar[tuple[Reads, ...]] = READS
    writes: ClassVar[str] = "videos"
    unit: ClassVar[str] = "source"
    resources: ClassVar[Resources] = Resources(seconds=24 * 3600, network=True, preload=("stages.crawl.warm",))
    looks_at_files: ClassVar[bool] = True
    extra: ClassVar[str] = "web"

    def needed_modules(self) -> tuple[str, ...]:
        """What the input needs; one that is named wrongly is told where it is read."""
        try:
            return input_of(self.input).modules
        except InputError:
            return ()

    def preloads(self) -> tuple[str, ...]:
        """yt-dlp and its extractors, half a second of a processor, only where the input is fetched."""
        return self.resources.preload if self.needed_modules() else ()

    def sources(self, store: Store) -> Iterable[str] | Mapping[str, str] | None:
        return input_of(self.input).units(store)

    def look(self, store: Store) -> None:
        input_of(self.input).look(store)

    def refused(self, store: Store) -> Mapping[str, str]:
        return input_of(self.input).refused()

    def empty_input(self) -> str:
        return "" if self.input == "search" else input_of(self.input).nothing()

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        chosen = input_of(self.input)
        if left_out := chosen.left_out():
            click.echo(f"crawl: left out: {left_out}", err=True)
        store = Store(context.run, context.opt_out)
        units = chosen.units(store)
        if mended := owners.mend(store, store.keys("sources").to_pylist() if units is None else units):
            click.echo(f"crawl: {mended:,} notes of who owns a video were lost or damaged, and are mended", err=True)
        with chosen.driver(context) as given:
            yield {**given, **kept.kept_sounds(context.run)}
