"""SIGKILL of the driver or of a worker at random moments; then the same command; then all is as if nothing had happened."""

import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from pipeline.engine.upkeep import collect
from pipeline.tables.compaction import compact
from pipeline.tables.retry import supersede
from pipeline.tables.store import Store
from tests.pipeline.engine import toys
from tests.pipeline.engine.drivers import driver, until, workers
from tests.pipeline.engine.runs import contents, same

KILLS = 30
UNITS = tuple(f"u{n:02d}" for n in range(24))
STAGES = (
    toys.ToyCrawl(units=(*UNITS, "reject"), pause_seconds=0.02),
    toys.ToySplit(),
    toys.ToyAnnotate(),
    toys.ToyMeasure(),
    toys.ToyJudge(most=100.0),
    toys.ToyExport(),
)


def run_to_the_end(run: Path) -> None:
    for _ in range(3):  # a unit whose worker was killed counts as failed, and is tried again by the next run
        with driver(run, *STAGES) as process:
            err = process.communicate(timeout=120)[1]
        assert process.returncode == 0, err
        if '"failed"' not in repr(contents(run)):
            return


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_thirty_kills_leave_no_trace(tmp_path: Path) -> None:
    run_to_the_end(tmp_path / "undisturbed")
    expected = contents(tmp_path / "undisturbed")
    run, moments = tmp_path / "disturbed", random.Random(405)
    killed = {"driver": 0, "worker": 0}
    while sum(killed.values()) < KILLS:
        with driver(run, *STAGES) as process:
            time.sleep(moments.uniform(0.3, 2.5))
            victim = moments.choice(["driver", "worker"])
            children = workers(process.pid)
            if process.poll() is None and victim == "driver":
                os.kill(process.pid, signal.SIGKILL)
                killed[victim] += 1
            elif process.poll() is None and children:
                moments.choice(children).send_signal(signal.SIGKILL)
                killed[victim] += 1
                time.sleep(moments.uniform(0, 0.5))
        until(lambda: not [p for p in children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE])  # noqa: B023
        assert process.returncode in (0, 3, -signal.SIGKILL), (
            "a driver was refused: nothing that was killed may be in its way"
        )
        if Store(run).kinds and process.returncode == 0:
            forget_some(run, moments)
    run_to_the_end(run)
    assert same(contents(run), expected)
    for kind in Store(run).kinds:
        table = Store(run).table(kind)
        winners = dict(zip(*table.winners().select(["unit", "commit"]).to_pydict().values(), strict=True))
        rows = table.rows([])
        assert all(winners[u] == c for u, c in zip(*rows.select(["unit", "commit"]).to_pydict().values(), strict=True))
        compact(Store(run), kind)
    collect(Store(run))
    assert same(contents(run), expected)


def forget_some(run: Path, moments: random.Random) -> None:
    """A run that finished early has nothing left to disturb: another table starts over."""
    store = Store(run)
    kind = moments.choice(store.kinds)
    assert supersede(store, kind, set(store.table(kind).winners()["unit"].to_pylist()))
