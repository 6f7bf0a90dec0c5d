"""The executor on Ray, on a cluster of a head and two nodes on this machine: as the local one, whatever is killed."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline.engine.executors import on_ray
from pipeline.engine.executors.executor import Job, Result
from pipeline.engine.executors.on_ray import RayExecutor
from pipeline.engine.profile import Machine
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.tables.arrow import packed_schema
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import FAILED, OK, REJECTED
from pipeline.tables.store import Store
from tests.pipeline.engine import toys
from tests.pipeline.engine.drivers import driver, until
from tests.pipeline.engine.executors.loopback import Loopback, loopback
from tests.pipeline.engine.runs import contents, go_all, same

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    with loopback(tmp_path_factory.mktemp("ray")) as found:
        yield found


def results(cluster: Loopback, run: Path, *names: str, stage: type[toys.ToyCrawl] = toys.ToyCrawl) -> dict[str, Result]:
    job = Job(stage(), Context(run), 4, machine=Machine(executor="ray", address=cluster.address))
    found = dict(RayExecutor(job).results(enumerate(Unit(name, {}) for name in names)))
    return {names[index]: result for index, result in found.items()}


def test_every_way_to_go_wrong_leaves_the_others_alone(cluster: Loopback, tmp_path: Path) -> None:
    deeds = ("ok-1", "raise", "die", "reject", "exit", "fail", "quit", "eat", "hang", "ok-2")
    found = results(cluster, tmp_path, *deeds)
    assert {name: (result.status, result.reason) for name, result in found.items()} == {
        "ok-1": (OK, ""),
        "raise": (FAILED, "exception"),
        "die": (FAILED, "crashed"),
        "reject": (REJECTED, "not_media"),
        "exit": (FAILED, "crashed"),
        "fail": (FAILED, "network"),
        "quit": (FAILED, "exception"),
        "eat": (FAILED, "out_of_memory"),
        "hang": (FAILED, "timed_out"),
        "ok-2": (OK, ""),
    }
    assert "SIGKILL" in found["die"].detail and "exit code 3" in found["exit"].detail
    assert "toys.py:" in found["raise"].detail and found["raise"].logs and found["ok-1"].host
    assert found["ok-1"].table(packed_schema(KINDS["videos"]))["video_id"].to_pylist() == ["file:ok-1"]


def test_nothing_of_it_listens_to_other_machines(cluster: Loopback, tmp_path: Path) -> None:
    results(cluster, tmp_path, "ok")
    ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
    open_doors = []
    for process in ours:
        with suppress(psutil.NoSuchProcess):
            open_doors += [line.laddr.ip for line in process.net_connections() if line.status == "LISTEN"]
    assert open_doors and {ip.removeprefix("::ffff:") for ip in open_doors} == {"127.0.0.1"}


def test_many_rows_come_back_by_value(cluster: Loopback, tmp_path: Path) -> None:
    found = results(cluster, tmp_path, "a", "bb", stage=toys.ToyHeavy)
    for name, result in found.items():
        table = result.table(packed_schema(KINDS["persons"]))
        assert table["clip_id"].to_pylist() == [name] and len(table["keypoints"][0]) == 250
    assert not list(tmp_path.iterdir()), "nothing was written by anybody but the driver, which writes later"


def test_a_stage_that_cannot_start_says_so(cluster: Loopback, tmp_path: Path) -> None:
    found = results(cluster, tmp_path, "a", "b", stage=toys.ToyBroken)
    assert found["a"].broken and "toy_broken cannot start: the net does not load" in found["a"].detail


def test_a_run_folder_that_nodes_do_not_see_is_told(cluster: Loopback, tmp_path: Path) -> None:
    (found,) = results(cluster, tmp_path / "nowhere", "a").values()
    assert found.broken and "nowhere: nodes share it, at the same path" in found.detail


UNITS = tuple(f"u{n:02d}" for n in range(24))
STAGES = (
    toys.ToyCrawl(units=(*UNITS, "reject"), pause_seconds=0.2),
    toys.ToySplit(),
    toys.ToyAnnotate(),
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The contents that the local executor comes to."""
    run = tmp_path_factory.mktemp("local") / "run"
    go_all(run, STAGES)
    return contents(run)


