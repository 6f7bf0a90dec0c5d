"""Availability: the account of what is still there, as JSON, as a table and as one page that opens from a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field, PrivateAttr

from pipeline.base.hashes import sha256_of
from pipeline.base.units import Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Resources, Stage
from pipeline.engine.unit import Unit

if TYPE_CHECKING:
    from pipeline.tables.store import Store

UNIT = "availability"  # beside the report's own in the table `reports`
_LOOKED_AT = {
    "sources": ["source", "speech_type"],
    "checks": ["source", "state", "checked"],
    "videos": ["video_id", "source", "speech_type"],
    "clips": ["clip_id"],
    "samples": ["clip_id"],
}


class Availability(Stage):
    """Checks, crawl and manifest -> `availability/{availability.json, rows.csv, index.html}`."""

    name: ClassVar[str] = "availability"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "of N videos and M clips, how many are live, dead of what, or unknown"
    writes: ClassVar[str] = "reports"
    resources: ClassVar[Resources] = Resources(seconds=3600, memory_gb=16, one_worker=True)

    manifest: str = Field(
        "",
        description="list of links or manifest of clips of which the account is given, beside what was searched and crawled",
        json_schema_extra=runtime(),  # where it lies changes nothing; what it says is in `depends`
    )

    _context: Context = PrivateAttr(default=Context(Path()))

    def sources(self, store: "Store") -> list[str]:
        return [UNIT]

    def depends(self, store: "Store") -> str:
        """What the account is made of: rows and outcomes of the tables that it joins, and the manifest's content."""
        from pipeline.tables.hashing import digest, row_hashes, unit_hashes

        found = []
        for kind, columns in _LOOKED_AT.items():
            won = store.outcomes(kind).select(["unit", "fingerprint", "status", "reason", "attempt"])
            for rows in (won, store.live(kind, columns).select(columns)):
                one = np.zeros(len(rows), dtype=np.int64)
                found.append(f"{kind} {unit_hashes(one, row_hashes(rows, rows.column_names), 1)[0]}")
        if self.manifest and Path(self.manifest).is_file():
            found.append(sha256_of(Path(self.manifest)))
        return f"{digest(*found, *sorted(store.opt_out.videos)):016x}"

    def setup(self, context: Context) -> None:
        self._context = context

    def process(self, unit: Unit) -> Iterator[Row]:
        from pipeline.tables.store import Store
        from pipeline.views.availability import account
        from pipeline.views.availability.formats import PAGE
        from stages.availability import page

        run = self._context.run
        page.write(run, account(Store(run, self._context.opt_out), self.manifest))
        yield {"report": UNIT, "path": PAGE}
