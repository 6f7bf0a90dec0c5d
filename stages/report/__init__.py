"""One static page that shows what a run kept, what it dropped and why; it opens from a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field, PrivateAttr

from pipeline.base.units import Row
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit

if TYPE_CHECKING:
    from pipeline.tables.store import Store

FOLDER = "report"
PAGE = f"{FOLDER}/index.html"


class Report(Stage):
    """Every table -> `report/index.html`, its style, its script and its data as plain script files.

    What is declared in `reads` decides when the page is made again; the rows themselves are read from the tables at once.
    """

    name: ClassVar[str] = "report"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "a static page: where hours go, what was kept, what was dropped and why"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("videos", ("title", "channel", "url", "licence", "speech_type", "duration_seconds")),
        Reads("clips", ("frames",)),
        Reads("persons", ("person",)),
        Reads("verdicts", ("keep",)),
        Reads("samples", ("video", "video_sha256")),
        Reads("previews", ("path",)),
        Reads("shards", ("sha256",)),
    )
    writes: ClassVar[str] = "reports"
    resources: ClassVar[Resources] = Resources(seconds=3600, memory_gb=16, one_worker=True)

    title: str = Field("", description="heading of the page; the run's name by default")
    clips_a_file: int = Field(240, ge=10, le=5000, description="kept clips in one data file, loaded when looked at")
    dropped_a_reason: int = Field(200, ge=0, description="dropped clips shown for each reason, at most")
    failed_shown: int = Field(300, ge=0, description="failed units listed, at most")

    _context: Context = PrivateAttr(default=Context(Path()))

    def setup(self, context: Context) -> None:
        self._context = context

    def depends(self, store: "Store") -> str:
        """What else the page shows: what became of every unit of every other stage, results or not."""
        from pipeline.tables.hashing import digest, row_hashes, unit_hashes

        found = []
        for kind in store.kinds:
            won = store.outcomes(kind).select(["unit", "fingerprint", "status", "reason"])
            if kind != self.writes:
                one = np.zeros(len(won), dtype=np.int64)
                found.append(f"{kind} {unit_hashes(one, row_hashes(won, won.column_names), 1)[0]}")
        return f"{digest(*found):016x}"

    def process(self, unit: Unit) -> Iterator[Row]:
        from pipeline.tables.store import Store
        from stages.report import gather, page

        run = self._context.run
        page.write(run / FOLDER, gather.gather(Store(run, self._context.opt_out)), self)
        yield {"report": "report", "path": PAGE}
