"""The executor protocol: units in, results out in the order in which they end.

An executor runs `Worker.run` wherever it likes: in processes, threads, or on other machines. It owes the runner a result for
every unit that it drew, also for one whose worker was lost (`Reason.CRASHED`) or ran past its time (`Reason.TIMED_OUT`).
Rows come back by value; only the driver writes tables.
"""

import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from pipeline.base.attributes import load_attribute
from pipeline.engine.executors import EXECUTORS
from pipeline.engine.profile import Machine

if TYPE_CHECKING:
    from pipeline.engine.stage import Context, Stage
    from pipeline.engine.unit import Unit

Units = Iterator[tuple[int, "Unit"]]
Results = Generator[tuple[int, "Result"], None, None]


@dataclass(frozen=True)
class Job:
    """What an executor is given to run.

    Attributes:
        stage: with its settings.
        context: what workers are told.
        workers: how many at a time; 0 runs the units in the driver itself, for a debugger.
        stopping: asked at least twice a second; once it says yes, no more results come.
        machine: which cluster, and what of it; workers on this machine are `workers` and `context`.
        nets: {name: sha256} of those that results depend on, which a worker elsewhere must have too.
    """

    stage: "Stage"
    context: "Context"
    workers: int
    stopping: Callable[[], bool] = lambda: False
    machine: Machine = field(default_factory=Machine)
    nets: Mapping[str, str] = field(default_factory=dict)


class Executor(Protocol):
    """Runs the units of one job."""

    def results(self, units: Units) -> Results:
        """Yield (index, result) in the order in which units end. Closing the generator stops the workers at once.

        Units are drawn as workers need them, never all at once. A unit may be given to a second worker only after the first
        one is known to be gone.
        """
        ...


@dataclass
class Result:
    """What a worker sends back for a unit: an outcome's columns, and its rows as a serialised Arrow batch."""

    status: str
    reason: str = ""
    detail: str = ""
    rows: "bytes | pa.Buffer" = b""
    count: int = 0
    bytes: int = 0  # of the rows
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    logs: list[tuple[int, str, str]] = field(default_factory=list)  # (level, logger, message)
    broken: bool = False  # the stage itself cannot run here: stop, do not try the next unit
    host: str = ""  # where it was computed, and by which GPU; "" for the driver's machine

    def table(self, schema: pa.Schema) -> pa.Table:
        """The rows, of this schema. Call it once: what carries them may be gone afterwards."""
        return pa.Table.from_batches([pa.ipc.read_record_batch(pa.py_buffer(self.rows), schema)])

    def replay_logs(self, stage: str, unit: str) -> None:
        """Log in this process what the unit logged where it ran."""
        for level, name, message in self.logs:
            logging.getLogger(name).log(level, message, extra={"stage": stage, "unit": unit})


def open_executor(name: str, job: Job) -> Executor:
    """The executor of this name for a job; a profile lets no other name through."""
    executor: Executor = load_attribute(EXECUTORS[name])(job)
    return executor
