"""The local engine: a pool of worker processes that can be killed without taking anything else down.

Workers come from pebble, which restarts one that died and stops one that ran past its time. A worker gets a unit, runs the
stage on it and sends back packed rows and an outcome; it writes no table. Many rows go through a file: workers share one
pipe, and one that is killed in the middle of a long message would leave the others unreadable.
"""

import concurrent.futures
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from pathlib import Path

import pebble
import pyarrow as pa
from pebble.pool.process import WORKERS_NAME

from pipeline import files
from pipeline.kinds import KINDS
from pipeline.progress import redact
from pipeline.reasons import Failure, Reason, Reject
from pipeline.stage import Context, Stage, Unit
from pipeline.table import FAILED, OK, REJECTED, pack_rows
from pipeline.text import printable

SETUP_SECONDS = 300.0  # loading nets, before the first unit of a worker
TIMED_OUT_EXIT = 124  # as of coreutils' timeout
IN_FLIGHT = 3  # units a worker, so that none waits for the driver
LOGS_PER_UNIT = 50
MESSAGE_BYTES = 8192  # an eighth of what fits into a pipe that the driver empties all the time
DETAIL_CHARACTERS = 500
POOLS = 3  # pools in a row that break before any unit ends: then the stage cannot run here


@dataclass
class Result:
    """What a worker sends back for a unit: an outcome's columns, and its rows as an Arrow batch, here or in a file."""

    status: str
    reason: str = ""
    detail: str = ""
    rows: bytes = b""
    file: Path | None = None
    count: int = 0
    bytes: int = 0  # of the rows
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    logs: list[tuple[int, str, str]] = field(default_factory=list)  # (level, logger, message)
    broken: bool = False  # the stage itself cannot run here: stop, do not try the next unit

    def table(self, schema: pa.Schema) -> pa.Table:
        """The rows, of this schema. A file is removed: call this once."""
        if self.file is None:
            return pa.Table.from_batches([pa.ipc.read_record_batch(pa.py_buffer(self.rows), schema)])
        with pa.memory_map(str(self.file)) as source:
            batch = pa.ipc.read_record_batch(source.read_buffer(), schema)
        self.file.unlink()
        return pa.Table.from_batches([batch])


