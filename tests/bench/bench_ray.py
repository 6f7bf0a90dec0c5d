"""Ray: what scheduling costs the driver, on a cluster in virtual time, and on a real one of eight nodes on this machine.

The first is the logic alone (`crew`), with nothing behind it: nodes of eight workers that come late, go, and are replaced. The
second sends no-op units through every layer, in one run with the local executor.
"""

import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from pipeline.base.progress import size
from pipeline.engine.executors.crew import Crew
from pipeline.engine.executors.executor import Executor, Job
from pipeline.engine.executors.local import LocalExecutor
from pipeline.engine.executors.on_ray import RayExecutor
from pipeline.engine.profile import Machine
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from tests.bench.table import Goal, Row
from tests.pipeline.engine.executors.loopback import loopback
from tests.pipeline.engine.executors.stand_in import StandIn, numbered
from tests.pipeline.engine.toys import ToyRows

NODES, SLOTS, UNITS, EARLY = 64, 8, 100_000, 10_000
WORKERS = 4
SIZES = ((1_000, 400, 2.0), (5_000_000, 24, 1.3))  # bytes of rows, units, driver time at most, in local ones


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    """The rows of the table."""
    del rounds  # each is long enough
    yield from virtual()
    yield from real(folder)


def virtual(units: int = UNITS, early: int = EARLY) -> Iterator[Row]:
    """The crew over nodes that exist in this process alone."""
    found = in_virtual_time(units, early)
    what = f"crew, {NODES} nodes of {SLOTS}, {units:,} units, nodes and workers killed"
    yield Row(what, "units/s", found["units a second"], goal=Goal("share", 1.0), limit=200.0)
    yield Row(f"memory at the end over that after {early:,}", "MB", found["grown MB"], goal=Goal("value", 100.0))


def in_virtual_time(units: int, early: int) -> dict[str, float]:
    """Units a second of driver time, and how much memory grew after the first of them."""
    chance = random.Random(405)
    cluster = StandIn([SLOTS] * NODES, lambda unit: 1.0 + len(unit.id) % 7)
    for moment in range(20):
        cluster.at(10.0 * moment, cluster.kill_worker)
        cluster.at(10.0 * moment + 5, lambda: cluster.kill_node(chance.choice(list(cluster.nodes))))
        cluster.at(10.0 * moment + 7, lambda: cluster.join(SLOTS))
    began, memory, done = time.process_time(), 0, 0
    for _ in Crew(cluster, numbered(units), 2 * NODES * SLOTS, 1e9, "toy").results(lambda: False):
        done += 1
        if done == early:
            memory = psutil.Process().memory_info().rss
    seconds = time.process_time() - began
    assert done == units, "a unit was lost, or came twice"
    return {"units a second": units / seconds, "grown MB": (psutil.Process().memory_info().rss - memory) / 1e6}


def real(folder: Path, nodes: int = 8) -> Iterator[Row]:
    """A cluster of nodes with room for one worker each, and the local executor with as few as fit on this machine."""
    with tempfile.TemporaryDirectory(dir=folder) as place, loopback(Path(place), nodes, cpus=1) as cluster:
        run = Path(place)
        machine = Machine(executor="ray", address=cluster.address)
        for count, units, most in SIZES:
            stage = ToyRows(bytes=count)
            local = cost(LocalExecutor(Job(stage, Context(run), WORKERS)), units)
            ray = cost(RayExecutor(Job(stage, Context(run), nodes, machine=machine)), units)
            what = f"Ray, {nodes} nodes, units of {size(count)}"
            goal = Goal("ratio", 1 / most)
            yield Row(f"{what}: driver time a unit", "CPU ms", ray[0], local[0], goal=goal)
            yield Row(f"{what}: speed", "units/s", ray[1], local[1])
            yield Row(f"{what}: until the first result", "s", ray[2], local[2])


def cost(executor: Executor, units: int) -> tuple[float, float, float]:
    """Processor milliseconds a unit of the driver alone, units a second after the first result, seconds until that."""
    began, first, cpu = time.perf_counter(), 0.0, 0.0
    for done, (_, result) in enumerate(executor.results((n, Unit(f"u{n}", {})) for n in range(units))):
        assert result.status == "ok", result.detail
        if not done:
            first, cpu = time.perf_counter(), _own_seconds()
    seconds = time.perf_counter() - first
    return 1000 * (_own_seconds() - cpu) / (units - 1), (units - 1) / seconds, first - began


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
