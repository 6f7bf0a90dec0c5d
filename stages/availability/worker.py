"""Takes the account and writes it."""

from collections.abc import Iterator

from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.tables.results import listing_of, write_listing
from pipeline.tables.store import Store
from pipeline.views.availability import account
from pipeline.views.availability.formats import JSON, PAGE, ROWS
from stages.availability import page
from stages.availability.settings import AvailabilitySettings


class AccountWriter:
    """Joins the run's tables with the manifest, and writes what became of everything."""

    def __init__(self, settings: AvailabilitySettings, context: Context) -> None:
        self._settings, self._context = settings, context

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the account's row, once its files are written."""
        run = self._context.run
        page.write(run, account(Store(run, self._context.opt_out), self._settings.manifest))
        written = listing_of(run, [run / name for name in (JSON, ROWS, PAGE)])
        yield {"report": unit.id, "path": PAGE, "files": write_listing(written)}


open_worker = AccountWriter