def run_to_the_end(run: Path, address: str) -> None:
    with driver(run, *STAGES, ray=address) as process:
        err = process.communicate(timeout=200)[1]
    assert process.returncode == 0, err


def test_kills_of_workers_actors_and_nodes_and_a_late_one_leave_no_trace(
    cluster: Loopback, tmp_path: Path, undisturbed: object
) -> None:
    moments, run, landed = random.Random(405), tmp_path / "run", 0
    with driver(run, *STAGES, ray=cluster.address) as process:
        for kill in range(10):
            until(lambda: cluster.workers() or process.poll() is not None, 120)
            time.sleep(moments.uniform(0, 0.3))
            if process.poll() is not None:
                break
            if kill % 3 == 2:
                cluster.kill(moments.choice(cluster.nodes))
                cluster.nodes.append(cluster.add())
                landed += 1
            elif victims := cluster.actors() + cluster.workers():
                moments.choice(victims).kill()
                landed += 1
        err = process.communicate(timeout=300)[1]
    assert process.returncode == 0, err
    assert landed >= 8, "of ten kills most must meet work under way"
    if "'failed'" in repr(contents(run)):  # a unit whose own process was killed is tried again by the next run
        run_to_the_end(run, cluster.address)
    assert same(contents(run), undisturbed)
    rows = Store(run).table("videos").rows(["video_id"])
    assert len(set(rows["video_id"].to_pylist())) == len(UNITS)


def test_an_actor_that_is_frozen_is_given_up_and_its_units_go_to_another(
    cluster: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "SETUP_SECONDS", 0.0)
    monkeypatch.setattr(on_ray, "SLACK_SECONDS", 2.0)
    until(lambda: not cluster.actors(), 60)  # of the tests before
    job = Job(toys.ToyCrawl(), Context(tmp_path), 1, machine=Machine(executor="ray", address=cluster.address))
    found = RayExecutor(job).results(enumerate(Unit(name, {}) for name in ("a", "b", "c", "d")))
    assert next(found)[1].status == OK
    (frozen,) = cluster.actors()
    frozen.suspend()
    try:
        after = {index: (result.status, result.reason) for index, result in found}
    finally:
        frozen.kill()
    assert after == {1: (FAILED, "timed_out"), 2: (OK, ""), 3: (OK, "")}


def test_an_interrupt_stops_within_seconds_and_commits(cluster: Loopback, tmp_path: Path) -> None:
    stage = toys.ToyCrawl(units=("a", "b", "c", "hang-1", "hang-2"))
    with driver(tmp_path, stage, ray=cluster.address) as process:
        until(lambda: len(cluster.workers()) >= 2, 120)
        until(lambda: _done(tmp_path) == 3, 120)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
    assert {row["unit"] for row in Store(tmp_path).outcomes("videos").to_pylist()} >= {"a", "b", "c"}
    until(lambda: not cluster.workers(), 30)


def test_a_head_that_is_lost_stops_the_driver_in_words_and_its_work_can_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes go on without it for a while, and nobody would hear of them."""
    monkeypatch.setenv("TOY_GRACE_SECONDS", "4")
    stage, run = toys.ToyCrawl(units=tuple(f"u{n:02d}" for n in range(30)), pause_seconds=1.0), tmp_path / "run"
    with loopback(tmp_path, nodes=1) as doomed, driver(run, stage, ray=doomed.address) as process:
        until(lambda: _done(run) >= 2, 120)
        doomed.kill_head()
        _, told = process.communicate(timeout=120)
        assert process.returncode == 1, told
        assert "has not answered for 4 s. What was done is committed" in told.splitlines()[-1]
    done = len(Store(run).outcomes("videos"))
    assert 2 <= done < 30
    with driver(run, stage, workers=0) as process:
        process.communicate(timeout=200)
    assert len(Store(run).outcomes("videos")) == 30


def _done(run: Path) -> int:
    """Units of the crawl of which the driver has the result."""
    log = run / "logs" / "toy_crawl.jsonl"
    return log.read_text().count('"status": "ok"') if log.is_file() else 0
