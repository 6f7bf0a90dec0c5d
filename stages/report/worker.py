"""Makes the page from the tables of a run."""

from collections.abc import Iterator

from pipeline.base.cycles import gc_paused
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.tables.results import listing_of, write_listing
from pipeline.tables.store import Store
from stages.report import gather, page
from stages.report.settings import ReportSettings
from stages.report.unmeasured import unmeasured

FOLDER = "report"
PAGE = f"{FOLDER}/index.html"


class ReportWriter:
    """Reads the tables and writes `report/`."""

    def __init__(self, settings: ReportSettings, context: Context) -> None:
        self._settings, self._context = settings, context

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the page's row, once it is written."""
        run = self._context.run
        with gc_paused():
            tables = gather.gather(Store(run, self._context.opt_out))
            known = page.write(run / FOLDER, tables, self._settings, unmeasured(tables, self._context.models))
        written = listing_of(run, (path for path in (run / FOLDER).rglob("[!.]*") if path.is_file()), known)
        yield {"report": "report", "path": PAGE, "files": write_listing(written)}


open_worker = ReportWriter
