"""Availability: the account of what is still there, as JSON, as a table and as one page that opens from a file."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipeline.base.hashes import sha256_of
from pipeline.engine.stage import Resources, Stage
from pipeline.tables.hashing import digest, row_hashes, unit_hashes
from stages.availability.settings import AvailabilitySettings

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


class Availability(AvailabilitySettings, Stage):
    """Checks, crawl and manifest -> `availability/{availability.json, rows.csv, index.html}`."""

    name: ClassVar[str] = "availability"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "of N videos and M clips, how many are live, dead of what, or unknown"
    writes: ClassVar[str] = "reports"
    resources: ClassVar[Resources] = Resources(seconds=3600, memory_gb=16, one_worker=True)

    def sources(self, store: "Store") -> list[str]:
        return [UNIT]

    def depends(self, store: "Store") -> str:
        """What the account is made of: rows and outcomes of the tables that it joins, and the manifest's content."""
        hashes = []
        for kind, columns in _LOOKED_AT.items():
            won = store.outcomes(kind).select(["unit", "fingerprint", "status", "reason", "attempt"])
            for rows in (won, store.live(kind, columns).select(columns)):
                one = np.zeros(len(rows), dtype=np.int64)
                hashes.append(f"{kind} {unit_hashes(one, row_hashes(rows, rows.column_names), 1)[0]}")
        if self.manifest and Path(self.manifest).is_file():
            hashes.append(sha256_of(Path(self.manifest)))
        return f"{digest(*hashes, *sorted(store.opt_out.videos | store.opt_out.taken)):016x}"
