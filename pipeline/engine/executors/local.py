"""The local executor: a pool of worker processes that can be killed without taking anything else down.

Processes come from pebble, which restarts one that died and stops one that ran past its time. Many rows go through a file:
workers share one pipe, and one that is killed in the middle of a long message would leave the others unreadable.
"""

import concurrent.futures
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from pathlib import Path

import pebble
import pyarrow as pa
from pebble.pool.process import WORKERS_NAME

from pipeline.base import files
from pipeline.base.reasons import Reason
from pipeline.engine.executors import forked
from pipeline.engine.executors.executor import Job, Result, Results, Units
from pipeline.engine.executors.expected import modules
from pipeline.engine.executors.forked import AsDriver
from pipeline.engine.executors.limits import SETUP_SECONDS, TIMED_OUT_EXIT, how_it_died, limit_memory
from pipeline.engine.executors.net_server import served, told
from pipeline.engine.executors.worker import Worker, disk_trouble, unexpected
from pipeline.engine.stage import Context, Stage
from pipeline.engine.unit import Unit
from pipeline.tables.outcome import FAILED

IN_FLIGHT = 3  # units a worker, so that none waits for the driver
MESSAGE_BYTES = 8192  # an eighth of what fits into a pipe that the driver empties all the time
POOLS = 3  # pools in a row that break before any unit ends: then the stage cannot run here


@dataclass
class _FiledResult(Result):
    """A result whose rows are in a file, which is deleted once they are read."""

    file: Path = Path()

    def table(self, schema: pa.Schema) -> pa.Table:
        with pa.memory_map(str(self.file)) as source:
            batch = pa.ipc.read_record_batch(source.read_buffer(), schema)
        self.file.unlink()
        return pa.Table.from_batches([batch])


class _Outbox:
    """A folder in which a worker process leaves rows too large for the pipe, for the driver to pick up.

    Args:
        folder: of the stage's table.
        token: part of the files' names, by which the executor finds those that were never picked up.
    """

    def __init__(self, folder: Path, token: str) -> None:
        self.folder = folder
        self.token = token

    def send(self, result: Result) -> Result:
        """The result, its rows in a file when they are many. OSError when that cannot be written; no half a file stays."""
        if result.bytes <= MESSAGE_BYTES:
            return result
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{files.TEMPORARY}{self.token}-{uuid.uuid4().hex}.arrow"
        try:
            file.write_bytes(result.rows)
        except OSError:
            file.unlink(missing_ok=True)
            raise
        return _FiledResult(**{**vars(result), "rows": b""}, file=file)

    def clear(self) -> None:
        """Remove files that were never picked up."""
        for path in self.folder.glob(f"{files.TEMPORARY}{self.token}-*"):
            path.unlink(missing_ok=True)


_worker: Worker | None = None
_outbox: _Outbox | None = None


def _processes(job: Job) -> tuple[multiprocessing.context.BaseContext, AsDriver | None]:
    """How workers begin: as forks of a server that only imports, or afresh; a driver has threads, and cannot be forked."""
    needs = job.stage.resources
    if job.context.device == "cpu":  # no fork may have anything of CUDA
        if sys.platform == "linux" and (forks := forked.processes(modules(job.stage))):
            return forks, AsDriver()
        if (
            sys.platform == "darwin" and needs.network and job.stage.preloads()
        ):  # its many workers; nothing is handed over there
            forks = multiprocessing.get_context("forkserver")
            forks.set_forkserver_preload([__name__, *job.stage.preloads()])
            return forks, None
    return multiprocessing.get_context("spawn"), None


def _start(_: AsDriver | None, stage: Stage, context: Context, outbox: _Outbox) -> None:
    """First code of a worker process: limits, signals, and a watch on the driver."""
    global _worker, _outbox
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's business
    limit_memory(stage.resources.memory_gb, context.device)
    _worker, _outbox = Worker(stage, context), outbox
    logging.getLogger().addHandler(_worker.logs)  # in the driver's own process, the run's log hears of it directly
    logging.getLogger().setLevel(logging.INFO)
    threading.Thread(target=_watch, args=(_worker,), daemon=True).start()


def _watch(worker: Worker) -> None:
    """End this process when its unit ran past its time, or when the driver is gone: a killed run must not keep the GPU.

    Loading nets does not count as a unit's time. Where a unit never lets this thread run, pebble's own limit ends it.
    """
    driver = multiprocessing.parent_process()
    while driver is not None and driver.is_alive():
        time.sleep(0.2)
        if time.monotonic() > worker.deadline:
            os._exit(TIMED_OUT_EXIT)
    os.kill(os.getpid(), signal.SIGKILL)


def _run(unit: Unit) -> Result:
    assert _worker is not None and _outbox is not None, "the pool started this process without its initialiser"
    result = _worker.run(unit)
    try:
        return _outbox.send(result)
    except OSError as error:
        return replace(
            disk_trouble(error, _worker.context.run) or unexpected(error),
            logs=result.logs,
            wall_seconds=result.wall_seconds,
            cpu_seconds=result.cpu_seconds,
            gpu_seconds=result.gpu_seconds,
        )


class LocalExecutor:
    """Runs units of one stage on this machine."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.stage = job.stage
        self.outbox = _Outbox(job.context.run / "tables" / job.stage.writes, uuid.uuid4().hex[:12])

    def results(self, units: Units) -> Results:
        """Yield (index, result) in the order in which units end. Closing the generator stops the workers at once."""
        if self.job.workers == 0:
            worker = Worker(self.stage, self.job.context)
            yield from ((index, worker.run(unit)) for index, unit in units)
            return
        with ExitStack() as stack:
            with _deaf_to_interrupts():
                self.job, keeper = stack.enter_context(served(self.job))
            for index, result in self._pools(_Waiting(units)):
                yield index, told(result, keeper)

    def _pools(self, waiting: "_Waiting") -> Results:
        """Results of one pool, and of others where it breaks."""
        breaks = 0
        while not self.job.stopping():
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

    def _collect(self, waiting: "_Waiting") -> Results:
        with _deaf_to_interrupts():
            processes, as_driver = _processes(self.job)
        pool = pebble.ProcessPool(
            max_workers=self.job.workers,
            initializer=_start,
            initargs=(as_driver, self.stage, self.job.context, self.outbox),
            context=processes,
        )
        timeout = self.stage.resources.seconds + SETUP_SECONDS
        try:
            while True:
                while waiting.more and len(waiting.in_flight) < self.job.workers * IN_FLIGHT:
                    waiting.send(pool, timeout)
                if not waiting.in_flight:
                    return
                done, _ = concurrent.futures.wait(waiting.in_flight, 0.5, concurrent.futures.FIRST_COMPLETED)
                if self.job.stopping():
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
            self.outbox.clear()

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
            return Result(FAILED, Reason.CRASHED.code, how_it_died(error.exitcode or 0))


class _Waiting:
    """Unfinished units: in flight, returned by a broken pool, or not yet drawn."""

    def __init__(self, units: Units) -> None:
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
    """Shield threads and processes started in this block from Ctrl-C, which a terminal sends to every process."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it would lift the block when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
