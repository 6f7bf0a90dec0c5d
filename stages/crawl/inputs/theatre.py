"""The theatre's takes, served from this machine as a site would."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import filelock

from pipeline import theatre
from pipeline.base.progress import Progress
from pipeline.base.pulse import listening
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.sources.web.ready import check_ready
from pipeline.sources.web.settings import Web
from pipeline.theatre import server
from stages.crawl.inputs.base import Fetcher, Input

if TYPE_CHECKING:
    from pipeline.tables.store import Store

THEATRE = "theatre"
PREFIX = "theatre://"


class Theatre(Input):
    """Footage that the theatre draws itself; a unit is `theatre://<take>`.

    `theatre` is the demo's programme; `theatre:NAME` names another one of `theatre.PROGRAMMES`.
    """

    description: ClassVar[str] = "`theatre` for the demo"

    @classmethod
    def matches(cls, text: str) -> bool:
        kind, _, programme = text.partition(":")
        return kind == THEATRE and (text == THEATRE or programme in theatre.PROGRAMMES)

    @property
    def _programme(self) -> str:
        return self.text.removeprefix(THEATRE).removeprefix(":") or "demo"

    def units(self, store: "Store") -> list[str]:
        return [f"{PREFIX}{take.name}" for take in theatre.PROGRAMMES[self._programme]]

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        check_ready(context.web or Web())
        folder = context.run / "theatre"
        with listening() as pulse, Progress("drawing", doing="the demo's footage") as progress:
            progress.listen(pulse)

            def drawn(_: str, done: int, takes: int) -> None:
                progress.resize(takes)
                progress.advance("takes")

            with filelock.FileLock(context.run / "locks" / "theatre.gate"):  # shards share the footage: one draws it
                theatre.build(folder, programme=self._programme, progress=drawn, pulse=pulse.folder)
        with server.serve(folder) as address:
            yield {"theatre_url": address}

    def row(self, unit: Unit, worker: Fetcher) -> Row:
        url = f"{worker.given['theatre_url']}/{theatre.take_named(unit.id.removeprefix(PREFIX)).file}"
        # The server's port is another one each time, and no address of it is worth keeping.
        return {**worker.downloaded(unit.id, url, allow_loopback=True), "url": None, "footage": THEATRE}
