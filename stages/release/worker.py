"""Writes the release from the tables of a run."""

from collections.abc import Iterator

from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.shards.release import FOLDER, INDEX
from pipeline.tables.results import listing_of, write_listing
from pipeline.tables.store import Store
from pipeline.tables.takedowns import LEDGER
from stages.release.settings import ReleaseSettings
from stages.release.write import write


class ReleaseWriter:
    """Writes `release/`, a few rows at a time."""

    def __init__(self, settings: ReleaseSettings, context: Context) -> None:
        self._settings, self._context = settings, context

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the release's row, once its files are written."""
        run = self._context.run
        counts = write(Store(run, self._context.opt_out), self._settings)
        paths = [path for path in (run / FOLDER).rglob("*") if path.is_file()]
        written = listing_of(run, [path for path in paths if path.name != LEDGER])  # which grows without a new release
        yield {
            "release": "release",
            "path": f"{FOLDER}/{INDEX}",
            "rows": counts.speakers,
            "files": write_listing(written),
        }


open_worker = ReleaseWriter
