"""A worker's place on a node, without a cluster: what its process does to itself is known, and concerns nobody else."""

import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.engine.executors.executor import Result
from pipeline.engine.executors.parcel import packed, unpacked
from pipeline.engine.executors.seat import Orders, Seat, module_path
from pipeline.engine.stage import Context, Stage
from pipeline.engine.unit import Unit
from pipeline.tables.outcome import FAILED, OK, REJECTED
from tests.pipeline.engine import toys
from tests.pipeline.engine.drivers import until

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[4]


def orders(run: Path, stage: Stage, **changed: object) -> Orders:
    job = pickle.dumps((stage, Context(run)))
    path = (str(ROOT), *module_path())
    told = {"job": job, "seconds": stage.resources.seconds, "shared": run, "modules": (), "nets": {}, "path": path}
    return Orders(**{**told, **changed})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def seat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seat]:
    found = Seat(orders(tmp_path_factory.mktemp("run"), toys.ToyCrawl()))
    yield found
    found._end()


def done(seat: Seat, name: str) -> Result:
    return together(seat, name)[0]


def together(seat: Seat, *names: str) -> list[Result]:
    answers, _ = seat.run([packed(Unit(name, {})) for name in names])
    return [unpacked(answer) for answer in answers]


def test_results_come_back_by_value_with_what_was_counted(seat: Seat) -> None:
    result = done(seat, "ok")
    assert result.status == OK and result.count == 1 and result.rows and result.host
    assert seat.beats().processes == 1


def test_a_worker_that_dies_is_replaced_and_its_end_is_known(seat: Seat) -> None:
    found = {name: done(seat, name) for name in ("die", "exit", "ok-after")}
    assert [found[name].reason for name in ("die", "exit")] == ["crashed", "crashed"]
    assert "SIGKILL" in found["die"].detail and "exit code 3" in found["exit"].detail
    assert found["ok-after"].status == OK


def test_one_that_was_killed_between_two_units_does_the_second_nevertheless(seat: Seat) -> None:
    done(seat, "ok-1")
    assert seat._process is not None
    seat._process.send_signal(signal.SIGKILL)
    seat._process.wait()
    assert done(seat, "ok-2").status == OK


def test_of_units_that_came_together_each_has_its_own_end(seat: Seat) -> None:
    found = together(seat, "ok-3", "reject", "die", "ok-4")
    assert [result.status for result in found] == [OK, REJECTED, FAILED, OK]


def test_those_behind_one_that_takes_long_are_left_undone(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.engine.executors.seat.TOGETHER_SECONDS", 0.0)
    assert [result.status for result in together(seat, "ok-5", "ok-6", "ok-7")] == [OK]


def test_a_machine_tells_what_it_has(seat: Seat, tmp_path: Path) -> None:
    told = seat.report()
    assert told.installed["numpy"] and told.sees_shared and told.lacking == []
    elsewhere = Seat(orders(tmp_path / "nowhere", toys.ToyCrawl(), modules=("json", "no_such_package")))
    told = elsewhere.report()
    elsewhere._end()
    assert not told.sees_shared and told.lacking == ["no_such_package"]


def test_a_stage_that_a_node_cannot_import_stops_it(tmp_path: Path) -> None:
    broken = Seat(orders(tmp_path, toys.ToyCrawl(), job=b"\x80\x04\x95nothing that could be unpickled"))
    result = done(broken, "a")
    broken._end()
    assert result.status == FAILED and result.broken and "cannot begin on" in result.detail


def test_a_worker_ends_with_its_seat(tmp_path: Path) -> None:
    if not (child := os.fork()):
        Seat(orders(tmp_path, toys.ToyCrawl())).run([packed(Unit("hang", {}))])
    mine = psutil.Process(child)
    (worker,) = until(mine.children)
    mine.kill()
    os.waitpid(child, 0)
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
