"""Links: a list of them, one a line or in a column of a CSV file, or a manifest of clips."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from pipeline.base.links import video_id_of
from pipeline.base.reasons import Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context, Reads
from pipeline.engine.unit import Unit
from pipeline.sources.local.several import is_one
from pipeline.sources.web.lists import LinkList, read_list, reason_of
from pipeline.sources.web.pace import serving
from pipeline.sources.web.ready import check_ready
from pipeline.sources.web.settings import Web
from stages.crawl.inputs.base import Fetcher, Input

if TYPE_CHECKING:
    from pipeline.tables.store import Store

FOUND = ("speech_type", "language", "query", "query_rank")  # of a source, copied to its video


class Links(Input):
    """Links of a file; a unit is a link, or a line of which none could be made."""

    description: ClassVar[str] = "list of links (one a line, or CSV), manifest of clips"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("sources", FOUND),
    )  # a link that the search found too keeps what it said

    @classmethod
    def matches(cls, text: str) -> bool:
        return is_one(text) and Path(text).is_file()

    def units(self, store: "Store") -> list[str] | None:
        listed = self._listed(store.run)
        return [*listed.links, *listed.bad]

    def refused(self) -> Mapping[str, str]:
        return self._listed(None).bad

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        web = context.web or Web()
        listed = self._listed(context.run)
        if listed.left_out:
            click.echo(f"crawl: left out: {listed.left_out}", err=True)
        _look_ahead(web, self._holds_youtube(listed))
        with serving(context.run, web) as address:
            yield {"bad": listed.bad, "pace": address}

    def row(self, unit: Unit, worker: Fetcher) -> Row:
        bad = worker.given.get("bad", {})
        if unit.id in bad:
            raise Reject(reason_of(unit.id), bad[unit.id])
        searched = {name: value for row in unit.rows("sources") for name in FOUND if (value := row[name]) is not None}
        return {**worker.fetched(unit.id), **searched}

    def _listed(self, run: Path | None) -> LinkList:
        """What the file lists."""
        return read_list(Path(self.text), run)

    def _holds_youtube(self, listed: LinkList) -> bool:
        return any(video_id_of(link) for link in listed.links)


def _look_ahead(web: Web, youtube: bool) -> None:
    """Say what every video would be refused for, before the first is asked for. Raises StageError."""
    if lacking := check_ready(web, youtube):
        click.echo(f"crawl: {lacking}", err=True)
