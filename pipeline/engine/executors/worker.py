"""A worker: sets up one stage at its first unit, and turns every unit into a result, whatever happens.

It knows nothing of how units reach it: an executor puts it into a process, a thread, or another machine.
"""

import logging
import os
import time
import traceback
from pathlib import Path

from pipeline.base import files, pulse
from pipeline.base.cycles import gc_paused
from pipeline.base.damage import Damaged
from pipeline.base.log import redact
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.text import printable
from pipeline.engine.executors.executor import Result
from pipeline.engine.stage import Context, Stage, Work, WorkInColumns
from pipeline.engine.unit import Unit
from pipeline.nets import card
from pipeline.nets.server.credit import ACCOUNT
from pipeline.nets.server.wire import RunLost, ServerGone
from pipeline.sources.local.check import CrawledFiles
from pipeline.tables.arrow import pack_rows, pack_table
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import FAILED, OK, REJECTED

LOGS_PER_UNIT = 50
DETAIL_CHARACTERS = 500


class UnitLogs(logging.Handler):
    """Keeps what a unit logs, for the driver to write: workers share no file."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[tuple[int, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.records) < LOGS_PER_UNIT:
            self.records.append((record.levelno, record.name, self.format(record)))


class Worker:
    """Runs units of one stage, one after the other.

    Attributes:
        logs: a handler; an executor that gives the worker a process of its own adds it to that process's root logger.
        deadline: when the unit at hand has run too long, seconds of the monotonic clock; an executor that can end a worker
            looks at it. Loading nets does not count.
    """

    def __init__(self, stage: Stage, context: Context) -> None:
        self.stage = stage
        self.context = context
        self.deadline = float("inf")
        self.logs = UnitLogs()
        self._work: Work | None = None
        self._files = CrawledFiles(context.run)
        card.CARD_SHARE.part = context.gpu_share  # of sessions of its own; others on the card have the rest
        pulse.count_into(context.pulse)

    def run(self, unit: Unit) -> Result:
        """Process a unit into a result; whatever the stage raises becomes one, `SystemExit` too."""
        self.logs.records = []
        pulse.begin_unit()
        wall, cpu, served = time.perf_counter(), _cpu_seconds(), ACCOUNT.spent
        result = self._result(unit)
        self.context.storage.release()
        self.deadline = float("inf")
        pulse.begin_unit()
        result.detail = bounded(redact(result.detail))
        result.wall_seconds = time.perf_counter() - wall
        served = ACCOUNT.spent - served
        result.cpu_seconds = _cpu_seconds() - cpu + served.processor
        if self.stage.resources.gpu and self.context.device == "cuda":
            asks = (
                self.context.net_server is not None and ACCOUNT.open
            )  # of some back-ends the nets are the worker's own
            result.gpu_seconds = served.device if asks else result.wall_seconds * self.context.gpu_share
        result.logs = self.logs.records
        return result

    def _result(self, unit: Unit) -> Result:
        try:
            if self._work is None:
                with pulse.loading():
                    self._work = self.stage.worker(self.context)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the driver must hear of it
            return Result(FAILED, Reason.EXCEPTION.code, f"{self.stage.name} cannot start: {error}", broken=True)
        return self._guarded(self._work, unit)

    def _guarded(self, work: Work, unit: Unit) -> Result:
        self.deadline = time.monotonic() + self.stage.resources.seconds
        try:
            return self._packed(unit, work)
        except (Damaged, ServerGone) as gone:  # tables, or nets: no unit may be done, or fail, on what is left
            return Result(FAILED, Reason.EXCEPTION.code, str(gone), broken=True)
        except RunLost as lost:
            return Result(FAILED, Reason.CRASHED.code, str(lost))
        except Reject as reject:
            return Result(REJECTED, reject.reason.code, reject.detail or reject.reason.sentence)
        except Failure as failure:
            return Result(FAILED, failure.reason.code, failure.detail or failure.reason.sentence)
        except MemoryError:
            return Result(FAILED, Reason.OUT_OF_MEMORY.code, f"over {self.stage.resources.memory_gb:g} GiB")
        except OSError as error:
            return disk_trouble(error, self.context.run) or unexpected(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a unit's error must not end the worker
            return unexpected(error)

    def _packed(self, unit: Unit, work: Work) -> Result:
        with self._files.checked(unit.rows("videos")):  # no stage decodes what was not crawled
            kind = KINDS[self.stage.writes]
            if isinstance(work, WorkInColumns):
                with gc_paused():
                    table = pack_table(kind, unit.id, work.table(unit))
            else:
                table = pack_rows(kind, unit.id, list(work.process(unit)))
        batch = table.combine_chunks().to_batches()
        packed = batch[0].serialize() if batch else b""
        return Result(OK, rows=packed, count=len(table), bytes=len(packed))


def disk_trouble(error: OSError, run: Path) -> Result | None:
    """A full disk, or a run folder that cannot be written, as a result that stops the stage; None for other errors."""
    known = files.failure_of(error)
    if known is None or not (known.reason is Reason.DISK_FULL or _is_in(run, error.filename)):
        return None
    return Result(FAILED, known.reason.code, known.detail)


def _is_in(run: Path, path: object) -> bool:
    """Whether a path lies in the run folder: an input that may not be read is one unit's trouble, not the stage's."""
    return isinstance(path, str | os.PathLike) and Path(path).resolve().is_relative_to(run.resolve())


def bounded(text: str) -> str:
    """Sanitise to one line of at most `DETAIL_CHARACTERS`: titles and file names are untrusted."""
    line = printable(text[: 2 * DETAIL_CHARACTERS])
    return line if len(line) <= DETAIL_CHARACTERS else line[: DETAIL_CHARACTERS - 1] + "…"


def unexpected(error: BaseException) -> Result:
    """A failure that names the error and where it came from; the log has its traceback."""
    logging.getLogger("worker").error("%s", "".join(traceback.format_exception(error)))
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"  # noqa: PTH119 - a code location, not a path to open
    return Result(FAILED, Reason.EXCEPTION.code, f"{type(error).__name__}: {error} ({where})")


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
