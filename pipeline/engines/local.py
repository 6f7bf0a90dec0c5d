"""The local engine: a pool of worker processes that can be killed without taking anything else down.

Workers come from pebble, which restarts one that died and stops one that ran past its time. A worker gets a unit, runs the
stage on it and sends back packed rows and an outcome; it writes no table.
"""

import concurrent.futures
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pebble
import pyarrow as pa

from pipeline import files
from pipeline.kinds import KINDS
from pipeline.reasons import Failure, Reason, Reject
from pipeline.stage import Context, Stage, Unit
from pipeline.table import FAILED, OK, REJECTED, pack_rows

SETUP_SECONDS = 300.0  # loading nets, before the first unit of a worker
TIMED_OUT_EXIT = 124  # as of coreutils' timeout
IN_FLIGHT = 3  # units a worker, so that none waits for the driver
LOGS_PER_UNIT = 50


@dataclass
class Result:
    """What a worker sends back for a unit: an outcome's columns, and its rows as an Arrow stream."""

    status: str
    reason: str = ""
    detail: str = ""
    rows: bytes = b""
    count: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    logs: list[tuple[int, str, str]] = field(default_factory=list)  # (level, logger, message)
    broken: bool = False  # the stage itself cannot run here: stop, do not try the next unit

    def table(self) -> pa.Table:
        """The rows, without `commit`."""
        return pa.ipc.open_stream(self.rows).read_all()


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

    def __init__(self, stage: Stage, context: Context) -> None:
        self.stage = stage
        self.context = context
        self.ready = False
        self.deadline = float("inf")  # of the unit at hand, on the monotonic clock
        self.logs = _Logs()
        logging.getLogger().addHandler(self.logs)
        logging.getLogger().setLevel(logging.INFO)

    def run(self, unit: Unit) -> Result:
        self.logs.records = []
        wall, cpu = time.perf_counter(), _cpu_seconds()
        result = self._judge(unit)
        self.deadline = float("inf")
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
            table = pack_rows(KINDS[self.stage.writes], unit.id, rows)
            return Result(OK, rows=_to_bytes(table), count=len(rows))
        except Reject as reject:
            return Result(REJECTED, reject.reason.code, reject.detail or reject.reason.sentence)
        except Failure as failure:
            return Result(FAILED, failure.reason.code, failure.detail or failure.reason.sentence)
        except MemoryError:
            return Result(FAILED, Reason.OUT_OF_MEMORY.code, f"over {self.stage.resources.memory_gb:g} GiB")
        except OSError as error:
            known = files.failure_of(error)
            return Result(FAILED, known.reason.code, known.detail) if known else _unexpected(error)
        except Exception as error:  # noqa: BLE001 - a unit's error must not end the worker
            return _unexpected(error)


def _unexpected(error: Exception) -> Result:
    logging.getLogger("worker").error("%s", "".join(traceback.format_exception(error)))
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"  # noqa: PTH119 - a code location, not a path to open
    return Result(FAILED, Reason.EXCEPTION.code, f"{type(error).__name__}: {error} ({where})"[:500])


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


_worker: _Worker | None = None


def _start(stage: Stage, context: Context, driver: int) -> None:
    """First code of a worker process: limits, signals, and a watch on the driver."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's business
    _limit_memory(stage.resources.memory_gb)
    _worker = _Worker(stage, context)
    threading.Thread(target=_watch, args=(driver, _worker), daemon=True).start()


def _watch(driver: int, worker: _Worker) -> None:
    """End this process when its unit ran past its time, or when the driver is gone: a killed run must not keep the GPU.

    Loading nets does not count as a unit's time. Where a unit never lets this thread run, pebble's own limit ends it.
    """
    while os.getppid() == driver:
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

    def results(self, units: Iterator[tuple[int, Unit]]) -> Iterator[tuple[int, Result]]:
        """Yield (index, result) in the order in which units end. Closing the generator stops the workers at once."""
        if self.workers == 0:
            worker = _Worker(self.stage, self.context)
            yield from ((index, worker.run(unit)) for index, unit in units)
            return
        pool = pebble.ProcessPool(
            max_workers=self.workers,
            initializer=_start,
            initargs=(self.stage, self.context, os.getpid()),
            context=multiprocessing.get_context("spawn"),  # forking a process with threads is not safe
        )
        try:
            yield from self._collect(pool, units)
        finally:
            pool.stop()
            pool.join()

    def _collect(self, pool: pebble.ProcessPool, units: Iterator[tuple[int, Unit]]) -> Iterator[tuple[int, Result]]:
        in_flight: dict[concurrent.futures.Future[Result], int] = {}
        timeout = self.stage.resources.seconds + SETUP_SECONDS
        exhausted = False
        while in_flight or not exhausted:
            while not exhausted and len(in_flight) < self.workers * IN_FLIGHT:
                following = next(units, None)
                if following is None:
                    exhausted = True
                    break
                in_flight[pool.schedule(_run, args=[following[1]], timeout=timeout)] = following[0]
            done, _ = concurrent.futures.wait(in_flight, 0.5, concurrent.futures.FIRST_COMPLETED)
            if self.stopping():
                return
            for future in done:
                yield in_flight.pop(future), self._result(future)

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


def _how_it_died(code: int) -> str:
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(code)
        hint = ": the system may have run out of memory" if name == "SIGKILL" else ""
        return f"the worker was ended by {name}{hint}"
    return f"the worker ended with exit code {code}"