class _Logs(logging.Handler):
    """Keeps what a unit logs, for the driver to write: workers share no file."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[tuple[int, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.records) < LOGS_PER_UNIT:
            self.records.append((record.levelno, record.name, self.format(record)))


class _Worker:
    """The state of one worker process: its stage, set up at the first unit."""

    def __init__(self, stage: Stage, context: Context, token: str) -> None:
        self.stage = stage
        self.context = context
        self.token = token  # in the names of files with rows, so that the engine finds those that nobody fetched
        self.ready = False
        self.deadline = float("inf")  # of the unit at hand, on the monotonic clock
        self.logs = _Logs()

    def run(self, unit: Unit) -> Result:
        self.logs.records = []
        wall, cpu = time.perf_counter(), _cpu_seconds()
        result = self._judge(unit)
        self.deadline = float("inf")
        result.detail = bounded(redact(result.detail))
        result.wall_seconds = time.perf_counter() - wall
        result.cpu_seconds = _cpu_seconds() - cpu
        if self.stage.resources.gpu and self.context.device == "cuda":
            result.gpu_seconds = result.wall_seconds  # seconds for which the GPU was held
        result.logs = self.logs.records
        return result

    def _judge(self, unit: Unit) -> Result:
        try:
            if not self.ready:
                try:
                    self.stage.setup(self.context)
                except Exception as error:  # noqa: BLE001 - whatever it is, the driver must hear of it
                    return Result(
                        FAILED, Reason.EXCEPTION.code, f"{self.stage.name} cannot start: {error}", broken=True
                    )
                self.ready = True
            self.deadline = time.monotonic() + self.stage.resources.seconds
            rows = list(self.stage.process(unit))
            return self._packed(pack_rows(KINDS[self.stage.writes], unit.id, rows))
        except Reject as reject:
            return Result(REJECTED, reject.reason.code, reject.detail or reject.reason.sentence)
        except Failure as failure:
            return Result(FAILED, failure.reason.code, failure.detail or failure.reason.sentence)
        except MemoryError:
            return Result(FAILED, Reason.OUT_OF_MEMORY.code, f"over {self.stage.resources.memory_gb:g} GiB")
        except OSError as error:
            known = files.failure_of(error)
            ours = known and (known.reason is Reason.DISK_FULL or self._in_run(error.filename))
            return Result(FAILED, known.reason.code, known.detail) if known and ours else _unexpected(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a unit's error must not end the worker
            return _unexpected(error)

    def _in_run(self, path: object) -> bool:
        """Whether a path lies in the run folder: an input that may not be read is one unit's trouble, not the stage's."""
        return isinstance(path, str | os.PathLike) and Path(path).resolve().is_relative_to(self.context.run.resolve())

    def _packed(self, table: pa.Table) -> Result:
        batch = table.combine_chunks().to_batches()
        packed = batch[0].serialize() if batch else b""
        result = Result(OK, count=len(table), bytes=len(packed))
        if result.bytes <= MESSAGE_BYTES:
            result.rows = bytes(packed)
            return result
        folder = self.context.run / "tables" / self.stage.writes
        folder.mkdir(parents=True, exist_ok=True)
        result.file = folder / f"{files.TEMPORARY}{self.token}-{uuid.uuid4().hex}.arrow"
        try:
            with result.file.open("wb") as out:
                out.write(packed)
        except OSError:
            result.file.unlink(missing_ok=True)
            raise
        return result


def bounded(text: str) -> str:
    """One printable line of at most `DETAIL_CHARACTERS`: titles and file names, which are untrusted, end up in details."""
    line = printable(text[: 2 * DETAIL_CHARACTERS])
    return line if len(line) <= DETAIL_CHARACTERS else line[: DETAIL_CHARACTERS - 1] + "…"


def _unexpected(error: BaseException) -> Result:
    logging.getLogger("worker").error("%s", "".join(traceback.format_exception(error)))
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"  # noqa: PTH119 - a code location, not a path to open
    return Result(FAILED, Reason.EXCEPTION.code, f"{type(error).__name__}: {error} ({where})")


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


_worker: _Worker | None = None


def _processes(stage: Stage) -> multiprocessing.context.BaseContext:
    """How workers begin: anew, for forking a process with threads is not safe; or as forks of one that only imports."""
    if not stage.preload or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, *stage.preload])
    return processes


def _start(stage: Stage, context: Context, token: str) -> None:
    """First code of a worker process: limits, signals, and a watch on the driver."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's business
    _limit_memory(stage.resources.memory_gb)
    _worker = _Worker(stage, context, token)
    logging.getLogger().addHandler(_worker.logs)  # in the driver's own process, the run's log hears of it directly
    logging.getLogger().setLevel(logging.INFO)
    threading.Thread(target=_watch, args=(_worker,), daemon=True).start()


def _watch(worker: _Worker) -> None:
    """End this process when its unit ran past its time, or when the driver is gone: a killed run must not keep the GPU.

    Loading nets does not count as a unit's time. Where a unit never lets this thread run, pebble's own limit ends it.
    """
    driver = multiprocessing.parent_process()
    while driver is not None and driver.is_alive():
        time.sleep(0.2)
        if time.monotonic() > worker.deadline:
            os._exit(TIMED_OUT_EXIT)
    os.kill(os.getpid(), signal.SIGKILL)


def _limit_memory(gigabytes: float) -> None:
    """Private writable memory, not address space: CUDA reserves far more addresses than it uses."""
    try:
        import resource
    except ImportError:  # not on every platform
        return
    if hasattr(resource, "RLIMIT_DATA"):
        limit = int(gigabytes * 2**30)
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _run(unit: Unit) -> Result:
    assert _worker is not None, "the pool started this process without its initialiser"
    return _worker.run(unit)


