"""Ray: what scheduling costs the driver, on a cluster in virtual time, and on a real one of eight nodes on this machine.

The first is the logic alone (`crew`), with nothing behind it: nodes of eight workers that come late, go, and are replaced. The
second runs stages of no-op units, commits and all, in turns with the local executor; the median of three rounds counts.
"""

import itertools
import logging
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psutil

from pipeline.base.progress import size
from pipeline.engine.executors.crew import Crew
from pipeline.engine.profile import Machine
from pipeline.engine.runner import Options, run_stage
from pipeline.registry.models import Registry
from tests.bench.table import Goal, Row
from tests.pipeline.engine.executors.loopback import loopback
from tests.pipeline.engine.executors.stand_in import StandIn, numbered
from tests.pipeline.engine.toys import ToyRows

NODES, SLOTS, UNITS, EARLY = 64, 8, 100_000, 10_000
ROUNDS = 3  # of which the median counts
# Of the head; by default Ray takes 30 % of a machine's memory. What a driver holds before a commit, 64 MB, nearly fills one of
# 100 MB, and where one is nearly full Ray has every process collect its garbage, the driver too.
STORE = 1 << 30
SIZES = ((1_000, 2000, 2.0), (5_000_000, 60, 1.3))  # bytes of rows, units, driver time at most, in local ones


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
    logging.getLogger("pipeline.engine.executors.crew").setLevel(logging.ERROR)
    began, memory, done = time.process_time(), 0, 0
    for _ in Crew(cluster, numbered(units), 2 * NODES * SLOTS, 1e9, "toy").results(lambda: False):
        done += 1
        if done == early:
            memory = psutil.Process().memory_info().rss
    seconds = time.process_time() - began
    assert done == units, "a unit was lost, or came twice"
    return {"units a second": units / seconds, "grown MB": (psutil.Process().memory_info().rss - memory) / 1e6}


def real(folder: Path, nodes: int = 8) -> Iterator[Row]:
    """A cluster of nodes with room for one worker each, and as many workers on this machine."""
    with tempfile.TemporaryDirectory(dir=folder) as place, loopback(Path(place), nodes, 1, STORE) as cluster:
        machine = Machine(executor="ray", address=cluster.address)
        options = {"local": Options(workers=nodes), "ray": Options(workers=nodes, executor="ray", machine=machine)}
        run_units(Path(place) / "joining", 1000, nodes, options["ray"])
        for count, units, most in SIZES:
            rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in options}
            for number, name in itertools.product(range(ROUNDS), options):  # in turns: the machine may be a shared one
                run = Path(place) / f"{name}-{count}-{number}"
                rounds[name].append(marginal(run, count, units, nodes, options[name]))
            ours, speed, start = map(median, zip(*rounds["ray"], strict=True))
            theirs, their_speed, their_start = map(median, zip(*rounds["local"], strict=True))
            what = f"Ray, {nodes} nodes, rows of {size(count)}"
            yield Row(f"{what}: driver time a unit", "CPU ms", ours, theirs, goal=Goal("ratio", 1 / most))
            yield Row(f"{what}: speed", "units/s", speed, their_speed)
            yield Row(f"{what}: a stage of {nodes} units", "s", start, their_start)


def marginal(run: Path, count: int, units: int, few: int, options: Options) -> tuple[float, float, float]:
    """Processor milliseconds of the driver a unit, commits and all, beyond a few; units a second; seconds for the few."""
    cpu, start = run_units(run.with_name(f"{run.name}-few"), count, few, options)
    more_cpu, seconds = run_units(run, count, units, options)
    return 1000 * (more_cpu - cpu) / (units - few), (units - few) / max(1e-3, seconds - start), start


def run_units(run: Path, count: int, units: int, options: Options) -> tuple[float, float]:
    """Processor and clock seconds of the driver for a stage."""
    stage = ToyRows(units=tuple(f"u{n}" for n in range(units)), bytes=count)
    cpu, began = _own_seconds(), time.perf_counter()
    summary = run_stage(stage, run, Registry(cache=run / "nets"), options)
    assert summary.counts == {"ok": units}, summary
    return _own_seconds() - cpu, time.perf_counter() - began


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
