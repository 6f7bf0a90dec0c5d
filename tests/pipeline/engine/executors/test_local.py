"""The local executor: whatever a unit does, the others get their results."""

import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pebble
import pytest

from pipeline.base.reasons import Reason
from pipeline.engine.executors import local
from pipeline.engine.executors.executor import Job, Result
from pipeline.engine.executors.local import MESSAGE_BYTES, LocalExecutor
from pipeline.engine.executors.worker import bounded
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.tables.arrow import packed_schema
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import FAILED, OK, REJECTED
from tests.pipeline.engine import drivers, toys


def units(*names: str) -> Iterator[tuple[int, Unit]]:
    return enumerate(Unit(name, {}) for name in names)


def results(run: Path, *names: str, workers: int = 2, stage: type[toys.ToyCrawl] = toys.ToyCrawl) -> dict[str, Result]:
    executor = LocalExecutor(Job(stage(), Context(run), workers))
    found = dict(executor.results(units(*names)))
    return {names[index]: result for index, result in found.items()}


def test_every_way_to_go_wrong_leaves_the_others_alone(tmp_path: Path) -> None:
    deeds = ("ok-1", "raise", "die", "reject", "exit", "fail", "quit", "eat", "odd", "unknown", "twice", "keyless")
    found = results(tmp_path, *deeds, "denied", "ok-2", "hang", "ok-3")
    reasons = {name: (result.status, result.reason) for name, result in found.items()}
    assert reasons == {
        "ok-1": (OK, ""),
        "raise": (FAILED, "exception"),
        "die": (FAILED, "crashed"),
        "reject": (REJECTED, "not_media"),
        "exit": (FAILED, "crashed"),
        "fail": (FAILED, "network"),
        "quit": (FAILED, "exception"),
        "eat": (FAILED, "out_of_memory"),
        "odd": (REJECTED, "not_media"),
        "unknown": (FAILED, "exception"),
        "twice": (FAILED, "exception"),
        "keyless": (FAILED, "exception"),
        "denied": (FAILED, "exception"),  # an input that may not be read: this unit's trouble, not the stage's
        "ok-2": (OK, ""),
        "hang": (FAILED, "timed_out"),
        "ok-3": (OK, ""),
    }
    assert "SIGKILL" in found["die"].detail
    assert "exit code 3" in found["exit"].detail
    assert "no column colour" in found["unknown"].detail
    assert "video_id twice" in found["twice"].detail
    assert "without a video_id" in found["keyless"].detail
    assert "toys.py:" in found["raise"].detail
    assert found["ok-1"].table(packed_schema(KINDS["videos"]))["video_id"].to_pylist() == ["file:ok-1"]
    assert found["ok-1"].wall_seconds >= 0


def test_details_are_one_printable_line_of_bounded_length() -> None:
    line = bounded("a\udcff name\x1b[31m\nof two lines " + "x" * 2000)
    assert line.isprintable() and len(line) == 500 and line.startswith("a? name?[31m of two lines xx")
    line.encode()


def test_a_stage_that_cannot_start_says_so_once(tmp_path: Path) -> None:
    found = results(tmp_path, "a", "b", workers=1, stage=toys.ToyBroken)
    assert found["a"].broken and "toy_broken cannot start: the net does not load" in found["a"].detail


def test_many_rows_travel_by_file_and_leave_none(tmp_path: Path) -> None:
    for index, result in LocalExecutor(Job(toys.ToyHeavy(), Context(tmp_path), 2)).results(units("a", "bb")):
        name = ("a", "bb")[index]
        assert isinstance(result, local._FiledResult) and result.bytes > 250 * 266 * 4
        table = result.table(packed_schema(KINDS["persons"]))
        assert table["clip_id"].to_pylist() == [name] and not result.file.exists()
        assert len(table["keypoints"][0]) == 250


def test_a_worker_killed_between_units_does_not_end_the_run(tmp_path: Path) -> None:
    """pebble declares its whole pool broken then; the executor starts another one and goes on with the same units."""
    started = threading.Event()

    def drawn() -> Iterator[tuple[int, Unit]]:
        yield 0, Unit("first", {})
        started.wait(30)
        for process in drivers.workers(os.getpid()):
            process.send_signal(signal.SIGKILL)
        time.sleep(0.5)
        yield from ((n, Unit(f"later-{n}", {})) for n in range(1, 5))

    got = []
    executor = LocalExecutor(Job(toys.ToyCrawl(), Context(tmp_path), 2))
    waiting = executor.results(drawn())
    # the second unit is drawn only when the first was sent; by then workers exist, and soon one is idle
    threading.Timer(2.0, started.set).start()
    got = sorted((index, result.status) for index, result in waiting)
    assert [index for index, _ in got] == [0, 1, 2, 3, 4]
    assert all(status == OK for index, status in got if index)


def test_workers_that_die_at_the_start_end_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_start", _die_at_start)
    executor = LocalExecutor(Job(toys.ToyCrawl(), Context(tmp_path), 1))
    (found,) = executor.results(units("a"))
    assert found[1].broken and "its workers end before they begin a unit" in found[1].detail


def _die_at_start(*_: object) -> None:
    os._exit(7)


def test_no_worker_is_left_when_the_results_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Busy workers are killed before the pool is joined, which would wait 3 s for each of them."""
    killed_at_join: list[int] = []
    killed: list[int | None] = []
    kill, join = BaseProcess.kill, pebble.ProcessPool.join

    def noted_kill(process: BaseProcess) -> None:
        killed.append(process.pid)
        kill(process)

    def noted_join(pool: pebble.ProcessPool, timeout: float | None = None) -> None:
        killed_at_join.append(len(killed))
        join(pool, timeout)

    monkeypatch.setattr(BaseProcess, "kill", noted_kill)
    monkeypatch.setattr(pebble.ProcessPool, "join", noted_join)
    executor = LocalExecutor(Job(toys.ToyCrawl(pause_seconds=0.01), Context(tmp_path), 2))
    waiting = executor.results(units("hang", "a", "b"))
    next(waiting)
    alive = {process.pid for process in drivers.workers(os.getpid())}
    waiting.close()
    assert len(alive) == 2 and set(killed[: killed_at_join[0]]) == alive
    assert not drivers.workers(os.getpid())


def test_in_this_process_for_a_debugger(tmp_path: Path) -> None:
    found = results(tmp_path, "a", "reject", "quit", workers=0)
    assert [found[name].status for name in ("a", "reject", "quit")] == [OK, REJECTED, FAILED]
    assert Reason.of(found["quit"].reason) is Reason.EXCEPTION


def test_rows_that_cannot_be_left_fail_one_unit(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "persons").mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MESSAGE_BYTES, before[1]))  # workers inherit it: EFBIG, no full disk
    try:
        found = dict(LocalExecutor(Job(toys.ToyHeavy(), Context(tmp_path), 1)).results(units("a", "bb")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [(result.status, result.reason) for result in found.values()] == [(FAILED, "exception")] * 2
    assert not list((tmp_path / "tables" / "persons").iterdir())
