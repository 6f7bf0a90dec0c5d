"""One static page that shows what a run kept, what it dropped and why; it opens from a file."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipeline.engine.stage import Reads, Resources, Stage
from pipeline.tables.hashing import digest, row_hashes, unit_hashes
from stages.report.settings import ReportSettings

if TYPE_CHECKING:
    from pipeline.tables.store import Store


class Report(ReportSettings, Stage):
    """Every table -> `report/index.html`, its style, its script and its data as plain script files.

    What is declared in `reads` decides when the page is made again; the rows themselves are read from the tables at once.
    """

    name: ClassVar[str] = "report"
    version: ClassVar[int] = 3
    in_columns: ClassVar[bool] = True
    summary: ClassVar[str] = "a static page: where hours go, what was kept, what was dropped and why"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("videos", ("title", "channel", "url", "licence", "speech_type", "duration_seconds")),
        Reads("clips", ("frames",)),
        Reads("persons", ("person",)),
        Reads("verdicts", ("keep",)),
        Reads("samples", ("video", "video_sha256")),
        Reads("previews", ("path", "clip", "pose")),
        Reads("shards", ("sha256",)),
    )
    writes: ClassVar[str] = "reports"
    resources: ClassVar[Resources] = Resources(seconds=3600, memory_gb=16, one_worker=True)

    def depends(self, store: "Store") -> str:
        """What else the page shows: what became of every unit of every other stage, results or not; and who opted out.

        Overrides may name people of whom no table tells: without the latter, their ids would stay on the page.
        """
        hashes = []
        for kind in store.kinds:
            shown = ["unit", "fingerprint", "status", "reason"]
            won = store.outcomes(kind, shown).select(shown)
            if kind != self.writes:
                one = np.zeros(len(won), dtype=np.int64)
                hashes.append(f"{kind} {unit_hashes(one, row_hashes(won, won.column_names), 1)[0]}")
        if store.opt_out:
            out = store.opt_out
            hashes.append(f"opt_out {sorted(out.videos | out.taken)} {sorted(out.channels)}")
        return f"{digest(*hashes):016x}"