class LocalEngine:
    """Runs units of one stage on this machine.

    Args:
        stage: with its settings.
        context: what workers are told.
        workers: processes; 0 runs the units in this process, for a debugger.
        stopping: asked twice a second; once it says yes, no more results come.
    """

    def __init__(
        self, stage: Stage, context: Context, workers: int, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self.stage = stage
        self.context = context
        self.workers = workers
        self.stopping = stopping
        self.token = uuid.uuid4().hex[:12]

    def results(self, units: Iterator[tuple[int, Unit]]) -> Iterator[tuple[int, Result]]:
        """Yield (index, result) in the order in which units end. Closing the generator stops the workers at once."""
        if self.workers == 0:
            worker = _Worker(self.stage, self.context, self.token)
            yield from ((index, worker.run(unit)) for index, unit in units)
            return
        waiting = _Waiting(units)
        breaks = 0
        while not self.stopping():
            try:
                for item in self._collect(waiting):
                    breaks = 0
                    yield item
                return
            except BrokenProcessPool:
                # pebble gives up when a worker dies between units; nothing is wrong with those that it held
                breaks += 1
                waiting.put_back()
                if breaks == POOLS:
                    problem = f"{self.stage.name} cannot start: its workers end before they begin a unit"
                    yield waiting.first[0][0], Result(FAILED, Reason.CRASHED.code, problem, broken=True)
                    return

    def _collect(self, waiting: "_Waiting") -> Iterator[tuple[int, Result]]:
        pool = pebble.ProcessPool(
            max_workers=self.workers,
            initializer=_start,
            initargs=(self.stage, self.context, self.token),
            context=_processes(self.stage),
        )
        timeout = self.stage.resources.seconds + SETUP_SECONDS
        try:
            while True:
                while waiting.more and len(waiting.in_flight) < self.workers * IN_FLIGHT:
                    waiting.send(pool, timeout)
                if not waiting.in_flight:
                    return
                done, _ = concurrent.futures.wait(waiting.in_flight, 0.5, concurrent.futures.FIRST_COMPLETED)
                if self.stopping():
                    return
                if not done and not pool.active:
                    raise BrokenProcessPool("a thread of the pool died")
                for future in done:
                    result = self._result(future)
                    yield waiting.in_flight.pop(future)[0], result
        finally:
            pool.stop()
            for (
                process
            ) in multiprocessing.active_children():  # all at once: pebble would wait 3 s for each that is busy
                if process.name == WORKERS_NAME:
                    process.kill()
            pool.join()
            for path in (self.context.run / "tables" / self.stage.writes).glob(f"{files.TEMPORARY}{self.token}-*"):
                path.unlink(missing_ok=True)

    def _result(self, future: "concurrent.futures.Future[Result]") -> Result:
        seconds = self.stage.resources.seconds
        late = Result(FAILED, Reason.TIMED_OUT.code, f"stopped after {seconds:g} s", wall_seconds=seconds)
        try:
            return future.result()
        except concurrent.futures.TimeoutError:
            return late
        except pebble.ProcessExpired as error:
            if error.exitcode == TIMED_OUT_EXIT:
                return late
            return Result(FAILED, Reason.CRASHED.code, _how_it_died(error.exitcode or 0))


class _Waiting:
    """Units that are not done: in flight, put back from a broken pool, or not yet drawn."""

    def __init__(self, units: Iterator[tuple[int, Unit]]) -> None:
        self.in_flight: dict[concurrent.futures.Future[Result], tuple[int, Unit]] = {}
        self._units = units
        self.first: list[tuple[int, Unit]] = []
        self._draw()

    @property
    def more(self) -> bool:
        return bool(self.first)

    def _draw(self) -> None:
        if not self.first:
            following = next(self._units, None)
            self.first += [following] if following else []

    def send(self, pool: pebble.ProcessPool, timeout: float) -> None:
        """Give the next unit to the pool. Raises BrokenProcessPool; the unit is still the next one then."""
        try:
            with _deaf_to_interrupts():
                future = pool.schedule(_run, args=[self.first[0][1]], timeout=timeout)
        except RuntimeError as error:  # how pebble says that the pool is broken
            raise BrokenProcessPool(str(error)) from error
        self.in_flight[future] = self.first.pop(0)
        self._draw()

    def put_back(self) -> None:
        self.first = [*self.in_flight.values(), *self.first]
        self.in_flight = {}


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Threads and processes that begin in this block never see Ctrl-C, which a terminal sends to every process."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it would lift the block when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _how_it_died(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(code)
        hint = ": the system may have run out of memory" if name == "SIGKILL" else ""
        return f"the worker was ended by {name}{hint}"
    return f"the worker ended with exit code {code}"
