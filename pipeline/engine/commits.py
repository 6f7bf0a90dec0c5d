"""Commits: results collected while units run, and written to the table by the driver, its only writer."""

import logging
import socket
import time
from collections import Counter
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.errors import StageError
from pipeline.base.reasons import Reason
from pipeline.engine.fingerprint import versions_of
from pipeline.engine.plan import Plan
from pipeline.engine.stage import Stage
from pipeline.tables.arrow import packed_schema
from pipeline.tables.lock import held, taken_over
from pipeline.tables.outcome import FAILED, OK, Outcome
from pipeline.tables.store import Store

if TYPE_CHECKING:
    from pipeline.engine.executors.executor import Result

COMMIT_BYTES = 64 << 20
COMMIT_SECONDS = 60.0

log = logging.getLogger(__name__)

_SOURCE_AWAY = {Reason.SOURCE_CHANGED.code, Reason.SOURCE_MISSING.code, Reason.SOURCE_DISCARDED.code}


class Commits:
    """Collects results and writes a part every 64 MB or 60 s, and on request.

    Attributes:
        unmended: {unit: why} of those whose rows stay, though they could not be made again.
        reasons: of these, how many for each reason.
    """

    def __init__(self, stage: Stage, store: Store, work: Plan) -> None:
        self.stage, self.work = stage, work
        self.run = store.run
        self.table = store.table(stage.writes)
        self.schema = packed_schema(self.table.kind)
        self.rows: list[pa.Table] = []
        self.outcomes: list[Outcome] = []
        self.unmended: dict[str, str] = {}
        self.reasons: Counter[str] = Counter()
        self.bytes = 0
        self.since = time.monotonic()
        self.versions = versions_of(stage)

    def add(self, index: int, result: "Result") -> None:
        """Take the result of the unit with this index in the plan."""
        if result.status != OK and self._stays(index, result):
            self.unmended[self.work.units[index]] = f"{result.reason}: {result.detail}"
            self.reasons[result.reason] += 1
            self._log(index, result)
            return
        if result.count:
            self.rows.append(result.table(self.schema))
            self.bytes += result.bytes
        fingerprint, versions = self._made_by(index)
        self.outcomes.append(
            Outcome(
                unit=self.work.units[index],
                stage=self.stage.name,
                fingerprint=fingerprint,
                status=result.status,
                reason=result.reason,
                detail=result.detail,
                attempt=int(self.work.attempts[index]) + 1,
                failures=int(self.work.failures[index]) + 1 if result.status == FAILED else 0,
                rows=result.count,
                wall_seconds=result.wall_seconds,
                cpu_seconds=result.cpu_seconds,
                gpu_seconds=result.gpu_seconds,
                host=result.host or socket.gethostname(),
                at=datetime.now(UTC),
                versions=versions,
                nets=self.work.nets,
            )
        )
        self._log(index, result)
        self.flush_if_due()

    def _stays(self, index: int, result: "Result") -> bool:
        """Whether the rows that a unit has are right, and what was made from them stays: its files or its source are away.

        So do those of a file that could not be read again; one that today's reader refuses goes.
        """
        if index in self.work.again:
            return result.status == FAILED
        return index in self.work.lost or (result.reason in _SOURCE_AWAY and self.work.units[index] in self._made)

    def _made_by(self, index: int) -> tuple[int, str]:
        """The fingerprint and versions of an outcome; where a file was only read again, those with which it was fetched."""
        if index in self.work.again:
            return self._before[self.work.units[index]]
        return int(self.work.fingerprints[index]), self.versions

    @cached_property
    def _before(self) -> dict[str, tuple[int, str]]:
        """{unit: (fingerprint, versions)} of the units that were there when the run began."""
        won = self.table.winners(("versions",)).select(["unit", "fingerprint", "versions"]).to_pylist()
        return {row["unit"]: (row["fingerprint"], row["versions"]) for row in won}

    @cached_property
    def _made(self) -> set[str]:
        """The units that have a result already, of a stage whose sources are the run's videos."""
        if "videos" not in {self.stage.writes, *(reads.kind for reads in self.stage.reads)}:
            return set()
        won = self.table.winners()
        return set(won["unit"].filter(pc.equal(won["status"], OK)).to_pylist())

    def _log(self, index: int, result: "Result") -> None:
        level = logging.WARNING if result.status == FAILED else logging.INFO
        extra = {
            "stage": self.stage.name,
            "unit": self.work.units[index],
            "status": result.status,
            "reason": result.reason,
        }
        log.log(level, "%s", result.detail, extra=extra)

    def flush_if_due(self) -> None:
        """Write what was collected, when it is much or old."""
        if self.bytes >= COMMIT_BYTES or time.monotonic() - self.since >= COMMIT_SECONDS:
            self.flush()

    def check_there(self) -> None:
        """Raise StageError when the run folder was deleted, for a commit would begin it anew with a part of its rows, or when
        another driver took over from this one.
        """
        if not held(self.run, self.table.kind.name):
            self.outcomes = []
            raise StageError(
                f"{self.run} was deleted or moved while {self.stage.name} ran: stopped, nothing is begun anew"
            )

        if rival := taken_over(self.run, self.table.kind.name):
            self.outcomes = []
            raise StageError(
                f"{rival} took {self.table.kind.name} over, for this process gave no sign of life for too long (it was suspended, "
                f"or the disk hung): stopped; what was committed is safe, and {self.stage.name} does the rest again"
            )

    def flush(self) -> None:
        """Write what was collected."""
        if self.outcomes:
            self.check_there()
            self.table.append(self.rows, self.outcomes)
        self.rows, self.outcomes, self.bytes, self.since = [], [], 0, time.monotonic()
