"""The local engine: whatever a unit does, the others get their results."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.engines import local
from pipeline.engines.local import LocalEngine, Result, bounded
from pipeline.kinds import KINDS
from pipeline.reasons import Reason
from pipeline.stage import Context, Unit
from pipeline.table import FAILED, OK, REJECTED, packed_schema
from tests.pipeline import toys


def units(*names: str) -> Iterator[tuple[int, Unit]]:
    return enumerate(Unit(name, {}) for name in names)


def results(run: Path, *names: str, workers: int = 2, stage: type[toys.ToyCrawl] = toys.ToyCrawl) -> dict[str, Result]:
    engine = LocalEngine(stage(), Context(run), workers)
    found = dict(engine.results(units(*names)))
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
    for index, result in LocalEngine(toys.ToyHeavy(), Context(tmp_path), 2).results(units("a", "bb")):
        name = ("a", "bb")[index]
        assert result.file is not None and result.bytes > 250 * 266 * 4
        table = result.table(packed_schema(KINDS["persons"]))
        assert table["clip_id"].to_pylist() == [name] and not result.file.exists()
        assert len(table["keypoints"][0]) == 250


def workers_of(driver: int) -> list[psutil.Process]:
    return [p for p in psutil.Process(driver).children() if "spawn_main" in " ".join(p.cmdline())]


def test_a_worker_killed_between_units_does_not_end_the_run(tmp_path: Path) -> None:
    """pebble declares its whole pool broken then; the engine starts another one and goes on with the same units."""
    started = threading.Event()

    def drawn() -> Iterator[tuple[int, Unit]]:
        yield 0, Unit("first", {})
        started.wait(30)
        for process in workers_of(os.getpid()):
            process.send_signal(signal.SIGKILL)
        time.sleep(0.5)
        yield from ((n, Unit(f"later-{n}", {})) for n in range(1, 5))

    got = []
    engine = LocalEngine(toys.ToyCrawl(), Context(tmp_path), 2)
    waiting = engine.results(drawn())
    # the second unit is drawn only when the first was sent; by then workers exist, and soon one is idle
    threading.Timer(2.0, started.set).start()
    got = sorted((index, result.status) for index, result in waiting)
    assert [index for index, _ in got] == [0, 1, 2, 3, 4]
    assert all(status == OK for index, status in got if index)


def test_workers_that_die_at_the_start_end_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_start", _die_at_start)
    engine = LocalEngine(toys.ToyCrawl(), Context(tmp_path), 1)
    (found,) = engine.results(units("a"))
    assert found[1].broken and "its workers end before they begin a unit" in found[1].detail


def _die_at_start(*_: object) -> None:
    os._exit(7)


def test_no_worker_is_left_when_the_results_are_closed(tmp_path: Path) -> None:
    engine = LocalEngine(toys.ToyCrawl(pause_seconds=0.01), Context(tmp_path), 2)
    waiting = engine.results(units("hang", "a", "b"))
    next(waiting)
    began = time.monotonic()
    waiting.close()  # type: ignore[attr-defined] # a generator
    assert time.monotonic() - began < 2.5, "a worker that is busy must not be waited for"
    assert not workers_of(os.getpid())


def test_in_this_process_for_a_debugger(tmp_path: Path) -> None:
    found = results(tmp_path, "a", "reject", "quit", workers=0)
    assert [found[name].status for name in ("a", "reject", "quit")] == [OK, REJECTED, FAILED]
    assert Reason.of(found["quit"].reason) is Reason.EXCEPTION
