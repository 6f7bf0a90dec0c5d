"""The demo's takes, served from this machine as a site would."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline import theatre
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.sources.web.settings import Web
from pipeline.theatre import server
from stages.crawl.inputs.base import Fetcher, Input

if TYPE_CHECKING:
    from pipeline.tables.store import Store

THEATRE = "theatre"
PREFIX = "theatre://"


class Theatre(Input):
    """Footage that the demo draws itself; a unit is `theatre://<take>`."""

    description: ClassVar[str] = "`theatre` for the demo"

    @classmethod
    def matches(cls, text: str) -> bool:
        return text == THEATRE

    def units(self, store: "Store") -> list[str]:
        return [f"{PREFIX}{take.name}" for take in theatre.TAKES]

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:

        from pipeline.sources.web.net import check_ready

        check_ready(context.web or Web())
        folder = context.run / "theatre"
        theatre.build(folder)
        with server.serve(folder) as address:
            yield {"theatre_url": address}

    def row(self, unit: Unit, worker: Fetcher) -> Row:
        url = f"{worker.given['theatre_url']}/{theatre.take_named(unit.id.removeprefix(PREFIX)).file}"
        # The server's port is another one each time, and no address of it is worth keeping.
        return {**worker.downloaded(unit.id, url, allow_loopback=True), "url": None, "footage": THEATRE}
