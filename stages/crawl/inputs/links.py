"""Links: a list of them, one a line or in a column of a CSV file, or a manifest of clips."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.base.reasons import Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context, Reads
from pipeline.engine.unit import Unit
from stages.crawl.inputs.base import Input

if TYPE_CHECKING:
    from pipeline.sources.web.lists import LinkList
    from pipeline.sources.web.settings import Web
    from pipeline.tables.store import Store
    from stages.crawl.worker import Worker

FOUND = ("speech_type", "language", "query", "query_rank")  # of a source, copied to its video


class Links(Input):
    """Links of a file; a unit is a link, or a line of which none could be made."""

    description: ClassVar[str] = "list of links (one a line, or CSV), manifest of clips"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("sources", FOUND),
    )  # a link that the search found too keeps what it said

    @classmethod
    def matches(cls, text: str) -> bool:
        return Path(text).is_file()

    def units(self, store: "Store") -> list[str] | None:
        found = self._listed(store.run)
        return [*found.links, *found.bad]

    def refused(self) -> Mapping[str, str]:
        return self._listed(None).bad

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        from pipeline.sources.web.pace import serving
        from pipeline.sources.web.settings import Web

        web = context.web or Web()
        listed = self._listed(context.run)
        _look_ahead(web, self._holds_youtube(listed))
        with serving(context.run, web) as address:
            yield {"bad": listed.bad, "pace": address}

    def row(self, unit: Unit, worker: "Worker") -> Row:
        from pipeline.sources.web.lists import reason_of

        bad = worker.given.get("bad", {})
        if unit.id in bad:
            raise Reject(reason_of(unit.id), bad[unit.id])
        found = {name: value for row in unit.rows("sources") for name in FOUND if (value := row[name]) is not None}
        return {**worker.fetched(unit.id), **found}

    def _listed(self, run: Path | None) -> "LinkList":
        """What the file lists."""
        from pipeline.sources.web.lists import read_list

        return read_list(Path(self.text), run)

    def _holds_youtube(self, listed: "LinkList") -> bool:
        from pipeline.base.links import video_id_of

        return any(video_id_of(link) for link in listed.links)


def _look_ahead(web: "Web", youtube: bool) -> None:
    """Say what every video would be refused for, before the first is asked for. Raises StageError."""
    import click

    from pipeline.sources.web.net import check_ready, without_scripts

    check_ready(web)
    if youtube and (lacking := without_scripts()):
        click.echo(f"crawl: {lacking}", err=True)
